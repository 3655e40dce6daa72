"""A TCP connection that can be cut: what stands between a client and a server that goes away and comes back."""

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self


class Forwarder:
    """Forwards 127.0.0.1:`port` to an address, in a thread of its own; while cut it refuses and ends connections.

    `cuts`: when clients have sent, or with `answers` been sent, so many bytes in all, every connection is ended, once
    for each figure, and new ones are taken at once; `made` counts those. `down_at`: the same once, and it stays cut
    until mended.
    """

    def __init__(
        self, address: str, cuts: Iterable[int] = (), *, down_at: int | None = None, answers: bool = False
    ) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._cuts = deque(sorted(cuts))
        self._down_at = down_at
        self._answers = answers
        self.carried = 0
        self.made = 0
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        self._do(self._cut())

    def mend(self) -> None:
        self._do(self._listen())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, there_writer}
        self._writers |= ends
        with suppress(OSError):
            await asyncio.gather(
                self._pump(reader, there_writer, not self._answers), self._pump(there_reader, writer, self._answers)
            )
        self._writers -= ends
        for end in ends:
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: bool) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            if counts:
                self.carried += len(data)
                await self._cut_in_time()
        writer.close()

    async def _cut_in_time(self) -> None:
        if self._cuts and self.carried >= self._cuts[0]:
            self._cuts.popleft()
            self.made += 1
            for writer in list(self._writers):
                writer.transport.abort()
        if self._down_at is not None and self.carried >= self._down_at:
            self._down_at = None
            await self._cut()
