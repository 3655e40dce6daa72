"""A resumable download over HTTP: PATH.partial grows, and is renamed when whole."""

import json
from pathlib import Path

import httpx

from serve.sources.common import Progress
from serve.sources.pace import Pace, pause
from serve.weights_errors import FetchError

ATTEMPTS = 5
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
RETRIED = {408, 425, 429, 500, 502, 503, 504}


class _Partial:
    """The beginning of a file and the mark (ETag or Last-Modified) of the version it is the beginning of."""

    def __init__(self, dest: Path) -> None:
        self.path = dest.with_name(dest.name + ".partial")
        self.mark_path = dest.with_name(dest.name + ".partial.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def mark(self) -> str | None:
        try:
            mark = json.loads(self.mark_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return mark if isinstance(mark, str) else None

    def restart(self, mark: str | None) -> None:
        self.path.write_bytes(b"")
        self.mark_path.write_text(json.dumps(mark), encoding="utf-8")

    def publish(self, dest: Path) -> None:
        self.path.replace(dest)
        self.mark_path.unlink(missing_ok=True)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.mark_path.unlink(missing_ok=True)


def version_mark(response: httpx.Response) -> str | None:
    """What If-Range may compare: a strong ETag, else Last-Modified (RFC 9110, 13.1.5)."""
    etag = response.headers.get("etag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    modified = response.headers.get("last-modified")
    return str(modified) if modified else None


def total_size(response: httpx.Response, have: int) -> int | None:
    """Bytes of the whole file, as the response declares it."""
    ranged = response.headers.get("content-range", "")
    if response.status_code == httpx.codes.PARTIAL_CONTENT and ranged.rpartition("/")[2].isdigit():
        return int(ranged.rpartition("/")[2])
    length = response.headers.get("content-length", "")
    return have + int(length) if length.isdigit() else None


def attempt(client: httpx.Client, url: str, partial: _Partial, what: str, progress: Progress) -> None:
    """One request that continues the partial file; returns when it is whole, raises httpx errors otherwise."""
    have, mark = partial.size(), partial.mark()
    headers = {"Accept-Encoding": "identity"}
    if have and mark:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("content-range") == f"bytes */{have}":
                return
            partial.discard()
            raise httpx.ReadError("the file on the server became shorter")
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            have = 0
            partial.restart(version_mark(response))
        total, pace = total_size(response, have), Pace()
        with partial.path.open("ab") as out:
            for chunk in response.iter_raw():  # no chunk size: what it holds back is lost with the connection
                out.write(chunk)
                have += len(chunk)
                progress(what, have, total)
                if pace.too_slow(len(chunk)):
                    raise httpx.ReadTimeout("the server sends too slowly")
    if total is not None and have != total:
        raise httpx.ReadError(f"the connection ended after {have} of {total} bytes")


def download(url: str, dest: Path, *, what: str, progress: Progress, attempts: int = ATTEMPTS) -> None:
    """Downloads url to dest, resuming what an earlier attempt or process left beside it.

    Raises FetchError after `attempts` tries without success, or at once when the server refuses.
    """
    partial = _Partial(dest)
    last: httpx.HTTPError | None = None
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True, max_redirects=5) as client:
        for number in range(attempts):
            if number:
                pause(
                    number,
                    last.response.headers.get("retry-after") if isinstance(last, httpx.HTTPStatusError) else None,
                )
            before = partial.size()
            try:
                attempt(client, url, partial, what, progress)
            except httpx.HTTPStatusError as error:
                last = error
                if error.response.status_code not in RETRIED:
                    break
            except httpx.TooManyRedirects as error:
                last = error
                break
            except httpx.TransportError as error:
                last = error
            else:
                partial.publish(dest)
                return
            if partial.size() < before:
                partial.discard()
    raise FetchError(
        f"{what}: {url} could not be downloaded: {describe(last)}. Check the network and try again; "
        "what has arrived is kept and continued"
    ) from last


def describe(error: Exception | None) -> str:
    """An httpx error in a few words."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered {error.response.status_code} {error.response.reason_phrase}"
    return str(error) or type(error).__name__
