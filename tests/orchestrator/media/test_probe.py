"""What a file is, by its content: every container we take, and everything that is not one or is not whole."""

import asyncio
import gzip
import io
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

from orchestrator.media.limits import Limits
from orchestrator.media.probe import (
    IncompleteMediaError,
    NothingToPlayError,
    NotMediaError,
    ProbeTimeoutError,
    probe,
)
from orchestrator.media.promised_size import promised_size

pytestmark = pytest.mark.anyio

VIDEOS = {
    "v.mp4": ("video/mp4", "h264", "aac"),
    "v.mov": ("video/quicktime", "h264", "aac"),
    "v.mkv": ("video/x-matroska", "h264", "aac"),
    "v.webm": ("video/webm", "vp8", "opus"),
    "v.avi": ("video/x-msvideo", "mpeg4", "mp3"),
    "v.wmv": ("video/x-ms-wmv", "wmv2", "wmav2"),
    "v.flv": ("video/x-flv", "flv1", "mp3"),
}
SOUNDS = {
    "a.mp3": ("audio/mpeg", "mp3"),
    "a.wav": ("audio/wav", "pcm_s16le"),
    "a.flac": ("audio/flac", "flac"),
    "a.ogg": ("audio/ogg", "vorbis"),
    "a.m4a": ("audio/mp4", "aac"),
    "a.aac": ("audio/aac", "aac"),
    "cover.mp3": ("audio/mpeg", "mp3"),
}


@pytest.mark.parametrize("name", VIDEOS)
async def test_a_video_is_known_by_its_content(clips: Path, tmp_path: Path, name: str) -> None:
    disguised = tmp_path / "file.txt"
    disguised.write_bytes((clips / name).read_bytes())
    found = await probe(disguised)
    assert found.video is not None
    assert (found.kind, found.content_type, found.video.codec, found.audio[0].codec) == ("video", *VIDEOS[name])
    assert (found.video.width, found.video.height, found.video.fps) == (64, 48, 10.0)
    assert found.duration == pytest.approx(6.0, abs=0.15)


@pytest.mark.parametrize("name", SOUNDS)
async def test_a_sound_file_is_no_video_even_with_cover_art(clips: Path, name: str) -> None:
    found = await probe(clips / name)
    assert (found.kind, found.content_type, found.audio[0].codec) == ("audio", *SOUNDS[name])
    assert found.video is None
    assert (found.audio[0].channels, found.audio[0].sample_rate) == (1, 16_000)
    assert found.duration == pytest.approx(6.0, abs=0.15)


async def test_a_video_without_sound_is_a_video(clips: Path) -> None:
    found = await probe(clips / "silent.mp4")
    assert (found.kind, found.audio) == ("video", ())


CAN_BE_CUT = ("a.mp3", "a.aac", "a.ogg", "cover.mp3")
"""Formats of independent frames, whose headers promise no length: a part of one is a whole one."""


@pytest.mark.parametrize("name", [*VIDEOS, "tail.mp4", "a.wav", "a.flac", "a.m4a"])
@pytest.mark.parametrize("share", [0.3, 0.6])
async def test_a_file_that_breaks_off_is_refused(clips: Path, tmp_path: Path, name: str, share: float) -> None:
    content = (clips / name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises((IncompleteMediaError, NotMediaError), match="incomplete"):
        await probe(cut)


@pytest.mark.parametrize("name", CAN_BE_CUT[:2])
async def test_a_cut_stream_of_frames_is_as_long_as_it_is(clips: Path, tmp_path: Path, name: str) -> None:
    content = (clips / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert (await probe(tmp_path / name)).duration == pytest.approx(3.0, abs=0.3)


async def test_a_recording_whose_header_knows_no_duration_is_measured(clips: Path, tmp_path: Path) -> None:
    live = tmp_path / "live.webm"
    with live.open("wb") as output:  # a pipe cannot be sought back in, so the duration stays unwritten
        command = ["ffmpeg", "-v", "error", "-i", str(clips / "v.webm"), "-c", "copy", "-f", "webm", "-"]
        await asyncio.to_thread(subprocess.run, command, check=True, stdout=output)
    assert (await probe(live)).duration == pytest.approx(6.0, abs=0.15)


def zipped(*files: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of files in memory."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def box(kind: bytes, content: bytes = b"", claims: int | None = None) -> bytes:
    """A box of an MP4 (ISO 14496-12, 4.2), which may claim to be longer than it is."""
    return struct.pack(">I4s", claims or 8 + len(content), kind) + content


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")

NOT_MEDIA = {
    "zip bomb": zipped(("v.mp4", bytes(50_000_000))),
    "zip of a video that is not compressed": zipped(("v.mp4", FTYP * 50), compression=zipfile.ZIP_STORED),
    "gzip": gzip.compress(bytes(5_000_000)),
    "program": b"\x7fELF\2\1\1" + bytes(5_000),
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"0 obj\n" * 100,
    "only a beginning": FTYP,
    "boxes in boxes": FTYP + box(b"moov", claims=2**31) * 10_000,
    "a box smaller than its header": FTYP + box(b"moov", claims=1) * 1_000,
    "text": b"Once upon a time there was no media file at all.\n" * 100,
    "zeros": bytes(10_000),
    "one byte": b"\0",
    "picture": bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(200),
    "web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "zip": b"PK\x03\x04" + bytes(500),
    "playlist": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "remote playlist": b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/hostname'\n",
    "session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "a letter": "Dear Elinor, … yours, M. --> turn over\n".encode(),
}


@pytest.mark.parametrize("kind", NOT_MEDIA)
async def test_what_is_not_media_is_refused_and_opens_nothing_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "claims.mp4"
    path.write_bytes(NOT_MEDIA[kind])
    with pytest.raises(NotMediaError, match="not a media file"):
        await probe(path)


async def test_a_box_that_claims_more_than_there_is_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "claims.mp4"
    path.write_bytes(FTYP + box(b"moov", b"x" * 100, claims=2**32 - 1))
    with pytest.raises(NothingToPlayError):
        await probe(path)


async def test_a_playlist_beside_real_media_does_not_reach_it(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "part.ts").write_bytes((clips / "v.mp4").read_bytes())
    path = tmp_path / "list.mp4"
    path.write_bytes(f"ffconcat version 1.0\nfile '{tmp_path / 'part.ts'}'\n".encode())
    with pytest.raises(NotMediaError):
        await probe(path)


async def test_a_container_without_picture_or_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n")
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "s.srt"), str(tmp_path / "s.mkv")]
    await asyncio.to_thread(subprocess.run, command, check=True)
    with pytest.raises(NothingToPlayError, match="neither sound nor picture"):
        await probe(tmp_path / "s.mkv")


async def test_a_name_that_looks_like_an_option_or_a_url_is_a_name(clips: Path, tmp_path: Path) -> None:
    for name in ("-i.mp4", "http:--x", "concat:a|b", "100%d.mp4"):
        (tmp_path / name).write_bytes((clips / "v.mp4").read_bytes())
        assert (await probe(tmp_path / name)).kind == "video"


async def test_reading_is_bounded_in_time(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.media.probe.reading", lambda _: Limits(0.0, 1.0))
    with pytest.raises(ProbeTimeoutError):
        await probe(clips / "v.mp4")


def test_a_live_recording_promises_no_size(tmp_path: Path) -> None:
    for size in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        (tmp_path / "live.wav").write_bytes(b"RIFF" + size + b"WAVE")
        assert promised_size(tmp_path / "live.wav", "wav") is None
    (tmp_path / "short.wav").write_bytes(b"RI")
    assert promised_size(tmp_path / "short.wav", "wav") is None
    assert promised_size(tmp_path / "short.wav", "asf") is None
    assert promised_size(tmp_path / "short.wav", "mov") is None


@pytest.mark.parametrize(("name", "container"), [("a.wav", "wav"), ("v.avi", "avi"), ("v.wmv", "asf")])
def test_a_whole_file_is_as_long_as_it_promises(clips: Path, name: str, container: str) -> None:
    assert promised_size(clips / name, container) == (clips / name).stat().st_size
