import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles import clock, srt
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.srt import SubtitleFormatError

MILLISECONDS = st.integers(0, 400 * 3_600_000).map(lambda value: value / 1000)
TEXTS = st.text(
    alphabet=st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"], blacklist_characters="→"),
    min_size=1,
    max_size=60,
).filter(lambda text: text.strip() and "-->" not in text)
CUES = st.lists(
    st.builds(Cue, MILLISECONDS, MILLISECONDS, st.lists(TEXTS, min_size=1, max_size=3).map(tuple)), max_size=8
)


def test_a_file_looks_as_players_expect() -> None:
    cues = [Cue(0.0, 1.5, ("Hola.",)), Cue(3723.004, 3725.0, ("¿Qué tal", "va todo?"))]
    assert srt.dumps(cues) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHola.\n\n2\n01:02:03,004 --> 01:02:05,000\n¿Qué tal\nva todo?\n"
    )


def test_no_cues_make_an_empty_file() -> None:
    assert srt.dumps([]) == ""
    assert srt.loads("") == srt.loads("\ufeff\n\n") == []


def test_more_than_a_hundred_hours_are_fine() -> None:
    assert srt.loads(srt.dumps([Cue(400_000.0, 400_001.0, ("late",))]))[0].start == 400_000.0


def test_an_arrow_in_the_text_is_no_timing_and_an_empty_line_ends_no_cue() -> None:
    written = srt.dumps([Cue(0, 1, ("00:00:01,000 --> 00:00:02,000", "", "more")), Cue(2, 3, ("b",))])
    assert [cue.lines for cue in srt.loads(written)] == [("00:00:01,000 → 00:00:02,000", "more"), ("b",)]


def test_a_line_that_is_a_number_stays_text() -> None:
    cues = [Cue(0, 1, ("I was born in", "1984")), Cue(2, 3, ("42",)), Cue(4, 5, ("b",))]
    assert srt.loads(srt.dumps(cues)) == cues


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\nA\r\nB\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nC\r\n",
        "1\r00:00:01,000 --> 00:00:02,000\rA\rB\r\r2\r00:00:03,000 --> 00:00:04,000\rC",
        "00:00:01.000 --> 00:00:02.000\nA\nB\n\n00:00:03.000 --> 00:00:04.000\nC",
        "7\n0:00:01,0 --> 0:00:02,00 X1:0 Y1:0\nA\n\nB\n\n9\n0:0:3,000-->0:0:4,000\nC\n\n\n",
        "1\n00:01,000 --> 00:02,000\nA\nB\n\n2\n00:03 --> 00:04\nC\n",
    ],
)
def test_files_of_other_programs_are_read(text: str) -> None:
    assert srt.loads(text) == [Cue(1.0, 2.0, ("A", "B")), Cue(3.0, 4.0, ("C",))]


def test_text_that_is_no_subtitle_file_is_refused() -> None:
    with pytest.raises(SubtitleFormatError, match="no line with a cue's times"):
        srt.loads("Dear diary,\n")


def test_a_time_that_is_none_names_its_line() -> None:
    with pytest.raises(SubtitleFormatError, match="line 2: '00:00:01,0000' is not a time"):
        srt.loads("1\n00:00:01,0000 --> 00:00:02,000\nA\n")


@given(CUES)
def test_what_is_written_is_read_back(cues: list[Cue]) -> None:
    assert srt.loads(srt.dumps(cues)) == cues


@given(st.floats(0, 1e6))
def test_times_are_rounded_to_the_millisecond(seconds: float) -> None:
    assert clock.read(clock.write(seconds, ",")) == pytest.approx(seconds, abs=0.00051)
