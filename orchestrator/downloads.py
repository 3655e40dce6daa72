"""A stored object, or bytes at hand, as an HTTP answer: ranges, validators, a file name."""

import hashlib
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from orchestrator.context import AppContext
from orchestrator.errors import OctaviaError
from orchestrator.ranges import UnsatisfiableRangeError, matches_etag, parse_range
from orchestrator.storage import Storage


class RangeNotSatisfiableError(OctaviaError):
    def __init__(self, size: int) -> None:
        super().__init__(
            "range_not_satisfiable",
            f"The file has {size} bytes; the range lies outside of it.",
            416,
            headers={"Content-Range": f"bytes */{size}"},
        )


class StoredFile(Protocol):
    """A row that names an object: an artifact, a media."""

    @property
    def storage_key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def content_type(self) -> str: ...


async def deliver(request: Request, context: AppContext, file: StoredFile, filename: str) -> Response:
    """The file as `send` answers, or by the setting `storage_redirect` a redirect to where the object store has it.

    Raises MissingObjectError, RangeNotSatisfiableError.
    """
    await context.storage.size(file.storage_key)
    if context.settings.storage_redirect and request.method == "GET":
        url = await context.storage.link(file.storage_key)
        if url is not None:
            return RedirectResponse(url, 307, headers={"Cache-Control": "no-store"})
    return send(
        request,
        context.storage,
        file.storage_key,
        size=file.size,
        sha256=file.sha256,
        content_type=file.content_type,
        filename=filename,
    )


def send(
    request: Request, storage: Storage, key: str, *, size: int, sha256: str, content_type: str, filename: str
) -> Response:
    """The object for GET or HEAD: 200, 206, 304, or RangeNotSatisfiableError."""

    def parts(start: int, end: int) -> AsyncIterator[bytes]:
        return storage.stream(key, start, end)

    headers = {"Content-Disposition": content_disposition(filename)}
    return _answer(request, parts, size=size, sha256=sha256, content_type=content_type, headers=headers)


def send_bytes(request: Request, data: bytes, *, content_type: str) -> Response:
    """As `send`, what is at hand and to be played rather than saved."""

    async def parts(start: int, end: int) -> AsyncIterator[bytes]:
        yield data[start:end]

    sha256 = hashlib.sha256(data).hexdigest()
    return _answer(request, parts, size=len(data), sha256=sha256, content_type=content_type, headers={})


def _answer(
    request: Request,
    parts: Callable[[int, int], AsyncIterator[bytes]],
    *,
    size: int,
    sha256: str,
    content_type: str,
    headers: Mapping[str, str],
) -> Response:
    etag = f'"{sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }
    asked: Mapping[str, str] = request.headers
    if matches_etag(asked.get("if-none-match"), etag, strong=False):
        return Response(status_code=304, headers=headers)
    current = "if-range" not in asked or matches_etag(asked["if-range"], etag, strong=True)
    try:
        part = parse_range(asked.get("range"), size) if current and request.method == "GET" else None
    except UnsatisfiableRangeError:
        raise RangeNotSatisfiableError(size) from None
    start, end = (part.start, part.end) if part else (0, size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = part.content_range
    if request.method == "HEAD":
        return Response(status_code=200, headers=headers, media_type=content_type)
    return StreamingResponse(parts(start, end), 206 if part else 200, headers=headers, media_type=content_type)


def content_disposition(filename: str) -> str:
    """An attachment under a name of any script: plain ASCII for old clients, UTF-8 for the rest (RFC 6266, 8187)."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^\w .()\[\]-]", "_", plain).strip() or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
