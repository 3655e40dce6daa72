"""A text without times as subtitles, at a reader's pace."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles import plain, srt
from orchestrator.subtitles.cues import Cue


def cues(text: str) -> list[Cue]:
    return srt.loads(plain.as_subtitles(text) or "")


def test_each_sentence_is_a_cue_as_long_as_it_takes_to_say() -> None:
    first, second = cues("He was not an ill-disposed young man. He might even have been made amiable himself.")
    assert (first.start, first.text) == (0.0, "He was not an ill-disposed young man.")
    assert first.end == round(len(first.text) / plain.READ_PER_S, 3)
    assert round(second.start - first.end, 3) == plain.PAUSE_S


def test_a_paragraph_ends_with_a_longer_pause_and_its_lines_are_one() -> None:
    first, second = cues("A sentence that runs\nover two lines.\n\n\nAnother paragraph.\r\n")
    assert first.text == "A sentence that runs over two lines."
    assert round(second.start - first.end, 3) == plain.PARAGRAPH_PAUSE_S


def test_short_sentences_have_a_second_and_unspaced_languages_more_time() -> None:
    assert cues("Yes.")[0].end == plain.SHORTEST_S
    text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    last = cues(text)[-1]
    assert round(last.end - last.start, 2) == round(len(last.text) / plain.READ_PER_S_UNSPACED, 2)


def test_a_text_that_says_nothing_is_none() -> None:
    assert plain.as_subtitles("") is None
    assert plain.as_subtitles(" \r\n\n\t") is None


@given(st.text(alphabet="ab é.!?猫。\n\r", max_size=200))
def test_no_word_is_lost_and_no_two_cues_overlap(text: str) -> None:
    found = cues(text)
    assert "".join("".join(cue.text.split()) for cue in found) == "".join(text.split())
    assert all(first.end < second.start for first, second in pairwise(found))
