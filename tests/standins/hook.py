"""A receiver of webhooks on loopback that believes nobody: it verifies as its owner would, by a library not of ours.

It can be told to refuse, to be slow, to point elsewhere and to hang up.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from svix.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came: `headers` by their names in small letters."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, if the secret has signed it and it is fresh. Raises WebhookVerificationError."""
        said: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return said

    def is_from(self, secret: str) -> bool:
        try:
            self.verified(secret)
        except WebhookVerificationError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Reply:
    """`seconds`: how long it takes. `status` 0 hangs up instead."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0


@dataclass
class HookReceiver:
    """Listens on 127.0.0.1 in threads of its own. Answers `replies` in turn, and then always `then`."""

    replies: deque[Reply] = field(default_factory=deque)
    then: Reply = field(default_factory=Reply)
    calls: list[Call] = field(default_factory=list)
    on_call: Callable[[Call], None] = lambda _: None
    """Told of each request before it is answered."""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


def _handler(receiver: HookReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.calls.append(call)
            receiver.on_call(call)
            reply = receiver.replies.popleft() if receiver.replies else receiver.then
            time.sleep(reply.seconds)
            if not reply.status:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler
