"""Rewrites an MP4 or QuickTime file box by box (ISO/IEC 14496-12), to make files that no writer would make."""

import struct
from collections.abc import Callable

Rewrite = Callable[[bytes], bytes]
"""From a box's content to another."""

CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"udta"})


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def rewritten(data: bytes, changes: dict[bytes, Rewrite]) -> bytes:
    """The file with the content of every box of these kinds changed; `moov` has to stand behind `mdat`."""
    out, at = b"", 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = size or len(data) - at
        content = data[at + 8 : at + size]
        if kind in CONTAINERS:
            content = rewritten(content, changes)
        if kind in changes:
            content = changes[kind](content)
        out += box(kind, content)
        at += size
    return out


def alias(folder: str, name: str) -> bytes:
    """A `dref` box's content with one Macintosh alias to a file beside this one, by its relative and absolute path."""
    path = f"{folder}/{name}".encode()
    path += bytes(len(path) % 2)
    record = bytes(10) + bytes([0]) + bytes(27) + bytes(12)
    record += bytes([len(name)]) + name.encode()[:63].ljust(63, b"\0") + bytes(16)
    record += struct.pack(">HH", 1, 1) + bytes(16)
    record += struct.pack(">HH", 2, len(path)) + path + struct.pack(">HH", 0xFFFF, 0)
    return struct.pack(">II", 0, 1) + box(b"alis", bytes(4) + record.ljust(160, b"\0"))


def url(address: str) -> bytes:
    """A `dref` box's content with one reference to an address."""
    return struct.pack(">II", 0, 1) + box(b"url ", bytes(4) + address.encode() + b"\0")
