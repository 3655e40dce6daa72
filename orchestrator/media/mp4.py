"""What ffmpeg's MP4 writer cannot be told: it enables the first subtitle track whatever its disposition."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SUBTITLES = b"sbtl"
TRACK_ENABLED = 1


def disable_tracks(path: Path, handler: bytes = SUBTITLES) -> None:
    """Clear the enabled flag of all tracks with this handler type (ISO/IEC 14496-12, 8.3.2), in place."""
    with path.open("r+b") as file:
        for kind, start, stop in _boxes(file, 0, path.stat().st_size):
            if kind == b"moov":
                for track, first, last in _boxes(file, start, stop):
                    if track == b"trak" and _handler(file, first, last) == handler:
                        _disable(file, first, last)


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, and content's first and last offset, of the boxes between two offsets."""
    while start + 8 <= stop:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            header = 16
        size = size or stop - start
        if size < header:
            return
        yield kind, start + header, start + size
        start += size


def _inside(file: BinaryIO, start: int, stop: int, wanted: bytes) -> tuple[int, int] | None:
    return next(((first, last) for kind, first, last in _boxes(file, start, stop) if kind == wanted), None)


def _handler(file: BinaryIO, start: int, stop: int) -> bytes | None:
    media = _inside(file, start, stop, b"mdia")
    found = _inside(file, *media, b"hdlr") if media else None
    if found is None:
        return None
    file.seek(found[0] + 8)  # version and flags, pre_defined
    return file.read(4)


def _disable(file: BinaryIO, start: int, stop: int) -> None:
    header = _inside(file, start, stop, b"tkhd")
    if header is not None:
        file.seek(header[0] + 3)  # version, then three bytes of flags
        flags = file.read(1)[0]
        file.seek(header[0] + 3)
        file.write(bytes([flags & ~TRACK_ENABLED]))
