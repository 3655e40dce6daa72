"""A limit on the time some work takes, whose clock stands still while what the work needs is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class _Clock:
    """Of one piece of work. Tasks it starts have the same: while any of them waits, the time does not count."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._waiting = 0
        self._left = 0.0

    def stop(self) -> None:
        self._waiting += 1
        when = self._timeout.when()
        if self._waiting == 1 and when is not None and not self._timeout.expired():
            self._left = when - asyncio.get_running_loop().time()
            self._timeout.reschedule(None)

    def go_on(self) -> None:
        self._waiting -= 1
        if not self._waiting and self._timeout.when() is None:
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._left)


_clock: ContextVar[_Clock | None] = ContextVar("time_limit", default=None)


@asynccontextmanager
async def time_limit(seconds: float, over: Exception) -> AsyncIterator[None]:
    """Cancels the body when it has taken so long, and raises `over`. Its own TimeoutError passes as it is."""
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            before = _clock.set(_Clock(timeout))
            try:
                yield
            finally:
                _clock.reset(before)
    except TimeoutError:
        if timeout.expired():
            raise over from None
        raise


@contextmanager
def not_counted() -> Iterator[None]:
    """The time spent inside does not count towards the limit the caller works under, if there is one."""
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.stop()
    try:
        yield
    finally:
        clock.go_on()
