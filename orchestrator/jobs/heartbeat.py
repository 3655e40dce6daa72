"""A worker's sign of life, and the taking over of work whose worker has none.

Each worker beats into the `worker` table and looks for workflows that run on an executor which has stopped beating, was
seen to die, or said goodbye. Any number of workers may look at once: the queue's own guard lets one of them win each
row. What an executor did not hand over itself is noted: a step that ends its workers again and again is found by it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog
from dbos import DBOS
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.database import is_outage, patiently
from orchestrator.jobs import durable
from orchestrator.observability.metrics import BEAT, TAKEN_OVER

log = structlog.get_logger(__name__)

ORPHAN_AGE_S = 30
ORPHAN_SIGHTINGS = 3
"""A row is an orphan when nothing runs it in this many looks in a row: one look may fall between claim and start."""

_running: Counter[str] = Counter()


@contextmanager
def running() -> Iterator[None]:
    """Marks the current workflow as running in this process. Counted: a stale run may end while a new one goes on."""
    workflow_id = str(DBOS.workflow_id)
    _running[workflow_id] += 1
    try:
        yield
    finally:
        _running[workflow_id] -= 1
        if not _running[workflow_id]:
            del _running[workflow_id]


_BEAT = sa.text(
    "insert into worker (executor_id, version, state) values (:executor_id, :version, 'up')"
    " on conflict (executor_id) do update set beat_at = now(), state = 'up'"
)
_GOODBYE = sa.text("update worker set state = 'gone' where executor_id = :executor_id")
_DEAD = sa.text(
    "select distinct w.executor_id, coalesce(h.state, 'silent') as state"
    " from dbos.workflow_status w left join worker h using (executor_id)"
    " where w.status = 'PENDING' and w.application_version = :version and w.executor_id <> :executor_id"
    " and (h.executor_id is null or h.state <> 'up' or h.beat_at < now() - make_interval(secs => :stale_after))"
)
_NOTE_LOST_RUNS = sa.text(
    "insert into lost_run (workflow_id, run, steps, alone, executor_id)"
    " select w.workflow_uuid, w.owner_xid,"
    " (select count(*) from dbos.operation_outputs o where o.workflow_uuid = w.workflow_uuid),"
    " exists(select from lone_run l where l.workflow_id = w.workflow_uuid and l.executor_id = w.executor_id),"
    " w.executor_id"
    " from dbos.workflow_status w where w.status = 'PENDING' and w.owner_xid is not null"
    " and w.executor_id = any(:executors) on conflict do nothing"
)
"""What ran on workers that did not hand it over. Whoever of several notes it, and however often: a run is lost once."""
_WAS_UP = sa.text("select from worker where executor_id = :executor_id and state <> 'gone' for update")
_MINE = sa.text(
    "select workflow_uuid from dbos.workflow_status where status = 'PENDING' and executor_id = :executor_id"
    " and started_at_epoch_ms < (extract(epoch from now()) - :age) * 1000"
)


class Heartbeat:
    """Beats every third of `stale_after_s`; takes over from executors that have missed a whole period."""

    def __init__(self, engine: AsyncEngine, executor_id: str, stale_after_s: float) -> None:
        self._engine = engine
        self._executor_id = executor_id
        self._stale_after_s = stale_after_s
        self._well_since: float | None = None
        self._sightings: Counter[str] = Counter()
        self._me = {"executor_id": executor_id, "version": durable.VERSION}

    async def begin(self) -> None:
        """The first beat, before any work is taken: work of an executor without a beat is taken for a dead one's.

        Waits for a database that is away; raises what it last said when it stays away.
        """

        async def beat(session: AsyncSession) -> None:
            before_us = (await session.execute(_WAS_UP, {"executor_id": self._executor_id})).one_or_none()
            if before_us is not None:  # it had our name and has not said goodbye; its work comes back to us
                await session.execute(_NOTE_LOST_RUNS, {"executors": [self._executor_id]})
            await session.execute(_BEAT, self._me)

        await patiently(self._engine, beat)

    async def run(self) -> None:
        """Beat for ever. A database that is away only postpones: nobody is declared dead on old beats."""
        while True:
            try:
                await self._beat()
                await self._reap()
                await self._give_back_orphans()
            except sa.exc.SQLAlchemyError as error:
                if not is_outage(error):
                    raise
                self._well_since = None
                log.warning("heartbeat failed", error=type(error).__name__)
            await asyncio.sleep(self._stale_after_s / 3)

    async def goodbye(self) -> None:
        """Say that this executor is gone, so that the others need not wait for its silence."""
        async with self._engine.begin() as connection:
            await connection.execute(_GOODBYE, {"executor_id": self._executor_id})

    async def _beat(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(_BEAT, self._me)
        BEAT.set_to_current_time()
        self._well_since = self._well_since or time.monotonic()

    async def _reap(self) -> None:
        """Take over at once from those who said goodbye or were seen to die; from the silent only after a whole period
        of good beats.

        After a database outage every beat is old, and everybody would take over from everybody.
        """
        well_for = time.monotonic() - (self._well_since or time.monotonic())
        values = self._me | {"stale_after": self._stale_after_s}
        async with self._engine.begin() as connection:
            rows = (await connection.execute(_DEAD, values)).all()
            known = ("gone", "lost")
            dead = [row.executor_id for row in rows if row.state in known or well_for > self._stale_after_s]
            lost = [row.executor_id for row in rows if row.executor_id in dead and row.state != "gone"]
            if lost:
                await connection.execute(_NOTE_LOST_RUNS, {"executors": lost})
        if dead:
            count = await asyncio.to_thread(durable.take_over, dead)
            TAKEN_OVER.inc(count)
            log.warning("took over the work of workers that are gone", workers=dead, workflows=count)

    async def _give_back_orphans(self) -> None:
        values = {"executor_id": self._executor_id, "age": ORPHAN_AGE_S}
        async with self._engine.begin() as connection:
            mine = set((await connection.execute(_MINE, values)).scalars())
        self._sightings = Counter({each: self._sightings[each] + 1 for each in mine - set(_running)})
        for workflow_id in [each for each, count in self._sightings.items() if count >= ORPHAN_SIGHTINGS]:
            given = await asyncio.to_thread(durable.give_back, workflow_id, self._executor_id)
            log.warning("gave back a workflow that nothing runs", workflow_id=workflow_id, given=given)
            del self._sightings[workflow_id]
