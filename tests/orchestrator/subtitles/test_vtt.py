from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.dubbing.timeline import Segment, Word
from orchestrator.subtitles import vtt
from orchestrator.subtitles.cues import Cue, cues_of_segments
from orchestrator.subtitles.srt import SubtitleFormatError
from tests.orchestrator.subtitles.transcripts import transcripts

MILLISECONDS = st.integers(0, 400 * 3_600_000).map(lambda value: value / 1000)
TEXTS = st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=60).filter(
    str.strip
)
CUES = st.lists(
    st.builds(Cue, MILLISECONDS, MILLISECONDS, st.lists(TEXTS, min_size=1, max_size=3).map(tuple)), max_size=8
)


def test_a_file_looks_as_browsers_expect() -> None:
    cues = [Cue(0.0, 1.5, ("Hola.",)), Cue(3723.004, 3725.0, ("¿Qué tal", "va todo?"))]
    assert vtt.dumps(cues) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHola.\n\n01:02:03.004 --> 01:02:05.000\n¿Qué tal\nva todo?\n"
    )


def test_no_cues_make_a_valid_file() -> None:
    assert vtt.dumps([]) == "WEBVTT\n"
    assert vtt.loads("WEBVTT\n") == []


def test_markup_and_arrows_in_the_text_are_escaped() -> None:
    cue = Cue(0, 1, ("a <b>&amp; 1 --> 2", "{bold}"))
    written = vtt.dumps([cue])
    assert "a &lt;b&gt;&amp;amp; 1 --&gt; 2" in written
    assert vtt.loads(written) == [cue]


def test_tags_settings_notes_styles_and_names_of_cues_are_skipped() -> None:
    text = (
        "\ufeffWEBVTT - with a title\r\nKind: captions\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n"
        "NOTE\r\nnothing\r\n\r\n"
        "intro\r\n00:01.000 --> 00:02.000 align:start position:10%\r\n<v Mary>Hi <i>you</i> <00:01.500>&amp; me\r\n\r\n"
        "100:00:03.000 --> 100:00:04.000\r\nlate\r\n"
    )
    assert vtt.loads(text) == [Cue(1.0, 2.0, ("Hi you & me",), "Mary"), Cue(360_003.0, 360_004.0, ("late",))]


@pytest.mark.parametrize("text", ["", "1\n00:00:01,000 --> 00:00:02,000\nA\n", "WEBVTTX\n"])
def test_text_without_the_signature_is_refused(text: str) -> None:
    with pytest.raises(SubtitleFormatError, match="begins with 'WEBVTT'"):
        vtt.loads(text)


def test_a_time_that_is_none_names_its_line() -> None:
    with pytest.raises(SubtitleFormatError, match=r"line 3: '1\.0' is not a time"):
        vtt.loads("WEBVTT\n\n1.0 --> 00:02.000\nA\n")


@given(CUES)
def test_what_is_written_is_read_back(cues: list[Cue]) -> None:
    assert vtt.loads(vtt.dumps(cues)) == cues


SPOKEN = Cue(
    1.0,
    3.0,
    ("Hi <you>", "and me."),
    "Ann & Bob > all",
    (Word(" Hi", 1.0, 1.2), Word(" <you>", 1.5, 1.8), Word(" and", 1.5, 2.0), Word(" me.", 3.2, 3.4)),
)


def test_speakers_have_voice_tags_which_are_read_back() -> None:
    written = vtt.dumps([replace(SPOKEN, words=())])
    assert "<v Ann &amp; Bob &gt; all>Hi &lt;you&gt;\nand me.\n" in written
    assert vtt.loads(written) == [replace(SPOKEN, words=())]


def test_words_have_times_that_grow_within_their_cue() -> None:
    written = vtt.dumps([SPOKEN], word_times=True)
    assert "all>Hi <00:00:01.500>&lt;you&gt;\nand me.\n" in written
    assert vtt.loads(written)[0].lines == SPOKEN.lines
    assert vtt.dumps([replace(SPOKEN, words=())], word_times=True) == vtt.dumps([SPOKEN])


@given(transcripts(most_sentences=4))
@settings(max_examples=20, deadline=None)
def test_words_with_times_say_what_the_lines_say(segments: list[Segment]) -> None:
    cues = cues_of_segments(segments)
    read = vtt.loads(vtt.dumps(cues, word_times=True))
    assert [cue.lines for cue in read] == [cue.lines for cue in vtt.loads(vtt.dumps(cues))]
    assert [cue.speaker for cue in read] == [cue.speaker for cue in cues]
