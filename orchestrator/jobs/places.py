"""Who may work in this process now: so many at once, shared between what is paid and what is not.

While both wait, each place that becomes free goes to the kind that has less of its share: over the time one place is
held, paid work gets its share of the places and the other never less than the rest. What one kind leaves, the other
takes at once. Inside a kind, first come, first served.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Kind:
    """Those of a kind that work, and those that wait. `share` of the places is theirs while the others wait too."""

    share: float
    working: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    @property
    def fullness(self) -> float:
        return self.working / self.share


class Places:
    """`total` places. Whoever wants to be alone gets all of them, once the others have left."""

    def __init__(self, total: int, paid_share: float) -> None:
        self._total = total
        self._kinds = {True: _Kind(paid_share), False: _Kind(1 - paid_share)}
        self._alone: deque[asyncio.Future[None]] = deque()
        self._is_one_alone = False
        self._served_last = False

    @asynccontextmanager
    async def taken(self, *, paid: bool, alone: bool = False) -> AsyncIterator[None]:
        """Wait for a place and hold it during the body."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._alone if alone else self._kinds[paid].waiting).append(turn)
        self._admit()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._leave(paid, alone)
            self._admit()

    @property
    def total(self) -> int:
        """How many there are."""
        return self._total

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        queues = (self._alone, *(kind.waiting for kind in self._kinds.values()))
        return sum(not turn.cancelled() for queue in queues for turn in queue)

    @property
    def working(self) -> int:
        """How many places are held."""
        return self._is_one_alone + sum(kind.working for kind in self._kinds.values())

    def _admit(self) -> None:
        """Let in whom there is room for. Who has stopped waiting is passed over."""
        for queue in (self._alone, *(kind.waiting for kind in self._kinds.values())):
            while queue and queue[0].cancelled():
                queue.popleft()
        if self._alone and not self.working:
            self._is_one_alone = True
            self._alone.popleft().set_result(None)
        if self._alone or self._is_one_alone:
            return
        if self.working < self._total and (paid := self._next()) is not None:
            kind = self._kinds[paid]
            kind.working += 1
            self._served_last = paid
            kind.waiting.popleft().set_result(None)
            self._admit()

    def _next(self) -> bool | None:
        """The kind whose turn it is; None where nobody waits. Of two that are as full, the other than last."""
        waiting = [paid for paid, kind in self._kinds.items() if kind.waiting]
        return min(waiting, key=lambda paid: (self._kinds[paid].fullness, paid == self._served_last), default=None)

    def _leave(self, paid: bool, alone: bool) -> None:
        if alone:
            self._is_one_alone = False
        else:
            self._kinds[paid].working -= 1
