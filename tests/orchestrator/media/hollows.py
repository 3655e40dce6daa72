"""Files that are empty, hold no media, or last no time."""

import struct
from collections.abc import Callable
from pathlib import Path

from tests.orchestrator.media.boxes import box, rewritten
from tests.orchestrator.media.clips import ffmpeg
from tests.orchestrator.media.giants import ebml, head, lasting, mkv, picture_track, wav

Hollow = Callable[[Path], bytes]
"""Makes the content in a folder of its own."""

EMPTY_TABLES = {kind: lambda _: bytes(8) for kind in (b"stts", b"stsc", b"stco", b"stss", b"ctts")}


def clip(folder: Path, arguments: str = "{picture} {tone} {h264} -c:a aac clip.mp4") -> bytes:
    ffmpeg(folder, arguments)
    return (folder / arguments.rsplit(maxsplit=1)[-1]).read_bytes()


HOLLOWS: dict[str, Hollow] = {
    "empty": lambda _: b"",
    "one byte": lambda _: b"\0",
    "a letter": lambda _: b"Dear Elinor,\nI am well, and hope that this finds you so.\n" * 100,
    "zeros": lambda _: bytes(100_000),
    "nothing but a beginning": lambda _: box(b"ftyp", b"isomiso2\0\0\0\0"),
    "mp4 without samples": lambda folder: rewritten(
        clip(folder), {**EMPTY_TABLES, b"stsz": lambda _: struct.pack(">III", 0, 0, 0)}
    ),
    "mp4 of no seconds in its headers": lambda folder: rewritten(clip(folder), lasting(0)),
    "mp4 of no seconds in its times": lambda folder: rewritten(
        clip(folder), {b"stts": lambda content: content[:4] + struct.pack(">III", 1, 75, 0)}
    ),
    "mp4 of one frame": lambda folder: clip(folder, "{picture} {h264} -frames:v 1 clip.mp4"),
    "mkv without blocks": lambda _: mkv(picture_track(64, 48), duration=0.0),
    "mkv without tracks": lambda _: head() + ebml(0x18538067, b""),
    "wav without sound": lambda _: wav(8000, 1, 0, b""),
    "wav of one sample": lambda _: wav(8000, 1, 2, b"\0\0"),
    "flac without frames": lambda folder: clip(folder, "{tone} -c:a flac clip.flac")[:4000],
    "mp3 of a tag": lambda _: b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014),
    "ogg without sound": lambda folder: clip(folder, "{tone} -c:a libvorbis clip.ogg")[:58],
}
