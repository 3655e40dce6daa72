"""Small files that claim to be giants end quickly, in little memory, with a reason."""

import time
from pathlib import Path

import pytest

from orchestrator.errors import OctaviaError
from orchestrator.media.audio import extract_speech_audio
from orchestrator.media.merge import merge
from orchestrator.media.probe import probe
from tests.orchestrator.media.clips import duration, waited
from tests.orchestrator.media.giants import GIANTS

REFUSED = {
    "mkv of 65535x65535": ("frame_too_large", "65535x65535"),
    "mov of 8194x4320": ("frame_too_large", "at most 8192x4320"),
    "billion samples": ("not_media", "incomplete"),
    "ten hours in its headers": ("media_incomplete", "breaks off after 3.0 s"),
    "ten hours in its times": ("media_hollow", "holds 128 KB"),
    "mkv of ten hours": ("media_incomplete", "breaks off after 0.0 s"),
    "wav of 65535 channels": ("not_media", "not a media file we can read"),
    "wav of 4 GHz": ("not_media", "not a media file we can read"),
    "five thousand tracks": ("too_many_streams", "more than 1000 tracks"),
    "mkv of twenty thousand tracks": ("too_many_streams", "more than 1000 tracks"),
    "ogg of three thousand tracks": ("too_many_streams", "more than 1000 tracks"),
    "deep boxes": ("not_media", "incomplete"),
    "deep other boxes": ("not_media", "incomplete"),
    "a compressed index": ("media_too_heavy", "more memory"),
    "compressed blocks": ("not_media", "incomplete"),
    "a zip archive": ("not_media", "not a media file"),
}
PLAYABLE = {
    "mp4 of 65535x65535": None,
    "billion times": "media_truncated",
    "billion edits": None,
    "wav of four gigabytes": None,
    "vp8 of 16383x16383 inside": None,
    "a cover of 900 million pixels": None,
    "a title of four megabytes": None,
}
"""What is taken in, for there is something honest inside; and the reason its speech is refused with."""

LONGEST_S = 60
"""An idle machine takes a second."""


def laid(name: str, tmp_path: Path) -> Path:
    workshop = tmp_path / "workshop"
    workshop.mkdir()
    path = tmp_path / "source"
    path.write_bytes(GIANTS[name](workshop))
    return path


def test_every_giant_is_tried() -> None:
    assert set(GIANTS) == set(REFUSED) | set(PLAYABLE)


@pytest.mark.parametrize("name", REFUSED)
def test_a_giant_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    path = laid(name, tmp_path)
    began = time.monotonic()
    with pytest.raises(OctaviaError) as caught:
        waited(probe(path))
    code, words = REFUSED[name]
    assert (caught.value.code, caught.value.status) == (code, 422)
    assert words in caught.value.message
    assert time.monotonic() - began < LONGEST_S


@pytest.mark.parametrize("name", PLAYABLE)
def test_what_is_honest_in_a_giant_is_heard(tmp_path: Path, name: str) -> None:
    path = laid(name, tmp_path)
    began = time.monotonic()
    assert waited(probe(path)).duration <= 4.0
    if reason := PLAYABLE[name]:
        with pytest.raises(OctaviaError) as caught:
            waited(extract_speech_audio(path, tmp_path / "speech.pcm"))
        assert caught.value.code == reason
    else:
        assert 0 < waited(extract_speech_audio(path, tmp_path / "speech.pcm")) < 4 * 16_000
    assert time.monotonic() - began < LONGEST_S


def test_a_picture_larger_inside_than_its_header_says_is_refused_not_left_out(tmp_path: Path) -> None:
    path = laid("vp8 of 16383x16383 inside", tmp_path)
    with pytest.raises(OctaviaError, match=r"0\.0 s of the picture's 3\.0 s") as caught:
        waited(merge(path, None, tmp_path / "out.mp4"))
    assert caught.value.code == "picture_undecodable"
    assert not (tmp_path / "out.mp4").exists()


def test_an_endless_title_is_cut(tmp_path: Path) -> None:
    path = laid("a title of four megabytes", tmp_path)
    waited(merge(path, None, tmp_path / "out.mp4"))
    assert duration(tmp_path / "out.mp4") == pytest.approx(3.0, abs=0.1)
