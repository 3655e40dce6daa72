"""What is noted of workflows whose worker ended without handing them over."""

import asyncio
from collections.abc import Iterable

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.jobs import durable
from orchestrator.jobs.heartbeat import Heartbeat
from orchestrator.jobs.models import LoneRun, LostRun, Worker

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

_WORKFLOW = sa.text(
    "insert into dbos.workflow_status"
    " (workflow_uuid, status, name, executor_id, owner_xid, application_version, created_at)"
    " values (:id, :status, 'speak', :executor, :run, :version, 0)"
)
_STEP = sa.text(
    "insert into dbos.operation_outputs (workflow_uuid, function_id, function_name) values (:id, :number, 'translate')"
)


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workers whose work was taken over."""
    taken: list[str] = []

    def take_over(dead: Iterable[str]) -> int:
        taken.extend(dead)
        return 0

    monkeypatch.setattr(durable, "take_over", take_over)
    return taken


async def run(
    engine: AsyncEngine, id_: str, executor: str, owner: str = "t", status: str = "PENDING", steps: int = 0
) -> None:
    values = {"id": id_, "status": status, "executor": executor, "run": owner, "version": durable.VERSION}
    async with engine.begin() as connection:
        await connection.execute(_WORKFLOW, values)
        for number in range(1, steps + 1):
            await connection.execute(_STEP, {"id": id_, "number": number})


async def workers(make_session: Sessions, **states: str) -> None:
    async with make_session.begin() as session:
        session.add_all(Worker(executor_id=name, version="1", state=state) for name, state in states.items())


async def lost(make_session: Sessions) -> list[tuple[str, str, int, bool]]:
    async with make_session() as session:
        rows = await session.scalars(sa.select(LostRun).order_by(LostRun.workflow_id, LostRun.run))
        return [(row.workflow_id, row.run, row.steps, row.alone) for row in rows]


async def look(engine: AsyncEngine, name: str = "me") -> Heartbeat:
    """A heartbeat that has beaten for a whole period and looks around."""
    heartbeat = Heartbeat(engine, name, 0.1)
    await heartbeat.begin()
    await heartbeat._beat()
    await asyncio.sleep(0.15)
    await heartbeat._reap()
    return heartbeat


async def test_what_ran_on_a_worker_that_was_seen_to_die_is_noted_with_where_it_was(
    engine: AsyncEngine, make_session: Sessions, taken_over: list[str]
) -> None:
    await workers(make_session, dead="lost")
    await run(engine, "a", "dead", steps=1)
    await run(engine, "b", "dead", status="ENQUEUED")
    await run(engine, "c", "dead", status="SUCCESS")
    await look(engine)
    assert await lost(make_session) == [("a", "t", 1, False)]
    assert taken_over == ["dead"]


async def test_what_a_worker_handed_over_is_not(
    engine: AsyncEngine, make_session: Sessions, taken_over: list[str]
) -> None:
    await workers(make_session, gone="gone")
    await run(engine, "a", "gone")
    await look(engine)
    assert await lost(make_session) == []
    assert taken_over == ["gone"]


async def test_a_silent_worker_and_one_that_never_beat_have_lost_theirs(
    engine: AsyncEngine, make_session: Sessions, taken_over: list[str]
) -> None:
    await workers(make_session, silent="up")
    await run(engine, "a", "silent")
    await run(engine, "b", "unknown")
    await look(engine)
    assert await lost(make_session) == [("a", "t", 0, False), ("b", "t", 0, False)]
    assert sorted(taken_over) == ["silent", "unknown"]


async def test_a_run_is_lost_once_whoever_notes_it_and_each_run_of_a_workflow_counts(
    engine: AsyncEngine, make_session: Sessions, taken_over: list[str]
) -> None:
    await workers(make_session, dead="lost")
    await run(engine, "a", "dead")
    await asyncio.gather(*(look(engine, f"me{number}") for number in range(4)))
    assert len(await lost(make_session)) == 1
    async with engine.begin() as connection:
        await connection.execute(sa.text("update dbos.workflow_status set owner_xid = 'u'"))
    await look(engine)
    assert [run for _, run, _, _ in await lost(make_session)] == ["t", "u"]


async def test_a_run_on_its_own_is_noted_as_such_where_it_was_on_that_worker(
    engine: AsyncEngine, make_session: Sessions, taken_over: list[str]
) -> None:
    await workers(make_session, dead="lost")
    for name in ("a", "b", "c"):
        await run(engine, name, "dead")
    async with make_session.begin() as session:
        session.add_all([LoneRun(workflow_id="a", executor_id="dead"), LoneRun(workflow_id="b", executor_id="other")])
    await look(engine)
    assert await lost(make_session) == [("a", "t", 0, True), ("b", "t", 0, False), ("c", "t", 0, False)]


@pytest.mark.parametrize(("state", "count"), [("up", 1), ("lost", 1), ("gone", 0)])
async def test_a_worker_that_comes_back_under_its_name_notes_what_it_lost_itself(
    engine: AsyncEngine, make_session: Sessions, state: str, count: int
) -> None:
    """DBOS gives it its work back at once: nobody would find it silent."""
    await workers(make_session, me=state, other="up")
    await run(engine, "a", "me")
    await run(engine, "b", "other")
    await Heartbeat(engine, "me", 30).begin()
    assert len(await lost(make_session)) == count
