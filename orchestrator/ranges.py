"""Range requests (RFC 9110, section 14): pure."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE)


class UnsatisfiableRangeError(Exception):
    """The range lies outside the representation."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes [start, end) of a representation of `size` bytes."""

    start: int
    end: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """What a Range header asks for; None where the whole is to be sent: no header, several ranges, or not understood.

    Raises UnsatisfiableRangeError for a well-formed range of which nothing exists.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
        if int(last) == 0:
            raise UnsatisfiableRangeError
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return None  # invalid, and an invalid header is ignored
    if start >= size:
        raise UnsatisfiableRangeError
    return ByteRange(start, end, size)


def matches_etag(header: str | None, etag: str, *, strong: bool) -> bool:
    """Whether an If-None-Match (weak comparison) or If-Range (strong) header names this entity tag."""
    if header is None:
        return False
    given = [tag.strip() for tag in header.split(",")]
    if strong:
        return given == [etag]
    return "*" in given or etag in (tag.removeprefix("W/") for tag in given)
