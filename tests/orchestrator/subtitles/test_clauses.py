import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles.clauses import Whole, clauses, wholes
from orchestrator.subtitles.whole import Reading

FIRST, SECOND, THIRD = "I think that we", "should go home.", "He was not there."


def read(*texts: str, pause: float = 1.0, voice: str = "A") -> list[Reading]:
    return [Reading(at * (2 + pause), at * (2 + pause) + 2, text, voice) for at, text in enumerate(texts)]


def test_clauses_of_one_sentence_are_translated_together() -> None:
    assert wholes(read(FIRST, SECOND, THIRD), "en") == [
        Whole("I think that we should go home.", range(2), (15, 15)),
        Whole(THIRD, range(2, 3), (17,)),
    ]


def test_whole_sentences_are_translated_each_for_itself() -> None:
    texts = ["He was not there.", "Yes. That is so.", "Go home."]
    assert wholes(read(*texts), "en") == [Whole(text, range(at, at + 1), (len(text),)) for at, text in enumerate(texts)]


def test_a_segment_that_ends_one_sentence_and_begins_another_stays_by_itself() -> None:
    texts = ["Yes. And then I", "went home."]
    assert [each.text for each in wholes(read(*texts), "en")] == texts


def test_clauses_of_two_speakers_or_far_apart_are_not_put_together() -> None:
    apart = read(FIRST, SECOND, pause=2.0)
    assert [each.text for each in wholes(apart, "en")] == [FIRST, SECOND]
    turns = [*read(FIRST), Reading(2.1, 4.0, SECOND, "B")]
    assert [each.text for each in wholes(turns, "en")] == [FIRST, SECOND]


def test_no_segments_have_no_sentences() -> None:
    assert wholes([], "en") == []


def test_a_translation_is_parted_where_it_reads_best_near_the_originals_share() -> None:
    text = "Si se hubiera casado con una mujer más amable, habría llegado a ser más respetable."
    assert clauses(text, (40, 42), "es") == [
        "Si se hubiera casado con una mujer más amable,",
        "habría llegado a ser más respetable.",
    ]


@pytest.mark.parametrize(("text", "language"), [("", "es"), ("Sí.", "es"), ("好", "zh")])
def test_a_translation_of_too_few_words_cannot_be_parted(text: str, language: str) -> None:
    assert clauses(text, (10, 10), language) is None


@given(st.lists(st.sampled_from(["casa", "y", "roja,", "no.", "Él"]), min_size=3, max_size=30))
def test_no_word_is_lost_and_no_part_is_empty(words: list[str]) -> None:
    parts = clauses(" ".join(words), (5, 9, 2), "es")
    assert parts is not None
    assert " ".join(parts).split() == words
    assert all(parts)


@given(st.lists(st.sampled_from([FIRST, SECOND, THIRD, "Yes.", "…", "♪", "- no"]), max_size=12))
def test_each_segment_is_in_exactly_one_text(texts: list[str]) -> None:
    found = wholes(read(*texts, pause=0.1), "en")
    assert [at for each in found for at in each.segments] == list(range(len(texts)))
    assert all(len(each.lengths) == len(each.segments) for each in found)
