"""Subtitle files as people have them, well made and badly: what is read, what is said of the rest, what stays."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles import clock, reader
from orchestrator.subtitles.srt import SubtitleFormatError

VTT = """WEBVTT - a film
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0

STYLE
::cue(b) { color: red }

REGION
id:fred

NOTE 00:00.000 is not --> a time

intro
00:01.000 --> 00:02.500 align:start line:0 region:fred
<v Roger>Good <b>morning</b>.

00:00:03.000 --> 01:00:04.000
Where are you?
On the road.
"""

ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,not shown, ever
Dialogue: 0,0:00:01.50,0:00:02.25,Default,Ann,0,0,0,,{\\i1}Well, well,{\\i0}\\Nwell
Dialogue: 0,0:00:03.00,0:00:04.00,Sign,,0,0,0,,{\\p1}m 0 0 l 10 10{\\p0}

[Fonts]
fontname: x.ttf
Dialogue: not one
"""


def read(text: str) -> reader.SubtitleFile:
    found = reader.read(text.encode())
    assert found is not None
    return found


def said(text: str) -> list[tuple[float, float, str]]:
    return [(cue.start, cue.end, cue.raw) for cue in read(text).document.cues]


def remarks(text: str) -> list[tuple[str, int]]:
    return [(each.code, each.line) for each in read(text).remarks]


def cue(number: int, start: float, end: float, text: str) -> str:
    return f"{number}\n{clock.write(start, ',')} --> {clock.write(end, ',')}\n{text}\n\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_subrip_is_read_whatever_ends_its_lines(newline: str) -> None:
    text = (cue(1, 1, 2, "One\ntwo") + cue(2, 3, 4, "<i>Three</i>")).replace("\n", newline)
    assert said(text) == [(1.0, 2.0, "One\ntwo"), (3.0, 4.0, "<i>Three</i>")]
    assert remarks(text) == []
    document = read(text).document
    assert document.saying({0: "Uno\ndos"}) == text.replace(f"One{newline}two", f"Uno{newline}dos")
    assert document.saying({}) == text


@pytest.mark.parametrize(
    "text",
    [
        "00:00:01,000 --> 00:00:02,000\nOne\n\n00:00:03,000 --> 00:00:04,000\nTwo\n",
        "1\n00:00:01,000 --> 00:00:02,000\nOne\n2\n00:00:03,000 --> 00:00:04,000\nTwo",
        "1\n0:0:1.0 --> 0:0:2,00 X1:10 X2:20\nOne\n\n\n\n7\n 00:03 -->00:04\nTwo\n\n",
        "\n\n1\n00:00:01,000 --> 00:00:02,000\n\nOne\n\n2\n00:00:03,000 --> 00:00:04,000\n\n\nTwo\n",
    ],
    ids=["no numbers", "no empty lines", "sloppy times", "empty lines too many"],
)
def test_careless_subrip_is_understood(text: str) -> None:
    assert said(text) == [(1.0, 2.0, "One"), (3.0, 4.0, "Two")]
    assert remarks(text) == []


def test_a_number_may_be_said_and_an_arrow_too() -> None:
    text = cue(1, 1, 2, "How many?\n42") + cue(2, 3, 4, "A --> B")
    assert [each[2] for each in said(text)] == ["How many?\n42", "A --> B"]


@pytest.mark.parametrize(
    "line", ["00:00:0X,000 --> 00:00:07,000", "00:00:05,000 -> 00:00:07,000", "00:00:05,000 --> soon"]
)
def test_a_malformed_cue_is_named_and_takes_no_other_with_it(line: str) -> None:
    text = cue(1, 1, 2, "One") + f"2\n{line}\nlost?\n\n" + cue(3, 8, 9, "Three")
    assert [each[2] for each in said(text)] == ["One", "Three"]
    assert remarks(text) == [("malformed_cue", 6)]
    assert line in read(text).remarks[0].reason
    assert "lost?" in read(text).document.saying({0: "Uno", 1: "Tres"})


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (cue(1, 5, 6, "a") + cue(2, 1, 2, "b"), [("out_of_order", 6)]),
        (cue(1, 1, 4, "a") + cue(2, 3, 5, "b"), [("overlap", 6)]),
        (cue(1, 3, 2, "a"), [("backwards", 2)]),
        ("1\n-00:00:01,500 --> 00:00:02,000\na\n", [("negative_time", 2)]),
        (cue(1, 1, 2, "") + cue(2, 3, 4, "b"), [("empty_cue", 2)]),
    ],
)
def test_odd_times_and_empty_cues_are_kept_and_told(text: str, codes: list[tuple[str, int]]) -> None:
    assert remarks(text) == codes
    assert read(text).document.saying({}) == text


def test_a_negative_time_is_read_as_it_is_meant() -> None:
    assert said("1\n-00:00:01,500 --> 00:00:02,000\na\n") == [(-1.5, 2.0, "a")]


def test_vtt_keeps_notes_styles_regions_and_settings() -> None:
    assert said(VTT) == [(1.0, 2.5, "<v Roger>Good <b>morning</b>."), (3.0, 3604.0, "Where are you?\nOn the road.")]
    assert remarks(VTT) == []
    document = read(VTT).document
    assert document.format == "vtt"
    assert document.cues[0].voice == "Roger"
    assert document.saying({1: "Da?"}) == VTT.replace("Where are you?\nOn the road.", "Da?")


def test_a_vtt_block_without_times_and_one_with_wrong_ones_are_named() -> None:
    text = VTT + "\nlost words\n\nx\n00:0a.000 --> 00:05.000\nmore\n\n00:06.000 --> 00:07.000\nLast\n"
    assert [each[2] for each in said(text)][-1] == "Last"
    assert remarks(text)[:2] == [("malformed_cue", 20), ("malformed_cue", 23)]


def test_ass_keeps_styles_comments_drawings_and_fonts() -> None:
    found = read(ASS).document
    assert (found.format, len(found.cues)) == ("ass", 2)
    assert (found.cues[0].start, found.cues[0].end) == (1.5, 2.25)
    assert found.cues[0].raw == "{\\i1}Well, well,{\\i0}\\Nwell"
    assert [each.fixed for each in found.cues] == [False, True]
    assert found.saying({0: "Bien"}) == ASS.replace(found.cues[0].raw, "Bien")


def test_ssa_and_an_unusual_order_of_fields_are_read() -> None:
    text = ASS.replace("[V4+ Styles]", "[V4 Styles]").replace("Layer, Start, End", "Marked, End, Start")
    found = read(text).document
    assert found.format == "ssa"
    assert (found.cues[0].start, found.cues[0].end) == (2.25, 1.5)


def test_an_ass_line_with_too_few_fields_is_named() -> None:
    text = ASS.replace("[Fonts]", "Dialogue: 0,0:00:05.00,zzz\n\n[Fonts]")
    assert remarks(text) == [("malformed_cue", 14)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1\n00:00:0X,000 --> 00:00:07,000\nlost\n", "line 2: '00:00:0X,000 --> 00:00:07,000' is not"),
        ("WEBVTT\n\nNOTE nothing\n", "no cue"),
        ("[Script Info]\n\n[Events]\n", "no cue"),
        (cue(1, 1, 2, "word " * 2000), "line 2: the cue says more than 5,000 characters"),
        ("[Events]\nDialogue: " + "," * 20, "line 2: '' is not a time"),
    ],
)
def test_a_file_without_a_usable_cue_is_refused_with_line_and_reason(text: str, says: str) -> None:
    with pytest.raises(SubtitleFormatError, match=says):
        reader.read(text.encode())


@pytest.mark.parametrize(
    "text", ["Dear Elinor,\nI am well.\n", "#EXTM3U\n#EXTINF:5,\na.ts\n", "{}", "<html></html>", ""]
)
def test_other_texts_are_no_subtitles(text: str) -> None:
    assert reader.read(text.encode()) is None


def test_fifty_thousand_cues_are_read() -> None:
    text = "".join(cue(at, at * 0.7, at * 0.7 + 0.6, f"<i>Line</i> {at}\nand more.") for at in range(50_000))
    assert len(read(text).document.cues) == 50_000


def test_more_cues_than_anybody_needs_are_refused() -> None:
    with pytest.raises(SubtitleFormatError, match="more than 100,000 cues"):
        reader.read(("00:00:01,000 --> 00:00:02,000\na\n\n" * 100_001).encode())


_FRAGMENTS = st.sampled_from(
    [
        *(
            "1",
            "2",
            "00:00:01,000 --> 00:00:02,000",
            "-00:00:01,000 --> 00:00:02,000",
            "00:01.000 --> 00:02.000 line:0",
        ),
        *("WEBVTT", "NOTE x", "STYLE", "[Events]", "[Script Info]", "Format: Start, End, Text"),
        *("Dialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,{\\i1}a\\Nb", "Dialogue: 0:00:01.00,0:00:02.00,b", "", "  "),
        *(
            "<i>a</i>",
            "a --> b",
            "--> 00:00:02,000",
            "00:00:01,000 -->",
            "\u202bשלום\u202c",
            "{\\an8}x",
            "&amp;",
            "<",
            "-->",
        ),
    ]
)


@given(st.lists(_FRAGMENTS, max_size=14), st.sampled_from(["\n", "\r\n", "\r"]))
def test_whatever_is_put_together_is_read_or_refused_and_stays_as_it_is(parts: list[str], newline: str) -> None:
    text = newline.join(parts)
    with suppress(SubtitleFormatError):
        read_and_written_again(text)


def read_and_written_again(text: str) -> None:
    found = reader.read(text.encode())
    if found is not None:
        document = found.document
        assert document.saying({}) == text
        again = {at: each.raw for at, each in enumerate(document.cues)}
        once = document.saying(again)
        assert [each.raw for each in read(once).document.cues] == [each.raw for each in document.cues]


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for prefix in (b"", b"WEBVTT\n\n", b"1\n00:00:01,000 --> 00:00:02,000\n", b"[Events]\nDialogue: "):
        with suppress(SubtitleFormatError):
            reader.read(prefix + data)
