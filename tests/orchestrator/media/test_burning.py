"""Subtitles painted into pictures of all kinds: where they are, when, and which way up."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.media.burning import BurnedSubtitles
from orchestrator.media.merge import Merged, SoftSubtitles, merge
from orchestrator.subtitles.cues import Cue
from tests.orchestrator.media.clips import ffmpeg, streams, waited

GREY = "-f lavfi -i color=gray:size={size}:rate=10:duration=3"
CUES = [Cue(1.0, 2.0, ("Two lines that say", "nothing {at all}.")), Cue(2.5, 60.0, ("The end.",))]


def burned(clip: Path, cues: list[Cue] = CUES, language: str = "en", **options: Any) -> tuple[Merged, Path]:
    dest = clip.with_name("out.mp4")
    return waited(merge(clip, None, dest, burn=BurnedSubtitles(language, cues), **options)), dest


def made(folder: Path, size: str, arguments: str) -> Path:
    ffmpeg(folder, f"{GREY.format(size=size)} {arguments}")
    return folder / arguments.rsplit(maxsplit=1)[-1]


def bright(path: Path, at: float) -> npt.NDArray[np.bool_]:
    """Which pixels of a frame [height, width], as it is shown, are white: those of letters."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-ss", str(at), "-i", f"file:{path}", "-frames:v", "1"]
    shown = subprocess.run([*command, "-f", "image2pipe", "-c:v", "pgm", "-"], check=True, capture_output=True).stdout
    _, width, height, _ = shown.split(maxsplit=4)[:4]
    size = int(width) * int(height)
    pixels = np.frombuffer(shown[-size:], np.uint8).reshape(int(height), int(width))
    return np.asarray(pixels > 200)


def box(shown: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is white, as shares of the picture."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    height, width = shown.shape
    return columns[0] / width, rows[0] / height, columns[-1] / width, rows[-1] / height


def test_letters_are_there_while_their_cue_is_and_never_else(tmp_path: Path) -> None:
    result, out = burned(made(tmp_path, "640x360", "{h264} clip.mp4"))
    assert not result.picture_copied
    shown = [bright(out, at).sum() for at in (0.5, 1.5, 2.2, 2.8)]
    assert shown[0] == shown[2] == 0
    assert min(shown[1], shown[3]) > 30
    left, top, right, bottom = box(bright(out, 1.5))
    assert 0.65 < top < bottom < 0.97
    assert left == pytest.approx(1 - right, abs=0.03)


def test_the_same_subtitles_are_no_track_and_others_may_be(tmp_path: Path) -> None:
    (tmp_path / "es.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nHola\n", "utf-8")
    clip = made(tmp_path, "320x240", "{h264} clip.mp4")
    _, out = burned(clip)
    assert [each["codec_type"] for each in streams(out)] == ["video"]
    _, out = burned(clip, subtitles=[SoftSubtitles("es", tmp_path / "es.srt")])
    assert [each["codec_type"] for each in streams(out)] == ["video", "subtitle"]


@pytest.mark.parametrize("name", ["it's: [a],b;c", "50% \\d = (x)", "日本語 مرحبا"])
def test_folders_of_any_name_are_worked_in(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    _, out = burned(made(folder, "320x240", "{h264} clip.mp4"))
    assert bright(out, 1.5).any()


def test_a_full_line_fits_a_picture_in_portrait(tmp_path: Path) -> None:
    clip = made(tmp_path, "270x480", "{h264} clip.mp4")
    _, out = burned(clip, [Cue(0, 3, ("Meandering women mourn many warm memories",))])
    left, top, right, bottom = box(bright(out, 1.5))
    assert 0.02 < left < right < 0.98
    assert bottom - top < 0.05


def test_a_picture_on_its_side_has_its_subtitles_below(tmp_path: Path) -> None:
    made(tmp_path, "360x640", "{h264} flat.mp4")
    ffmpeg(tmp_path, "-i flat.mp4 -c copy -metadata:s:v rotate=90 clip.mp4")
    _, out = burned(tmp_path / "clip.mp4")
    assert bright(out, 1.5).shape == (360, 640)
    left, top, right, bottom = box(bright(out, 1.5))
    assert 0.65 < top < bottom < 0.97
    assert left == pytest.approx(1 - right, abs=0.03)
    assert right - left < 0.6


def test_letters_are_not_stretched_with_the_pixels(tmp_path: Path) -> None:
    square = burned(made(tmp_path, "640x360", "{h264} square.mp4"))[1]
    shape = box(bright(square, 1.5))
    _, out = burned(made(tmp_path, "480x360", "-vf setsar=4/3 {h264} wide.mp4"))
    picture = streams(out)[0]
    assert (picture["width"], picture["height"]) == (640, 360)
    assert box(bright(out, 1.5)) == pytest.approx(shape, abs=0.01)


HDR = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -color_trc smpte2084 -color_primaries bt2020"


@pytest.mark.parametrize(
    "codec",
    [
        "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le",
        f"{HDR} -colorspace bt2020nc -x265-params log-level=none",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    ],
)
def test_ten_bit_and_high_dynamic_range_end_as_what_every_player_shows(tmp_path: Path, codec: str) -> None:
    _, out = burned(made(tmp_path, "322x241", f"{codec} clip.mkv"))
    picture = streams(out)[0]
    assert (picture["codec_name"], picture["pix_fmt"]) == ("h264", "yuv420p")
    assert bright(out, 1.5).sum() > 50


def test_what_ends_an_arabic_line_stands_at_its_left(tmp_path: Path) -> None:
    clip = made(tmp_path, "640x360", "{h264} clip.mp4")
    shown = bright(burned(clip, [Cue(0, 3, ("مرحبا بكم جميعا ■■■",))], "ar")[1], 1.5).sum(axis=0)
    filled = np.flatnonzero(shown)
    end = (filled[-1] - filled[0]) // 6
    assert shown[filled[0] : filled[0] + end].sum() > 2 * shown[filled[-1] - end : filled[-1] + 1].sum()
