"""A bound on how slowly a request's body may come: a connection that only trickles is ended."""

import asyncio
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.settings import Settings


class SlowBodyError(HTTPException):
    """FastAPI passes this class through where it reads a body itself; every other error there means a bad request."""

    def __init__(self) -> None:
        message = "The body came too slowly, so the connection was closed. Send it again over a better one."
        super().__init__(408, message, headers={"Connection": "close"})


@dataclass(slots=True)
class Pace:
    """How long a sender may still keep us waiting: `grace_s` at first, and what it sends earns it back, never more."""

    grace_s: float
    bytes_per_s: float
    left_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.left_s = self.grace_s

    def waited(self, seconds: float) -> None:
        self.left_s = max(0.0, self.left_s - seconds)

    def came(self, size: int) -> None:
        self.left_s = min(self.grace_s, self.left_s + size / self.bytes_per_s)


class SlowBodyMiddleware:
    """Raises SlowBodyError where a body is read that comes too slowly. Time we take ourselves does not count."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        pace = Pace(self._settings.body_grace_s, self._settings.body_bytes_per_s)
        clock = asyncio.get_running_loop().time
        complete = False

        async def timed() -> Message:
            nonlocal complete
            if complete:  # what is waited for now is that the client goes
                return await receive()
            began = clock()
            try:
                async with asyncio.timeout(pace.left_s):
                    message = await receive()
            except TimeoutError:
                raise SlowBodyError from None
            pace.waited(clock() - began)
            pace.came(len(message.get("body", b"")))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, timed, send)
