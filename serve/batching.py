"""Batches across callers: requests wait in lanes, and only those of one lane share a batch.

A batch starts when a slot is free and a lane is due: it holds `preferred` units of work, or its oldest request has
waited for `max_delay_s`. Of the lanes that are due, the one with the largest batch goes first, but none is passed over
more than PASSED_OVER times. While all slots are busy the lanes fill, so load makes batches larger by itself.

A batch that ends sends its callers away, and many come back with their next request: a moment in proportion to what it
took is left to them before a lane that is not full goes.

A request is refused at once when the queue is full, or when it would not begin before its deadline at the speed
measured so far. What was cancelled or ran out of time while it waited never enters a batch.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from serve.errors import exhausted, expired

Request = TypeVar("Request")
Result = TypeVar("Result")

PASSED_OVER = 2

SMOOTHING = 0.2
"""Weight of the newest batch in the running mean of seconds per unit."""

REGROUPING = 0.03
"""The part of an ended batch's time that its callers have to come back, at most `max_delay_s`."""

RECOVERY_BATCHES = 200
"""After so many good batches a limit halved for want of memory is doubled again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Units are rows or tokens, as the model counts them (`Laned.size`).

    slots: batches at the same time. preferred: units that are worth starting without waiting for more. max_queued:
    units that may wait. default_wait_s: how long a request without a deadline may wait before it begins.
    """

    max_size: int
    preferred: int = 1
    max_delay_s: float = 0.0
    slots: int = 1
    max_queued: int = 10_000
    default_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Served(Generic[Result]):
    """A request's result, with seconds waited and computed, the units of the batch it shared, and its part of that."""

    result: Result
    queue_s: float
    compute_s: float
    batch: int
    share: float = 1.0


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Request, Result]):
    request: Request
    size: int
    deadline: float | None
    since: float
    future: asyncio.Future[Served[Result]]


@dataclass(slots=True)
class _Lane(Generic[Request, Result]):
    key: Hashable
    waiting: deque[_Waiting[Request, Result]]
    size: int = 0
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class _Running:
    began: float
    size: int


class Batcher(Generic[Request, Result]):
    """Runs requests in batches on `run`, one result a request, in order; what it raises reaches them all."""

    def __init__(self, run: Callable[[list[Request]], Awaitable[Sequence[Result]]], limits: Limits) -> None:
        self._run = run
        self.limits = limits
        self.queued = 0
        self._max_size = limits.max_size
        self._lanes: dict[Hashable, _Lane[Request, Result]] = {}
        self._running: dict[asyncio.Task[None], _Running] = {}
        self._unit_s = 0.0
        self._good = 0
        self._regrouped_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def submit(
        self, request: Request, *, lane: Hashable = None, size: int = 1, deadline: float | None = None
    ) -> Served[Result]:
        """The request's result. RESOURCE_EXHAUSTED at once when it would wait too long, DEADLINE_EXCEEDED when its time
        (`deadline`, time.time()) ran out in the queue. Cancelling the call takes the request out of the queue.
        """
        self._admit(size, deadline)
        future: asyncio.Future[Served[Result]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(request, size, deadline, time.monotonic(), future)
        queue = self._lanes.setdefault(lane, _Lane(lane, deque()))
        queue.waiting.append(waiting)
        queue.size += size
        self.queued += size
        self._dispatch()
        try:
            return await future
        except asyncio.CancelledError:
            self._leave(lane, waiting)
            raise

    def halve(self) -> None:
        """The batch did not fit into memory: batches are half as large from now on."""
        self._max_size = max(1, self._max_size // 2)
        self._good = 0

    def oldest_running_s(self) -> float:
        """How long the longest running batch has been running."""
        now = time.monotonic()
        return max((now - each.began for each in self._running.values()), default=0.0)

    def expected_wait_s(self) -> float:
        """How long a request that came now would wait, at the mean speed of the batches so far."""
        if len(self._running) < self.limits.slots:
            return 0.0
        return (self._running_units() + self.queued) * self._unit_s / self.limits.slots

    def _running_units(self) -> float:
        """Units of the running batches that are not done yet, at the mean speed of the batches so far."""
        if not self._unit_s:
            return float(sum(each.size for each in self._running.values()))
        now = time.monotonic()
        return sum(max(0.0, each.size - (now - each.began) / self._unit_s) for each in self._running.values())

    def _admit(self, size: int, deadline: float | None) -> None:
        if self.queued and self.queued + size > self.limits.max_queued:
            message = f"the queue is full ({self.queued} waiting); try again later"
            raise exhausted(message, self.expected_wait_s())
        patience = self.limits.default_wait_s if deadline is None else deadline - time.time()
        if patience is None:
            return
        if patience <= 0:
            raise expired("the request's time ran out before it arrived at the model")
        wait = self.expected_wait_s()
        if wait > patience:
            message = f"overloaded: it would wait about {wait:.1f} s and has {patience:.1f} s; try again later"
            raise exhausted(message, wait - patience)

    def _leave(self, key: Hashable, waiting: _Waiting[Request, Result]) -> None:
        lane = self._lanes.get(key)
        if lane is not None and waiting in lane.waiting:
            lane.waiting.remove(waiting)
            self._left(lane, waiting)

    def _left(self, lane: _Lane[Request, Result], waiting: _Waiting[Request, Result]) -> None:
        lane.size -= waiting.size
        self.queued -= waiting.size
        if not lane.waiting:
            del self._lanes[lane.key]

    def _dispatch(self) -> None:
        while len(self._running) < self.limits.slots and (lane := self._next()) is not None:
            batch = self._take(lane)
            if batch:
                task = asyncio.get_running_loop().create_task(self._execute(batch))
                self._running[task] = _Running(time.monotonic(), sum(each.size for each in batch))
                task.add_done_callback(partial(self._ended, batch))
        self._wake_when_due()

    def _next(self) -> _Lane[Request, Result] | None:
        """The lane that goes next, or None when none is due."""
        now = time.monotonic()
        enough = min(self.limits.preferred, self._max_size)
        due = [lane for lane in self._lanes.values() if lane.size >= enough or now >= self._due_at(lane)]
        if not due:
            return None
        chosen = max(due, key=self._rank)
        for lane in due:
            lane.passed_over = 0 if lane is chosen else lane.passed_over + 1
        return chosen

    def _due_at(self, lane: _Lane[Request, Result]) -> float:
        """When the lane goes however little is in it."""
        return max(lane.waiting[0].since + self.limits.max_delay_s, self._regrouped_at)

    def _rank(self, lane: _Lane[Request, Result]) -> tuple[int, int, float]:
        neglected = lane.passed_over if lane.passed_over >= PASSED_OVER else 0
        return neglected, min(lane.size, self._max_size), -lane.waiting[0].since

    def _take(self, lane: _Lane[Request, Result]) -> list[_Waiting[Request, Result]]:
        """The next batch of a lane, in order of arrival, without what is too late.

        The slots share what is waiting and what is still running, so that all end together.
        """
        share = math.ceil((self.queued + self._running_units()) / self.limits.slots)
        limit = min(self._max_size, max(1, share))
        batch: list[_Waiting[Request, Result]] = []
        taken = 0
        while lane.waiting and (not batch or taken + lane.waiting[0].size <= limit):
            waiting = lane.waiting.popleft()
            self._left(lane, waiting)
            if waiting.deadline is not None and time.time() >= waiting.deadline:
                waiting.future.set_exception(expired("the request's time ran out while it waited for a batch"))
            else:
                batch.append(waiting)
                taken += waiting.size
        return batch

    async def _execute(self, batch: list[_Waiting[Request, Result]]) -> None:
        size = sum(each.size for each in batch)
        began = time.monotonic()
        results = await self._run([each.request for each in batch])
        took = time.monotonic() - began
        self._learn(took / size)
        self._regrouped_at = time.monotonic() + min(self.limits.max_delay_s, REGROUPING * took)
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(Served(result, began - waiting.since, took, size, waiting.size / size))

    def _ended(self, batch: list[_Waiting[Request, Result]], task: asyncio.Task[None]) -> None:
        del self._running[task]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        for waiting in batch:
            if error is not None and not waiting.future.done():
                waiting.future.set_exception(error)
        self._dispatch()

    def _learn(self, unit_s: float) -> None:
        self._unit_s = unit_s if not self._unit_s else (1 - SMOOTHING) * self._unit_s + SMOOTHING * unit_s
        self._good += 1
        if self._max_size < self.limits.max_size and self._good >= RECOVERY_BATCHES:
            self._max_size, self._good = min(self.limits.max_size, self._max_size * 2), 0

    def _wake_when_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lanes and len(self._running) < self.limits.slots:
            delay = max(0.0, min(map(self._due_at, self._lanes.values())) - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._dispatch)
