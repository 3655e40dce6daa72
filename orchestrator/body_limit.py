"""A bound on request bodies: JSON is read whole into memory, so nobody may send much of it."""

from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_BYTES = 2**20


class BodyLimitMiddleware:
    """Refuses a body beyond a megabyte with 413, by its announced length or while it is read.

    Paths in `streaming` count their bytes themselves.
    """

    def __init__(self, app: ASGIApp, streaming: Collection[str]) -> None:
        self._app = app
        self._streaming = streaming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._streaming:
            await self._app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > JSON_BYTES:
                raise HTTPException(413, "The request is too large.", headers={"Connection": "close"})
            return message

        await self._app(scope, counted, send)
