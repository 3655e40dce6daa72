"""A letter without times becomes cues at a reader's pace."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles import srt
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.plain import PARAGRAPH_PAUSE_S, PAUSE_S, READ_PER_S, SHORTEST_S, as_subtitles

LETTER = "Dear friend, I have arrived safely in the town by the sea. It rains.\r\n\r\nWrite to me soon.\n"


def cues(text: str) -> list[Cue]:
    subtitles = as_subtitles(text)
    assert subtitles is not None
    return srt.loads(subtitles)


def test_each_sentence_is_a_cue_read_at_a_readers_pace() -> None:
    first, second, third = cues(LETTER)
    assert [" ".join(cue.lines) for cue in (first, second, third)] == [
        "Dear friend, I have arrived safely in the town by the sea.",
        "It rains.",
        "Write to me soon.",
    ]
    assert first.start == 0
    assert abs(first.end - len("Dear friend, I have arrived safely in the town by the sea.") / READ_PER_S) < 0.001
    assert abs(second.end - second.start - SHORTEST_S) < 0.001


def test_a_paragraph_is_parted_by_a_longer_pause_than_a_sentence() -> None:
    first, second, third = cues(LETTER)
    assert abs(second.start - first.end - PAUSE_S) < 0.002
    assert abs(third.start - second.end - PARAGRAPH_PAUSE_S) < 0.002


def test_lines_of_one_paragraph_are_one_text() -> None:
    assert len(cues("We went on\nuntil the evening came.")) == 1


def test_a_language_without_spaces_is_given_more_time_for_each_character() -> None:
    (cue,) = cues("今日はとても良い天気ですから、みんなで公園へ散歩に行きましょう。")
    assert cue.end - cue.start > 5


def test_a_text_that_says_nothing_is_none() -> None:
    assert as_subtitles(" \n\n\t\n") is None


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs"]), min_size=1), max_size=6))
def test_no_word_is_lost_and_cues_follow_each_other(paragraphs: list[str]) -> None:
    subtitles = as_subtitles("\n\n".join(paragraphs))
    said = srt.loads(subtitles) if subtitles else []
    assert "".join("".join("".join(cue.lines).split()) for cue in said) == "".join("".join(paragraphs).split())
    assert all(one.end < other.start for one, other in pairwise(said))
