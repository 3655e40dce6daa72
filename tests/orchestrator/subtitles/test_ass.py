"""ASS as we write it, read by ffmpeg and by ourselves."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.subtitles import ass, reader
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.markup import split

CUES = [
    Cue(0.0, 1.5, ("First, with a comma", "and a second line")),
    Cue(3599.996, 3601.25, ("{not a tag} and \\N no break",)),
]


def test_what_is_written_is_read_again() -> None:
    found = reader.read(ass.dumps(CUES).encode())
    assert found is not None
    assert found.document.format == "ass"
    assert [(cue.start, cue.end) for cue in found.document.cues] == [(0.0, 1.5), (3600.0, 3601.25)]
    assert split(found.document.cues[0].raw, "ass").text == "First, with a comma\nand a second line"


def test_ffmpeg_reads_the_same_cues(tmp_path: Path) -> None:
    path = tmp_path / "a.ass"
    path.write_text(ass.dumps(CUES), encoding="utf-8")
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "srt", "-"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "00:00:00,000 --> 00:00:01,500" in shown
    assert "01:00:00,000 --> 01:00:01,250" in shown
    assert "First, with a comma\nand a second line" in shown
    assert "not a tag" in shown


def test_no_cues_make_a_file_without_any() -> None:
    assert "Dialogue" not in ass.dumps([])


def test_a_speaker_is_named_in_a_field_of_its_own() -> None:
    found = reader.read(ass.dumps([Cue(0, 1, ("Hi.",), "Ann, the\nfirst")]).encode())
    assert found is not None
    assert found.document.cues[0].voice == "Default/Ann the first"


def test_letters_are_smaller_where_the_picture_is_too_narrow_for_a_line() -> None:
    assert ass.Picture().size == 58
    assert ass.Picture(1080, 1920).size == pytest.approx(46.3, abs=0.1)
    assert ass.Picture(1080, 1920, columns=32).size == pytest.approx(60.75, abs=0.1)
    assert "PlayResX: 1080\nPlayResY: 1920\n" in ass.dumps(CUES, picture=ass.Picture(1080, 1920))
