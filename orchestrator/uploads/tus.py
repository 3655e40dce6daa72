"""The words of the tus protocol 1.0 (https://tus.io/protocols/resumable-upload): its headers and refusals. Pure."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from orchestrator.errors import OctaviaError
from orchestrator.media.names import UNTITLED, display_name

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "expiration", "termination")
CONTENT_TYPE = "application/offset+octet-stream"
LONGEST_METADATA = 8 * 2**10

RESUMABLE = "Tus-Resumable"
OFFSET = "Upload-Offset"
LENGTH = "Upload-Length"
METADATA = "Upload-Metadata"
EXPIRES = "Upload-Expires"
MEDIA_ID = "Octavia-Media-Id"
"""Ours: with the answer to the request that brought the last byte, the media that the upload became."""
HEADERS = (RESUMABLE, "Tus-Version", "Tus-Extension", "Tus-Max-Size", OFFSET, LENGTH, METADATA, EXPIRES, MEDIA_ID)
"""What a page of another origin must be able to read."""

_NUMBER = re.compile(r"[0-9]{1,18}")


class UnsupportedVersionError(OctaviaError):
    def __init__(self) -> None:
        super().__init__(
            "tus_version",
            f"Say which protocol you speak: {RESUMABLE}: {VERSION}. No other version is spoken here.",
            412,
            headers={"Tus-Version": VERSION},
        )


class InvalidHeaderError(OctaviaError):
    """A header of the protocol is missing or cannot be read."""

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__("invalid_header", f"The header {name} must be {wanted}.", 400, header=name)


class WrongContentTypeError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("wrong_content_type", f"Send the bytes with Content-Type: {CONTENT_TYPE}.", 415)


def check_version(given: str | None) -> None:
    """Raises UnsupportedVersionError."""
    if given != VERSION:
        raise UnsupportedVersionError


def check_content_type(given: str | None) -> None:
    """Raises WrongContentTypeError."""
    if (given or "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise WrongContentTypeError


def number(name: str, given: str | None) -> int:
    """A whole number of bytes. Raises InvalidHeaderError."""
    if given is None or not _NUMBER.fullmatch(given):
        raise InvalidHeaderError(name, "a number of bytes, in digits")
    return int(given)


def metadata(given: str | None) -> Mapping[str, str]:
    """The values of Upload-Metadata by their keys; a key without a value has an empty one.

    Raises InvalidHeaderError for what is not pairs of a key and Base64, twice the same key, or too much.
    """
    found: dict[str, str] = {}
    if not (given or "").strip():
        return found
    if len(given or "") > LONGEST_METADATA:
        raise InvalidHeaderError(METADATA, f"at most {LONGEST_METADATA} characters long")
    for pair in (given or "").split(","):
        key, _, value = pair.strip().partition(" ")
        if not key or not key.isascii() or key in found:
            raise InvalidHeaderError(METADATA, "pairs of a key and a Base64 value, separated by commas, each key once")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise InvalidHeaderError(METADATA, f"pairs with Base64 values; that of {key!r} is not") from None
    return found


def filename(metadata: Mapping[str, str]) -> str:
    """The name to show: tus clients send `filename`, some `name`."""
    return display_name(metadata.get("filename") or metadata.get("name") or UNTITLED)


def date(moment: datetime) -> str:
    """A time as in Upload-Expires (RFC 9110, section 5.6.7)."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)
