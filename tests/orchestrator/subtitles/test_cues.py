from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.segments import close
from orchestrator.dubbing.timeline import Segment, Word
from orchestrator.subtitles.check import check
from orchestrator.subtitles.cues import Cue, Line, cues_of_lines, cues_of_segments, gaps
from orchestrator.subtitles.rules import PLAIN, Rules, rules_for

AUSTEN = (
    "And Mr. John Dashwood had then leisure to consider how much there might be prudently in his power to do for them."
)


def spoken(text: str, start: float = 0.0, pace: float = 0.35, language: str = "en") -> Segment:
    words = tuple(
        Word(" " + part, start + at * pace, start + (at + 0.9) * pace, 1.0, language)
        for at, part in enumerate(text.split())
    )
    return Segment(words[0].start, words[-1].end, language, text, words)


def test_a_short_sentence_is_one_cue_at_its_own_time() -> None:
    (cue,) = cues_of_segments([spoken("He was not an ill-disposed young man.", start=2.0)])
    assert cue.lines == ("He was not an ill-disposed young man.",)
    assert cue.start == 2.0
    assert cue.end == pytest.approx(4.42)


@pytest.mark.parametrize("words", [(), (Word(" ", 0.0, 0.1),)])
def test_a_segment_without_timed_words_is_shown_in_its_own_time(words: tuple[Word, ...]) -> None:
    bare = Segment(4.0, 6.5, "en", "He was not ill-disposed.", words)
    first, second = cues_of_segments([spoken("He said so."), bare])
    assert first.lines == ("He said so.",)
    assert (second.start, second.lines, second.words) == (4.0, ("He was not ill-disposed.",), ())
    assert second.end >= 6.5


def test_a_long_sentence_becomes_cues_of_two_lines_that_follow_the_words() -> None:
    first, second = cues_of_segments([spoken(AUSTEN)])
    assert [first.lines, second.lines] == [
        ("And Mr. John Dashwood had then leisure", "to consider how"),
        ("much there might be prudently", "in his power to do for them."),
    ]
    assert second.start == pytest.approx(10 * 0.35)


def test_a_translation_gets_its_time_by_characters() -> None:
    text = "Primera frase bastante larga para una línea, y segunda parte que no cabe ya en la misma leyenda de dos."
    first, second = cues_of_lines([Line(10.0, 20.0, text)], "es")
    share = len("".join(first.lines).replace(" ", "")) / len(text.replace(" ", ""))
    assert second.start == pytest.approx(10.0 + 10.0 * share, abs=0.01)
    assert first.start == 10.0


def test_a_cue_stays_long_enough_to_be_read() -> None:
    text = "This was said far too fast to be read."
    (cue,) = cues_of_lines([Line(1.0, 1.6, text)], "en")
    assert cue.end - cue.start == pytest.approx(len(text) / 17, abs=0.01)


FAST = Line(1.0, 2.0, "This was said far too fast to be read by.", "Ann")


def test_a_cue_gives_way_to_another_speakers() -> None:
    first, second = cues_of_lines([FAST, Line(2.05, 6.0, "Then a slower one came along.", "Bob")], "en")
    assert second.start == pytest.approx(2.05)
    assert second.start - first.end == pytest.approx(0.09)
    assert (first.speaker, second.speaker) == ("Ann", "Bob")


def test_what_is_said_too_fast_shares_the_time_of_what_follows() -> None:
    lines = [FAST, Line(2.05, 6.0, "Then a slower one came along.", "Ann")]
    (cue,) = cues_of_lines(lines, "en")
    assert cue.lines == ("This was said far too fast to be read by.", "Then a slower one came along.")


def test_a_cue_waits_a_little_where_the_one_before_it_needs_the_time() -> None:
    lines = [Line(1.0, 1.8, "Read this at leisure.", "Ann"), Line(1.8, 6.0, "There is time for this one.", "Bob")]
    first, second = cues_of_lines(lines, "en")
    assert first.start == 1.0
    assert second.start == pytest.approx(1.0 + 21 / 20 + 0.09)


def test_short_gaps_are_closed_and_long_ones_kept() -> None:
    cues = cues_of_lines(
        [
            Line(0.0, 2.0, "One line that is easy to read."),
            Line(2.3, 4.3, "Another one that is easy."),
            Line(6.0, 8.0, "A third one."),
        ],
        "en",
    )
    assert gaps(cues)[0] == pytest.approx(0.09)
    assert gaps(cues)[1] == pytest.approx(1.7)


def test_cues_too_short_to_be_read_join_their_neighbour() -> None:
    (cue,) = cues_of_lines([Line(0.0, 0.4, "Yes."), Line(0.5, 2.5, "That is what I meant.")], "en")
    assert cue.text == "Yes. That is what I meant."


def test_no_cue_lasts_longer_than_allowed_even_for_one_long_word() -> None:
    (cue,) = cues_of_lines([Line(0.0, 30.0, "Ooooooh")], "en")
    assert cue.end == 7.0


def test_text_that_is_empty_makes_no_cue() -> None:
    assert cues_of_lines([Line(0.0, 1.0, ""), Line(1.0, 2.0, "  \n")], "en") == []
    assert cues_of_segments([]) == []


def test_line_breaks_of_the_text_itself_are_taken_for_spaces() -> None:
    assert cues_of_lines([Line(0.0, 2.0, "a\r\n\r\nb")], "en")[0].lines == ("a b",)


def test_a_line_without_any_time_still_has_a_cue() -> None:
    (cue,) = cues_of_lines([Line(3.0, 3.0, "Now!")], "en")
    assert cue.start == 3.0
    assert cue.end == pytest.approx(3.0 + PLAIN.shortest, abs=0.01)


def test_japanese_cues_obey_japanese_rules() -> None:
    cues = cues_of_lines(
        [Line(0.0, 12.0, "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 2)], "ja"
    )
    assert check(cues, rules_for("ja")) == []
    assert not any(" " in cue.text for cue in cues)


def test_two_languages_are_not_mixed_in_one_cue() -> None:
    cues = cues_of_segments([spoken("Yes.", 0.0), spoken("Oui.", 0.4, language="fr")])
    assert [cue.text for cue in cues] == ["Yes.", "Oui."]


def test_other_rules_can_be_given() -> None:
    narrow = replace(PLAIN, line_length=20, lines=1)
    cues = cues_of_segments([spoken(AUSTEN)], narrow)
    assert all(len(cue.lines) == 1 and len(cue.lines[0]) <= 20 for cue in cues)


WORDS = st.sampled_from(
    ["a", "house", "of", "the", "Yes.", "extraordinary,", "x" * 50, "100", "ñandú", "and", "well-known", "猫"]
)


@given(
    st.lists(st.tuples(WORDS, st.floats(0, 3), st.floats(0, 2)), max_size=60),
    st.sampled_from(["en", "es", "ja", "und"]),
)
def test_cues_of_any_transcript_are_in_order_apart_in_shape_and_complete(
    parts: list[tuple[str, float, float]], language: str
) -> None:
    clock, words = 0.0, []
    for text, pause, length in parts:
        words.append(Word(" " + text, clock + pause, clock + pause + length, 1.0, language))
        clock += pause + length
    passages, _ = close(words, clock, final=True)
    segments = [segment for passage in passages for segment in passage.segments]
    cues = cues_of_segments(segments)
    _sound(cues, rules_for(language))
    assert "".join("".join(cue.text.split()) for cue in cues) == "".join(
        "".join(segment.text.split()) for segment in segments
    )


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 9), st.text(alphabet="ab é.,猫\n", max_size=150)), max_size=15),
    st.sampled_from(["en", "zh"]),
)
def test_cues_of_any_translation_are_in_order_apart_in_shape_and_complete(
    parts: list[tuple[float, float, str]], language: str
) -> None:
    clock, lines = 0.0, []
    for pause, length, text in parts:
        lines.append(Line(clock + pause, clock + pause + length, text))
        clock += pause + length
    cues = cues_of_lines(lines, language)
    _sound(cues, rules_for(language))
    assert "".join("".join(cue.text.split()) for cue in cues) == "".join("".join(line.text.split()) for line in lines)


def _sound(cues: list[Cue], rules: Rules) -> None:
    """Whatever the text, these rules are never broken; reading speed and shortest time may be, where speech is fast."""
    broken = {violation.rule for violation in check(cues, rules)}
    assert broken <= {"reading_speed", "too_short"}, broken
    assert all(cue.start < cue.end for cue in cues)
    assert all(cue.start < following.start for cue, following in pairwise(cues))
