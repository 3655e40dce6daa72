"""Bodies over the limit are refused in the proxy, before a replica sees them, and what is left of them is not kept."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import Code, ModelError
from serve.protocol.json_text import encoded

LINGER_S = 10.0
"""How long what is still being sent is read and thrown away, so that a client that reads only then gets its answer."""


class OversizeError(ModelError):
    """A request larger than the server takes, for which HTTP has a status of its own."""


def oversize(message: str) -> OversizeError:
    """It is too large and stays so."""
    return OversizeError(Code.RESOURCE_EXHAUSTED, message)


def too_large(limit: int) -> str:
    """The reason for refusing a body over `limit` bytes."""
    return f"the request is larger than the {limit} bytes this server takes (OCTAVIA_SERVE_MAX_REQUEST_BYTES)"


class BodyLimit:
    """ASGI middleware: 413 for a body of more than `limit` bytes, by its Content-Length or by counting."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if _length(headers) > self._limit:
            await self._refuse(receive, send, linger=b"expect" not in headers)
            return
        exchange = _Counted(receive, send, self._limit)
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.over and not exchange.answering:
            await self._refuse(receive, send, linger=True)

    async def _refuse(self, receive: Receive, send: Send, *, linger: bool) -> None:
        body = encoded({"error": too_large(self._limit)})
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if linger:
            with suppress(TimeoutError):
                await asyncio.wait_for(_discard(receive), LINGER_S)
        await send({"type": "http.response.body", "body": b""})


class _Counted:
    """One exchange whose body is counted. To the application, one that grows over the limit is a client that left."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._left = limit
        self.over = False
        self.answering = False

    async def receive(self) -> Message:
        if self.over:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.over = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.over and not self.answering:
            return
        self.answering = True
        await self._send(message)


def _length(headers: Mapping[bytes, bytes]) -> int:
    """Content-Length, 0 where there is none; the server has refused what is no number."""
    value = headers.get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0


async def _discard(receive: Receive) -> None:
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
