"""What the database knows, as Prometheus is told it."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.database import make_sync_engine
from orchestrator.observability import house
from orchestrator.observability.house import QUERIES, House
from tests.orchestrator.jobs.conftest import MakeJob
from tests.orchestrator.observability.test_outcomes import Sessions

pytestmark = pytest.mark.anyio

LONG_AGO = "now() - interval '40 minutes'"


@pytest.fixture
def registry(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CollectorRegistry]:
    monkeypatch.setattr(house, "FRESH_S", 0.0)
    engine = make_sync_engine(database_url)
    made = CollectorRegistry()
    made.register(House(engine, 30))
    yield made
    engine.dispose()


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement.replace("LONG_AGO", LONG_AGO)))


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_an_empty_house_tells_every_figure(registry: CollectorRegistry) -> None:
    told = {family.name: family.samples for family in registry.collect()}
    assert set(told) == {"octavia_database_up", *(query.name for query in QUERIES)}
    assert all(told.values())
    assert value(registry, "octavia_jobs", kind="subtitles", status="pending", stage="none") == 0
    assert value(registry, "octavia_database_up") == 1
    assert value(registry, "octavia_workers", state="beating") == 0


async def test_jobs_are_told_by_what_they_do_and_how_long_they_wait(
    registry: CollectorRegistry, engine: AsyncEngine, make_job: MakeJob
) -> None:
    await make_job(started=False, credits=3)
    await make_job(kind="subtitles", stage="transcribing")
    await execute(engine, "update job set queued_at = LONG_AGO where status = 'pending'")
    assert value(registry, "octavia_jobs", kind="subtitles", status="processing", stage="transcribing") == 1
    assert value(registry, "octavia_queue_length", paid="true") == 1
    assert value(registry, "octavia_queue_length", paid="false") == 0
    assert value(registry, "octavia_queue_age_seconds", paid="true") == pytest.approx(2400, abs=60)
    assert value(registry, "octavia_jobs_stuck") == 0


async def test_a_job_that_tells_nothing_for_long_is_stuck(
    registry: CollectorRegistry, engine: AsyncEngine, make_job: MakeJob
) -> None:
    await make_job()
    await execute(engine, "update job set started_at = LONG_AGO", "update job_event set at = LONG_AGO")
    assert value(registry, "octavia_jobs_stuck") == 1


async def test_workers_are_told_by_their_beat(registry: CollectorRegistry, engine: AsyncEngine) -> None:
    await execute(
        engine,
        "insert into worker (executor_id, version, state, beat_at) values ('a', '1', 'up', now()),"
        " ('b', '1', 'up', now() - interval '5 minutes'), ('c', '1', 'lost', now() - interval '1 minute'),"
        " ('d', '1', 'gone', now()), ('e', '1', 'up', now() - interval '2 hours')",
    )
    states = {state: value(registry, "octavia_workers", state=state) for state in ("beating", "silent", "lost")}
    assert states == {"beating": 1, "silent": 1, "lost": 1}


async def test_messages_that_wait_are_told_with_their_age(registry: CollectorRegistry, engine: AsyncEngine) -> None:
    await execute(
        engine,
        "insert into polar_event (webhook_id, type, timestamp, body, received_at)"
        " values ('w', 'order.paid', now(), '', LONG_AGO)",
        "insert into polar_event (webhook_id, type, timestamp, body, handled_at, outcome)"
        " values ('v', 'order.paid', now(), '', now(), 'failed')",
        "insert into mail (id, kind, recipient, subject, text, html, attempts, created_at) values"
        " (gen_random_uuid(), 'k', 'r', 's', 't', 'h', 0, LONG_AGO)",
    )
    assert value(registry, "octavia_polar_inbox_open") == 1
    assert value(registry, "octavia_polar_inbox_age_seconds") == pytest.approx(2400, abs=60)
    assert value(registry, "octavia_polar_inbox_failed") == 1
    assert value(registry, "octavia_mails_open") == 1
    assert value(registry, "octavia_mail_age_seconds") == pytest.approx(2400, abs=60)


async def test_held_credits_are_added_up(registry: CollectorRegistry, user: User, make_session: Sessions) -> None:
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 30, key="g", reference="test")
        await ledger.hold(session, user.id, 12, key="h", reference="job:x")
    assert value(registry, "octavia_credits_held") == 12


def test_of_a_database_that_is_away_just_that_is_told() -> None:
    registry = CollectorRegistry()
    registry.register(House(make_sync_engine("postgresql://nobody@127.0.0.1:1/none", quick=True), 30))
    assert [(family.name, [each.value for each in family.samples]) for family in registry.collect()] == [
        ("octavia_database_up", [0.0])
    ]


async def test_who_asks_often_is_told_what_is_known(database_url: str, engine: AsyncEngine) -> None:
    registry = CollectorRegistry()
    registry.register(House(make_sync_engine(database_url), 30))
    assert value(registry, "octavia_workers", state="beating") == 0
    await execute(engine, "insert into worker (executor_id, version, state) values ('a', '1', 'up')")
    assert value(registry, "octavia_workers", state="beating") == 0
