"""A stand-in for the Hugging Face hub and for file servers: enough of the real HTTP API for huggingface_hub.

Large files go the way of the real hub: metadata by HEAD with X-Linked-Etag and X-Repo-Commit, content by a redirect to
another host, with ranges. It can cut and stall connections, change or falsify contents, refuse, put off, rename
repositories, and it remembers who was asked for what with which headers.
"""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
GOOD_TOKEN = "hf_good"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    at: float


@dataclass
class File:
    """One file: what is declared of it and what is really sent."""

    content: bytes
    lfs: bool = False
    sent: bytes | None = None  # sent in place of content
    cuts: list[int] = field(default_factory=list)  # each request takes one: the connection ends after so many bytes
    status: list[int] = field(default_factory=list)  # each request takes one: answered by this instead
    stalls: list[int] = field(default_factory=list)  # as cuts, but the connection stays open and silent
    changes: list[bytes] = field(default_factory=list)  # each cut takes one: the content from then on
    etag: str | None = None
    retry_after: str | None = None  # sent with each status
    ranges: bool = True  # whether it heeds Range
    gated: bool = False  # needs a token, and GOOD_TOKEN is the one that has been granted access
    type: str = "application/octet-stream"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content, usedforsecurity=False).hexdigest()

    @property
    def mark(self) -> str:
        return f'"{self.etag or (self.sha256 if self.lfs else self.blob)}"'


class Hub:
    """`with Hub() as hub:` listens on loopback at hub.url. hub.repos[NAME][FILE]; hub.files[PATH] for the rest."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, File]] = {}
        self.files: dict[str, File] = {}
        self.gated: set[str] = set()  # repositories whose files want a token
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.seen: list[Seen] = []
        self.commit = COMMIT  # what "main" means
        self.status: list[int] = []  # each question about a repository takes one: answered by this instead
        self.retry_after: str | None = None  # sent with it
        self.renamed: dict[str, str] = {}  # repository -> its new name, told by a relative redirect
        self.redirects: dict[str, str] = {}  # path -> Location
        self.delay_s = 0.0
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.cdn = (
            f"http://localhost:{self._server.server_address[1]}"  # content comes from another host, as in reality
        )

    def count(self, method: str, ending: str) -> int:
        """How many requests of that method had a path with that ending."""
        return Counter((m, p.endswith(ending)) for m, p, _ in self.requests)[method, True]

    def ranges(self, ending: str) -> list[str | None]:
        """The Range of each GET of a path with that ending."""
        return [r for m, p, r in self.requests if m == "GET" and p.endswith(ending)]

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def _model_info(name: str, commit: str, files: dict[str, File]) -> bytes:
    siblings = []
    for path, file in files.items():
        entry: dict[str, object] = {"rfilename": path, "size": len(file.content), "blobId": file.blob}
        if file.lfs:
            entry["lfs"] = {"sha256": file.sha256, "size": len(file.content), "pointerSize": 134}
        siblings.append(entry)
    return json.dumps(
        {"id": name, "modelId": name, "sha": commit, "private": False, "tags": [], "siblings": siblings}
    ).encode()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            return

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Range")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            hub.seen.append(Seen(self.command, headers["host"].partition(":")[0], path, headers, time.monotonic()))
            time.sleep(hub.delay_s)
            if path == "/api/models":
                self._json(200, b"[]")
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
                self._info(match[1], match[2], path)
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._resolve(match[1], match[3], path)
            elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
                self._send(hub.repos[match[1]][match[2]])
            elif path in hub.redirects:
                self._head(302, {"Location": hub.redirects[path], "Content-Length": "0"})
            elif path in hub.files:
                self._send(hub.files[path])
            else:
                self._error(404, "EntryNotFound")

        def _moved(self, name: str, path: str) -> bool:
            if name in hub.renamed:
                self._head(307, {"Location": path.replace(name, hub.renamed[name]), "Content-Length": "0"})
            return name in hub.renamed

        def _info(self, name: str, revision: str | None, path: str) -> None:
            if hub.status:
                self._error(hub.status.pop(0), "Refused", hub.retry_after)
            elif self._moved(name, path):
                return
            elif name not in hub.repos:
                self._error(401, "RepoNotFound")
            elif revision not in (None, "main", hub.commit):
                self._error(404, "RevisionNotFound")
            else:
                self._json(200, _model_info(name, hub.commit, hub.repos[name]))

        def _resolve(self, name: str, path: str, asked: str) -> None:
            if self._moved(name, asked):
                return
            file = hub.repos.get(name, {}).get(path)
            if file is None:
                self._error(404, "EntryNotFound")
                return
            token = self.headers.get("Authorization")
            if (file.gated or name in hub.gated) and token != f"Bearer {GOOD_TOKEN}":
                self._error(403 if token else 401, "GatedRepo")
                return
            extra = {"X-Repo-Commit": hub.commit}
            if file.lfs:
                extra |= {"X-Linked-Etag": file.mark, "X-Linked-Size": str(len(file.content))}
                extra["Location"] = f"{hub.cdn}/cdn/{name}/{path}"
                self._head(302, extra | {"Content-Length": "0"})
            else:
                self._send(file, extra)

        def _send(self, file: File, extra: dict[str, str] | None = None) -> None:
            if file.status and self.command == "GET":
                self._error(file.status.pop(0), "Busy", file.retry_after)
                return
            body = file.content if file.sent is None else file.sent
            start, headers = 0, {"ETag": file.mark, "Content-Type": file.type, **(extra or {})}
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            status = 200
            if asked and file.ranges and self.headers.get("If-Range", file.mark) == file.mark:
                start = int(asked[1])
                if start >= len(body):
                    self._head(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
                    return
                status, headers["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
            self._head(status, headers | {"Content-Length": str(len(body) - start)})
            if self.command == "HEAD":
                return
            cut = file.cuts.pop(0) if file.cuts else file.stalls[0] if file.stalls else None
            self.wfile.write(body[start:] if cut is None else body[start : start + cut])
            if cut is None:
                return
            self.wfile.flush()
            self.close_connection = True
            if file.changes:
                file.content = file.changes.pop(0)
            elif file.stalls and cut == file.stalls[0]:
                file.stalls.pop(0)
                hub.closing.wait(60)

        def _json(self, status: int, body: bytes) -> None:
            self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))})
            if self.command == "GET":
                self.wfile.write(body)

        def _error(self, status: int, code: str, retry_after: str | None = None) -> None:
            wait = {"Retry-After": retry_after} if retry_after else {}
            self._head(status, {"X-Error-Code": code, "X-Error-Message": code, "Content-Length": "0", **wait})

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler
