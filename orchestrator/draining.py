"""How an API process ends: first its load balancer turns away, then what is under way ends.

On SIGTERM `/readyz` answers 503 while everything else is served as before, each answer with `Connection: close`. After
`api_drain_s` event streams end, no connection is taken any more, and requests have `api_finish_s` to be answered. A
second signal cuts the first part short. The exit status is 0.
"""

import time
from collections.abc import Callable
from types import FrameType

import structlog
import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.errors import OctaviaError

log = structlog.get_logger(__name__)


class DrainingError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("draining", "This process is about to end: ask another one.", 503)


class Drain:
    """Whether the process is about to end, and until when it takes requests."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: how long requests are taken after `begin`."""
        self.seconds = seconds
        self._until: float | None = None
        self._at_end: list[Callable[[], None]] = []

    def begin(self) -> None:
        """The process is about to end. A second call ends the wait at once."""
        now = time.monotonic()
        self._until = now + self.seconds if self._until is None else now

    @property
    def is_begun(self) -> bool:
        return self._until is not None

    @property
    def is_over(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until

    def at_end(self, call: Callable[[], None]) -> None:
        """Call it when no request is taken any more."""
        self._at_end.append(call)

    def end(self) -> None:
        for call in self._at_end:
            call()


class DrainMiddleware:
    """While the process drains, connections are not kept: their next request goes elsewhere."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._drain.is_begun:
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, closing)


class DrainingServer(uvicorn.Server):
    """uvicorn, which by itself takes no connection from the first signal on and ends with the signal's exit status."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        if self._drain.is_over:
            self.should_exit = True
        return await super().on_tick(counter)

    async def main_loop(self) -> None:
        await super().main_loop()
        log.info("taking no more requests", seconds=self.config.timeout_graceful_shutdown)
        self._drain.end()
