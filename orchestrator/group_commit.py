"""Many small transactions at the same time as one: a commit waits for the disk, and that wait can be shared."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from orchestrator.database import is_outage

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 64
"""In one transaction; the others have the next."""


class GroupCommit(Generic[Item, Result]):
    """Commits what comes while another commit is under way together, right after it; nothing waits for more to come.

    `commit` does a group in one transaction and returns a result for each item, in their order. Who calls has the
    result after that transaction was committed. Where a group fails, each of its items is tried alone, so that none
    fails for another's sake; while the database is away, all of them fail at once.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._commit = commit
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Raises what `commit` raises for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._committing is None:
            self._committing = loop.create_task(self._commit_all(), name="group commit", context=Context())
        return await future

    async def _commit_all(self) -> None:
        group: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._commit_group(group)
        finally:
            self._committing = None
            for _, future in (*group, *self._waiting):  # all have their results, unless this task was cancelled
                future.cancel()
            self._waiting = []

    async def _commit_group(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._commit([item for item, _ in group])
        except Exception as error:  # noqa: BLE001  (raised to each who waits)
            if len(group) > 1 and not is_outage(error):
                for each in group:
                    await self._commit_group([each])
                return
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(result)
