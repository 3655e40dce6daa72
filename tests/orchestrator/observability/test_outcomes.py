"""What is counted and traced of a job: once its transaction is committed, under one trace, whoever decides it."""

from collections.abc import Callable

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.jobs import progress, rows, telling
from orchestrator.jobs.models import Job, JobEvent
from orchestrator.notifications.models import Mail
from orchestrator.observability import metrics
from orchestrator.observability.tracing import job_context, job_span_id, parent_of, span, traceparent
from tests.orchestrator.jobs.conftest import Ask, MakeJob
from tests.orchestrator.observability.spans import Spans

pytestmark = pytest.mark.anyio

Sessions = async_sessionmaker[AsyncSession]
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def grown(name: str, **labels: str) -> Callable[[], float]:
    before = value(name, **labels)
    return lambda: value(name, **labels) - before


async def test_an_outcome_counts_when_it_is_committed_and_not_before(job: Job, make_session: Sessions) -> None:
    completed = grown("octavia_job_outcomes_total", kind="video_translation", outcome="completed")
    timed = grown("octavia_job_duration_seconds_count", kind="video_translation")
    async with make_session.begin() as session:
        await progress.complete(session, job.id, [])
        assert completed() == 0
    assert (completed(), timed()) == (1, 1)


async def test_an_outcome_that_is_rolled_back_never_counts(job: Job, make_session: Sessions) -> None:
    failed = grown("octavia_job_outcomes_total", kind="video_translation", outcome="failed")
    async with make_session() as session:
        await progress.fail(session, job.id, "model_refused", "No.")
        await session.rollback()
        await progress.record(session, job.id, progress=3)
        await session.commit()
    assert failed() == 0


async def test_of_two_who_decide_a_job_one_counts(job: Job, make_session: Sessions) -> None:
    cancelled = grown("octavia_job_outcomes_total", kind="video_translation", outcome="cancelled")
    failed = grown("octavia_job_errors_total", code="model_refused")
    for _ in range(2):
        async with make_session.begin() as session:
            await progress.fail(session, job.id, "model_refused", "No.")
            await progress.cancel(session, job.id)
    assert (failed(), cancelled()) == (1, 0)


async def test_a_jobs_wait_is_timed_when_a_worker_begins(make_job: MakeJob) -> None:
    waited = grown("octavia_job_wait_seconds_count", paid="false")
    await make_job()
    assert waited() == 1


@pytest.mark.parametrize(("end", "kind"), [(ledger.capture, "capture"), (ledger.release, "release")])
async def test_credits_are_counted_by_what_moves_them(
    user: User, make_session: Sessions, end: Callable[..., object], kind: str
) -> None:
    moved = {each: grown("octavia_credits_posted_total", kind=each) for each in ("grant", "hold", kind)}
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 30, key="g", reference="test")
        held = await ledger.hold(session, user.id, 12, key="h", reference="job:x")
        assert all(grew() == 0 for grew in moved.values())
    async with make_session.begin() as session:
        await end(session, held.id)  # type: ignore[misc]
    assert {each: grew() for each, grew in moved.items()} == {"grant": 30, "hold": 12, kind: 12}


async def test_a_job_keeps_the_trace_of_its_request(ask: Ask, make_session: Sessions, spans: Spans) -> None:
    answer = await ask({"traceparent": GIVEN})
    (asked,) = spans.named("POST /v1/jobs")
    async with make_session() as session:
        job = await rows.job(session, answer.json()["id"])
    assert job.traceparent == f"00-{asked.trace}-{asked.id}-01"
    assert asked.trace in GIVEN


async def test_where_nothing_is_traced_a_job_keeps_nothing(ask: Ask, make_session: Sessions) -> None:
    answer: httpx.Response = await ask()
    async with make_session() as session:
        assert (await rows.job(session, answer.json()["id"])).traceparent is None


async def test_whoever_decides_a_job_sends_its_span_which_its_steps_named_before(
    make_job: MakeJob, make_session: Sessions, spans: Spans
) -> None:
    job = await make_job(traceparent=GIVEN)
    with span("transcribe", parent=job_context(GIVEN, job.id, 1)):
        assert not spans.named("job")
    async with make_session.begin() as session:
        await progress.fail(session, job.id, "model_refused", "what somebody said")
    (decided,), (step,), (waited,) = (spans.named(name) for name in ("job", "transcribe", "wait in the queue"))
    assert {decided.trace, step.trace, waited.trace} == {GIVEN.split("-")[1]}
    assert decided.parent == GIVEN.split("-")[2]
    assert decided.id == step.parent == waited.parent == f"{job_span_id(job.id, 1):016x}"
    assert decided.failed
    assert "said" not in str(decided.attributes)


async def test_an_attempt_has_a_span_of_its_own(job: Job) -> None:
    assert job_span_id(job.id, 1) != job_span_id(job.id, 2)


async def test_the_mail_about_a_job_joins_its_trace(make_job: MakeJob, make_session: Sessions, spans: Spans) -> None:
    job = await make_job(traceparent=GIVEN)
    async with make_session.begin() as session:
        await progress.complete(session, job.id, [])
    async with make_session.begin() as session:
        events = JobEvent.__table__.c
        found = await session.scalar(
            JobEvent.__table__.select().with_only_columns(events.id).where(events.type == "completed")
        )
        assert found is not None
        await telling.spread(session, found, "http://web", lambda *_: None)
    async with make_session() as session:
        mail = await session.scalar(Mail.__table__.select().with_only_columns(Mail.traceparent))
    (told,) = spans.named("tell")
    assert mail == f"00-{told.trace}-{told.id}-01"
    assert told.trace == GIVEN.split("-")[1]


def test_an_error_is_told_by_its_type_alone(spans: Spans) -> None:
    with pytest.raises(ValueError, match="secret"), span("step", parent=parent_of(GIVEN)):
        raise ValueError("a secret")
    (seen,) = spans.all()
    assert (seen.failed, seen.attributes) == (True, {"error.type": "ValueError"})


def test_where_tracing_is_off_there_is_nothing_to_hand_on() -> None:
    with span("step"):
        assert traceparent() is None
