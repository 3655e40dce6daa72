"""The pure part of forced alignment: segments from a caller's JSON, and times for words that could not be found."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import Code, ModelError
from serve.models.segments import read_segments
from serve.models.word_times import Timed, fill, frames, with_times, words_of

GOOD = {"start": 0.5, "end": 2.0, "text": "two words"}


def test_segments_are_read_with_all_that_they_have() -> None:
    raw = GOOD | {"avg_logprob": -0.2, "words": [{"word": " two", "start": 0.5, "end": 1.0, "probability": 0.9}]}
    assert read_segments(json.dumps([raw]), "SEGMENTS", 2.0) == [raw]
    assert read_segments("[]", "SEGMENTS", 2.0) == []


def test_a_segment_that_ends_a_rounding_error_after_its_audio_is_cut() -> None:
    (segment,) = read_segments(json.dumps([GOOD | {"end": 2.03}]), "SEGMENTS", 2.0)
    assert segment["end"] == 2.0


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("{", "SEGMENTS: not valid JSON"),
        ("[" * 100_000, "SEGMENTS: not valid JSON"),
        ('[{"start": 0, "end": 1, "text": "\\ud800"}]', "SEGMENTS: not valid JSON"),
        ('{"start": 0}', "SEGMENTS: expected a list"),
        ("[3]", "SEGMENTS segment 0: expected an object with start, end and text"),
        ([GOOD, GOOD | {"text": None}], "SEGMENTS segment 1: expected text as a string"),
        ([GOOD | {"end": 9.0}], "SEGMENTS segment 0: 0.5 to 9 s is outside the audio of 2.00 s"),
        ([GOOD | {"start": 1.5, "end": 1.0}], "runs backwards"),
        ([GOOD | {"start": -1}], "expected start as a number of seconds from 0"),
        ([GOOD | {"start": True}], "expected start as a number"),
        ([GOOD | {"start": float("nan")}], "expected start as a number"),
        ([GOOD | {"end": 10**400}], "expected end as a number"),
        ([GOOD | {"words": "two words"}], "expected words as a list"),
        ([GOOD | {"words": [{"text": "two"}]}], "SEGMENTS segment 0 word 0: expected an object with the string word"),
        ([GOOD | {"words": [{"word": "two", "start": 1.0}]}], "word 0: expected end as a number"),
        ([GOOD] * 2_001, "a list of at most 2000 segments"),
        ([GOOD | {"start": 0.0}] * 5, "segments of 10.0 s in all, AUDIO has 2.00 s"),
    ],
)
def test_what_is_no_segments_is_refused_and_its_place_named(data: Any, complaint: str) -> None:
    with pytest.raises(ModelError) as refused:
        read_segments(data if isinstance(data, str) else json.dumps(data), "SEGMENTS", 2.0)
    assert refused.value.code == Code.INVALID_ARGUMENT
    assert complaint in refused.value.message


def test_words_come_from_the_segment_or_from_its_text() -> None:
    words = [{"word": " two", "probability": 0.9}]
    assert words_of(GOOD | {"words": words}, spaced=True) == words
    assert words_of(GOOD, spaced=True) == [{"word": " two"}, {"word": " words"}]
    assert words_of({"text": "你好 吗"}, spaced=False) == [{"word": "你"}, {"word": "好"}, {"word": "吗"}]


def test_words_that_were_not_found_share_the_time_between_their_neighbours() -> None:
    one, four = Timed(1.0, 1.5, 0.8), Timed(2.5, 3.0, 0.7)
    filled = fill([None, one, None, None, four, None], 0.0, 4.0)
    assert [(each.start, each.end) for each in filled] == [(0, 1), (1, 1.5), (1.5, 2), (2, 2.5), (2.5, 3), (3, 4)]
    assert [each.score for each in filled] == [0, 0.8, 0, 0, 0.7, 0]


TIMES = st.floats(-1, 20, allow_nan=False)


@given(
    st.lists(st.none() | st.builds(Timed, TIMES, TIMES, st.just(0.5)), max_size=12), st.floats(0, 5), st.floats(0, 9)
)
def test_times_are_monotone_and_inside_the_segment(found: list[Timed | None], start: float, length: float) -> None:
    end = start + length
    filled = fill(found, start, end)
    edges = [start, *(edge for each in filled for edge in (each.start, each.end)), end]
    assert len(filled) == len(found)
    assert all(before <= after + 1e-9 for before, after in pairwise(edges))


def test_a_segment_reaches_from_its_first_word_to_its_last() -> None:
    segment = with_times(GOOD, [{"word": " two"}, {"word": " words"}], [Timed(0.61, 1, 0.5), Timed(1.2, 1.9, 0.25)])
    assert (segment["start"], segment["end"], segment["text"]) == (0.61, 1.9, "two words")
    assert segment["words"][1] == {"word": " words", "start": 1.2, "end": 1.9, "score": 0.25}
    assert with_times(GOOD, [], []) == GOOD | {"words": []}


def test_frames_are_those_of_wav2vec2() -> None:
    assert [frames(samples) for samples in (0, 399, 400, 719, 720, 16_000)] == [0, 0, 1, 1, 2, 49]
