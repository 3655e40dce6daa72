"""Reading a dub back: the sample, and the comparison."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.quality.reading_back import (
    LONGEST_S,
    SAMPLE_S,
    SAMPLE_SEGMENTS,
    SHORTEST_S,
    Comparison,
    chosen,
    compared,
    summed,
)


def found(said: str, heard: str, language: str = "en") -> Comparison:
    comparison = compared(0, said, heard, language)
    assert comparison is not None
    return comparison


@given(st.lists(st.floats(0.0, 40.0), max_size=300))
def test_a_sample_is_in_order_bounded_and_never_empty_where_something_can_be_heard(seconds: list[float]) -> None:
    sample = chosen(seconds, "sample")
    audible = [at for at, length in enumerate(seconds) if SHORTEST_S <= length <= LONGEST_S]
    assert sample == sorted({*sample} & {*audible})
    assert bool(sample) == bool(audible)
    assert len(sample) <= SAMPLE_SEGMENTS
    assert len(sample) == 1 or sum(seconds[at] for at in sample) <= SAMPLE_S
    assert chosen(seconds, "full") == audible
    assert chosen(seconds, "none") == []


def test_a_sample_is_spread_over_the_whole_dub() -> None:
    assert chosen([3.0] * 80, "sample") == [5, 15, 25, 35, 45, 55, 65, 75]
    assert chosen([3.0, 4.0, 5.0], "sample") == [0, 1, 2]
    assert chosen([12.0] * 9, "sample") == [1, 4, 7]


@pytest.mark.parametrize(
    ("said", "heard", "language", "errors", "units"),
    [
        ("Hello there, how are you?", " hello there how are you", "en", 0, 5),
        ("It's 20 percent.", "It is twenty percent", "en", 0, 3),
        ("He paid (all of it).", "he paid all of it", "en", 0, 5),
        ("Red green blue", "", "en", 3, 3),
        ("Red green blue", "red grey blue sky", "en", 2, 3),
        ("Good day.", "good good good good good", "en", 2, 2),
        ("¿Dónde está?", "donde esta", "es", 2, 2),
        ("我们去北京。", "我们去南京", "zh-CN", 1, 5),
        ("שלום עולם 😀", "שלום", "he", 1, 2),
        ("नमस्ते दुनिया", "नमस्ते", "hi", 1, 2),
    ],
)
def test_errors_are_counted_on_normalised_words_or_characters(
    said: str, heard: str, language: str, errors: int, units: int
) -> None:
    comparison = found(said, heard, language)
    assert (comparison.errors, comparison.units) == (errors, units)


@pytest.mark.parametrize("said", ["", "   ", "♪", "…", "😀", "()"])
def test_what_cannot_be_heard_is_not_compared(said: str) -> None:
    assert compared(0, said, "anything", "es") is None


def test_hostile_texts_are_compared_as_words() -> None:
    assert found("<script>alert(1)</script> " * 80, "script alert one script " * 80).units > 100
    assert found("word " * 400, "word " * 400).errors == 0


def test_the_sum_weighs_by_words_and_names_the_worst_first() -> None:
    comparisons = [found("red green blue sky over us", "red green blue sky over us"), found("good day", "no way")]
    total = summed(comparisons, 9, 12.34, "en")
    assert total is not None
    assert (total["error_percent"], total["unit"], total["segments"], total["of_segments"]) == (25.0, "words", 2, 9)
    assert total["seconds"] == 12.3
    assert [each["error_percent"] for each in total["worst"]] == [100.0]
    assert summed([], 9, 0.0, "en") is None
