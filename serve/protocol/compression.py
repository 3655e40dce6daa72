"""HTTP's content codings gzip and deflate (which is zlib's format, RFC 9110 section 8.4.1.2), in both directions."""

import zlib
from collections.abc import Mapping

from serve.errors import invalid
from serve.protocol.limits import oversize, too_large

WBITS: Mapping[str, int] = {"gzip": 31, "deflate": 15}  # zlib's names for the two formats
FAST = 1
SMALLEST = 1024
"""A shorter answer is not worth compressing."""


def inflated(body: bytes, coding: str, limit: int) -> bytes:
    """The body before it was coded. INVALID_ARGUMENT when it is not of that coding or was cut off, OversizeError before
    more than `limit` bytes have come out.
    """
    stream = zlib.decompressobj(WBITS[coding])
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise invalid(f"the body is not {coding}, as Content-Encoding says: {error}") from None
    if len(data) > limit:
        raise oversize(too_large(limit))
    if not stream.eof:
        raise invalid(f"the body ends in the middle of its {coding} data")
    if stream.unused_data:
        raise invalid(f"{len(stream.unused_data)} bytes follow the {coding} data of the body")
    return data


def deflated(body: bytes, coding: str) -> bytes:
    """The body in that coding, quickly rather than small."""
    stream = zlib.compressobj(FAST, wbits=WBITS[coding])
    return stream.compress(body) + stream.flush()


def accepted(header: str) -> str | None:
    """The coding of ours that an Accept-Encoding header prefers, None where it names none."""
    best, quality = None, 0.0
    for part in header.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        weight = _weight(parameters)
        if coding in WBITS and weight > quality:
            best, quality = coding, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
