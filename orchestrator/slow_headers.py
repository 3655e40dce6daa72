"""A bound on how long a request's headers may take, and a body that is refused: uvicorn has none of its own."""

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def http_within(seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's HTTP for its option `http`, which closes a connection whose headers are not there in time.

    The time of a first request begins with the connection, that of a later one with its first byte. The same time has a
    client that goes on sending a body which was answered already, and which nobody reads.
    """

    class PunctualHttp(HttpToolsProtocol):
        _late: TimerHandle | None = None

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._begin()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._late is None:
                self._begin()

        def on_headers_complete(self, *arguments: Any) -> None:
            self._end()
            super().on_headers_complete(*arguments)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.cycle.more_body and self._late is None and not self.transport.is_closing():
                self._begin()

        def on_message_complete(self) -> None:
            self._end()
            super().on_message_complete()

        def _begin(self) -> None:
            self._late = self.loop.call_later(seconds, self.transport.close)

        def _end(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return PunctualHttp
