"""What surrounds the body of every durable step: whether it may still begin, its place, its time, its retries."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

import sqlalchemy as sa
import structlog
from dbos import DBOS
from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import is_outage, patiently
from orchestrator.errors import OctaviaError
from orchestrator.jobs import durable
from orchestrator.jobs.context import current
from orchestrator.jobs.limits import Deadline, StageTimeoutError, StepName, deadline
from orchestrator.jobs.progress import OPEN
from orchestrator.observability.metrics import STEP_RETRIES
from orchestrator.observability.steps import observed
from orchestrator.observability.tracing import job_context, span
from orchestrator.patience import AT_ONCE, OUTAGE, RULES
from orchestrator.time_limit import not_counted, time_limit

log = structlog.get_logger(__name__)

Body = Callable[..., Coroutine[Any, Any, Any]]
Measure = Literal["media", "window", "passage"]
"""What a step works on. The number of a window or passage is the last argument of its step."""
Room = Literal["chunks", "media"]

DEATHS_FORGIVEN: Mapping[Room | None, int] = {"chunks": 2, "media": 4, None: 9}
"""How often a worker may die in one and the same step before that is taken for the cause. In a room, where a step whose
worker has died is tried again on its own, only deaths on its own count. Windows and passages take seconds; a file may
be put together for hours, and see a machine end for other reasons."""


class JobEndedError(OctaviaError):
    """The job was decided, or is at a later attempt: nothing of this one is done any more."""

    def __init__(self, job_id: str) -> None:
        super().__init__("job_ended", f"Job {job_id} has ended or was tried again meanwhile.", 409)


class PoisonedError(OctaviaError):
    """A step ended the worker process it ran in, again and again."""

    def __init__(self, deaths: int) -> None:
        message = (
            f"A part of this file ended the process that worked on it {deaths} times, so the job was given up. "
            "Your credits are back. Tell us the job's id; another recording may work."
        )
        super().__init__("poisoned", message, 422)


@dataclass(frozen=True, slots=True)
class Task:
    """A step as it is about to begin. `losses`: how many runs ended with their worker at it, `deaths`: on their own."""

    workflow_id: str
    paid: bool
    deadline: Deadline
    losses: int
    deaths: int
    trace: Context | None
    """Within the span of the job, where it is traced."""


_TASK = sa.text(
    """
    select j.status, j.attempt, j.credits > 0 as paid, j.traceparent,
        coalesce(case cast(:of as text)
            when 'media' then (select m.duration from media m where m.id = j.media_id)
            when 'window' then (
                select w."end" - w.start from heard_window w where w.job_id = j.id and w.index = cast(:number as int))
            else (
                select max(s."end") - min(s.start) from segment s
                where s.job_id = j.id and s.passage = cast(:number as int))
        end, 0) as length_s,
        exists(select from lost_run l where l.workflow_id = :workflow_id) as was_lost
    from job j where j.id = :job_id
    """
)
_LOSSES = sa.text(
    """
    select count(*) as losses, count(*) filter (where l.alone) as deaths from lost_run l
    where l.workflow_id = :workflow_id
    and l.steps = (select count(*) from dbos.operation_outputs o where o.workflow_uuid = :workflow_id)
    """
)
"""At this very step: as many were done then as are now."""


def step(name: StepName, work: Body, of: Measure = "media", room: Room | None = None) -> Body:
    """A durable step that works on `of`, in a place of `room`, and is interrupted when its job is cancelled.

    `work` takes the job's id first. It is not begun where the job has ended meanwhile (JobEndedError) or the step has
    ended its workers (PoisonedError), ends with StageTimeoutError, and what may pass is tried again.
    """

    async def body(job_id: str, *arguments: Any) -> Any:
        task = await _task(name, job_id, of, arguments)
        deaths = task.deaths if room else task.losses
        if deaths > DEATHS_FORGIVEN[room]:
            raise PoisonedError(deaths)
        async with AsyncExitStack() as stack:
            stack.enter_context(observed(name, job_id, arguments, task.trace))
            if room is not None:
                with span("wait for a place"):
                    await stack.enter_async_context(_place(room, task))
            await stack.enter_async_context(time_limit(task.deadline.seconds, StageTimeoutError(task.deadline)))
            return await _persistently(name, work, job_id, *arguments)

    return cast(Body, DBOS.step(name=name, preemptible=True)(body))


@asynccontextmanager
async def _place(room: Room, task: Task) -> AsyncIterator[None]:
    """A place in the room; all of it, which is noted, where a worker has died in the step before.

    Where the step fails the note stays and says nothing: so does its workflow, which no worker can die in any more.
    """
    places = current().chunks if room == "chunks" else current().media
    async with places.taken(paid=task.paid, alone=task.losses > 0):
        if task.losses:
            log.warning("a step runs on its own: its worker has died in it before", workflow_id=task.workflow_id)
            await _note(_LONE, task.workflow_id)
        yield
        if task.losses:
            await _note(_NOT_LONE, task.workflow_id)


_LONE = sa.text(
    "insert into lone_run (workflow_id, executor_id) values (:workflow_id, :executor_id)"
    " on conflict (workflow_id) do update set executor_id = excluded.executor_id, began_at = now()"
)
_NOT_LONE = sa.text("delete from lone_run where workflow_id = :workflow_id and executor_id = :executor_id")


async def _note(statement: sa.TextClause, workflow_id: str) -> None:
    values = {"workflow_id": workflow_id, "executor_id": DBOS.executor_id}
    await patiently(current().engine, lambda session: session.execute(statement, values))


async def _task(name: StepName, job_id: str, of: Measure, arguments: tuple[Any, ...]) -> Task:
    """Raises JobEndedError."""
    workflow_id = str(DBOS.workflow_id)
    number = arguments[-1] if of != "media" else None
    values = {"job_id": UUID(job_id), "of": of, "number": number, "workflow_id": workflow_id}

    async def read(session: AsyncSession) -> tuple[sa.Row[Any] | None, sa.Row[Any] | None]:
        row = (await session.execute(_TASK, values)).one_or_none()
        lost = row is not None and row.was_lost
        return row, (await session.execute(_LOSSES, {"workflow_id": workflow_id})).one() if lost else None

    row, lost = await patiently(current().engine, read)
    if row is None or row.status not in OPEN or row.attempt != durable.attempt_of(workflow_id):
        raise JobEndedError(job_id)
    limit = deadline(name, row.length_s, current().settings.time_limits)
    trace = job_context(row.traceparent, UUID(job_id), row.attempt)
    return Task(workflow_id, row.paid, limit, lost.losses if lost else 0, lost.deaths if lost else 0, trace)


async def _persistently(name: StepName, work: Body, *arguments: Any) -> Any:
    """The work's result, tried again as the table in `patience` has it. The last error is raised as it is."""
    for attempts in itertools.count(1):
        try:
            return await work(*arguments)
        except (OctaviaError, sa.exc.SQLAlchemyError) as error:
            code = _code(error)
            pause = RULES.get(code, AT_ONCE).pause_after(attempts)
            if pause is None:
                raise
            STEP_RETRIES.labels(name, code).inc()
            log.warning("a step failed and is tried again", code=code, attempts=attempts, pause=round(pause, 1))
        with not_counted():
            await asyncio.sleep(pause)
    return None


def _code(error: OctaviaError | sa.exc.SQLAlchemyError) -> str:
    if isinstance(error, OctaviaError):
        return error.code
    return OUTAGE if is_outage(error) else "database"
