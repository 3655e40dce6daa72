"""How long a file's own header says the file is, for containers whose readers bend the duration to what is there."""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_HEAD_BYTES = 64 * 2**10


def _riff(head: bytes) -> int | None:
    """RIFF (wav, avi): a 32-bit size after the tag; 0 and 0xFFFFFFFF stand for unknown, as live recorders write."""
    if head[:4] != b"RIFF" or len(head) < 8:
        return None
    (size,) = struct.unpack_from("<I", head, 4)
    return None if size in (0, 0xFFFFFFFF) else size + 8


def _asf(head: bytes) -> int | None:
    """ASF (wmv): file size and flags in the File Properties Object (ASF specification, section 3.2)."""
    at = head.find(_ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return None
    (size,) = struct.unpack_from("<Q", head, at + 40)
    (flags,) = struct.unpack_from("<I", head, at + 88)
    broadcast = flags & 1
    return None if broadcast else size


_READERS: Mapping[str, Callable[[bytes], int | None]] = {"wav": _riff, "avi": _riff, "asf": _asf}


def promised_size(path: Path, container: str) -> int | None:
    """Bytes the header promises; None where the container says nothing of it."""
    reader = _READERS.get(container)
    if reader is None:
        return None
    with path.open("rb") as file:
        return reader(file.read(_HEAD_BYTES))
