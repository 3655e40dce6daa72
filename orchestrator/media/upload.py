"""A multipart upload, streamed from the socket into storage: neither memory nor a scratch file ever holds it whole."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from orchestrator.errors import OctaviaError
from orchestrator.media.names import UNTITLED, display_name
from orchestrator.observability.metrics import UPLOADED
from orchestrator.storage import Storage, Stored
from orchestrator.uploads.quotas import Size

FIELD = "file"
ENVELOPE_BYTES = 64 * 2**10
"""Boundaries, part headers and small other fields around the file."""


class TooLargeError(OctaviaError):
    """More bytes than a file of this kind may have."""

    def __init__(self, limit: int, kind: str = "file") -> None:
        message = f"The {kind} is too large: at most {limit / 2**20:g} MB are accepted. Compress or cut it."
        # The rest of the body is not read, so the connection cannot carry another request.
        super().__init__("too_large", message, 413, headers={"Connection": "close"}, limit=limit)
        self.limit = limit


class NotMultipartError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("not_multipart", f"Send the file as multipart/form-data, in the field '{FIELD}'.", 415)


class BrokenUploadError(OctaviaError):
    """The body is not well-formed multipart, or ends too early."""

    def __init__(self) -> None:
        super().__init__("upload_broken", "The upload is not a complete multipart body. Send it again.", 400)


class NoFileError(OctaviaError):
    def __init__(self, message: str) -> None:
        super().__init__("no_file", message, 422)


@dataclass(frozen=True, slots=True)
class Received:
    """A stored upload, the name to show for it, and the text of the other fields of its form."""

    filename: str
    stored: Stored
    fields: Mapping[str, str] = field(default_factory=dict)


def announced_size(request: Request, limit: int) -> Size:
    """How large the file can be, by the length of the body where that is announced.

    Raises TooLargeError where it must be larger than `limit`.
    """
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal():
        return Size(0, limit)
    least = max(0, int(announced) - ENVELOPE_BYTES)
    if least > limit:
        raise TooLargeError(limit)
    return Size(least, min(limit, int(announced)))


async def receive(request: Request, storage: Storage, key: str, limit: int) -> Received:
    """Store the body's field `file`, of at most `limit` bytes, under `key`.

    Raises TooLargeError when the limit is passed; NotMultipartError, BrokenUploadError, NoFileError, StorageFullError.
    Whatever ends it early, nothing is stored.
    """
    parser = _FileParser(_boundary(request))
    stored = await storage.put_stream(key, _file_bytes(request, parser, limit))
    return Received(parser.filename, stored, parser.fields)


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 256:
        raise NotMultipartError
    return boundary


async def _file_bytes(request: Request, parser: "_FileParser", limit: int) -> AsyncIterator[bytes]:
    size = around = 0
    async for chunk in request.stream():
        data = parser.feed(chunk)
        size += len(data)
        around += len(chunk) - len(data)
        if size > limit or around > ENVELOPE_BYTES:
            raise TooLargeError(limit)
        if data:
            UPLOADED.inc(len(data))
            yield data
    parser.finish()
    if not parser.found:
        raise NoFileError(f"The upload has no file: put it into the field '{FIELD}'.")
    if size == 0:
        raise NoFileError("The file is empty (0 bytes). Upload one that is not.")


class _FileParser:
    """Picks the bytes of the one file field out of a multipart body, fed in pieces, and keeps the text of the others.

    Those are few: what lies around the file is bounded by ENVELOPE_BYTES.
    """

    def __init__(self, boundary: bytes) -> None:
        self.filename = UNTITLED
        self.found = False
        self.fields: dict[str, str] = {}
        self._inside = False
        self._other = ""
        self._text = bytearray()
        self._complete = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._data: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
                "on_end": self._body_ends,
            },
        )

    def feed(self, chunk: bytes) -> bytes:
        """The file's bytes in this piece of the body."""
        self._data.clear()
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BrokenUploadError from error
        return b"".join(self._data)

    def finish(self) -> None:
        """Raises BrokenUploadError unless the closing boundary was seen."""
        if not self._complete:
            raise BrokenUploadError

    def _part_begins(self) -> None:
        self._disposition = b""

    def _header_ends(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"")
        if name != FIELD.encode():
            self._other = name.decode("utf-8", "replace")
            return
        if self.found:
            raise NoFileError(f"The upload has more than one field '{FIELD}'. Send one file at a time.")
        self.found = self._inside = True
        self.filename = display_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._data.append(data[start:end])
        elif self._other:
            self._text += data[start:end]

    def _part_ends(self) -> None:
        if self._other:
            self.fields[self._other] = self._text.decode("utf-8", "replace")
        self._inside = False
        self._other = ""
        self._text.clear()

    def _body_ends(self) -> None:
        self._complete = True
