"""A job's row and events as its workflow writes them, alone and at once."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.jobs import progress
from orchestrator.jobs.models import Artifact, Job, JobEvent

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

ARTIFACT: dict[str, Any] = {
    "kind": "video",
    "language": "es",
    "name": "dub.es.mp4",
    "content_type": "video/mp4",
    "size": 10,
    "sha256": "0" * 64,
    "storage_key": "jobs/x/artifacts/dub.es.mp4",
}


async def state(make_session: Sessions, job: Job) -> Job:
    async with make_session() as session:
        return await session.get_one(Job, job.id)


async def events(make_session: Sessions, job: Job) -> list[JobEvent]:
    async with make_session() as session:
        query = sa.select(JobEvent).where(JobEvent.job_id == job.id).order_by(JobEvent.id)
        return list((await session.scalars(query)).all())


async def test_progress_never_goes_back(make_session: Sessions, job: Job) -> None:
    for value in (10, 40, 30, 40, 5, 60):
        async with make_session.begin() as session:
            assert await progress.record(session, job.id, stage="transcribing", progress=value)
    assert (await state(make_session, job)).progress == 60
    told = [event.data["progress"] for event in await events(make_session, job)]
    assert told == sorted(told)
    assert told == [0, 0, 10, 40, 60], "what changes nothing makes no event"


async def test_reports_at_once_end_at_the_furthest(make_session: Sessions, job: Job) -> None:
    async def report(done: int) -> None:
        async with make_session.begin() as session:
            await progress.record(session, job.id, progress=done, counts={"transcribing": [done, 20]})

    await asyncio.gather(*(report(done) for done in range(1, 21)))
    after = await state(make_session, job)
    assert (after.progress, after.counts) == (20, {"transcribing": [20, 20]})
    told = [event.data.get("counts", {}).get("transcribing", [0])[0] for event in await events(make_session, job)]
    assert told == sorted(told)


async def test_counts_of_other_stages_stay(make_session: Sessions, job: Job) -> None:
    for counts in ({"transcribing": [1, 2]}, {"synthesizing": [0, 4]}, {"transcribing": [2, 2]}):
        async with make_session.begin() as session:
            await progress.record(session, job.id, counts=counts)
    assert (await state(make_session, job)).counts == {"transcribing": [2, 2], "synthesizing": [0, 4]}


async def test_a_job_starts_once(make_session: Sessions, job: Job) -> None:
    async with make_session.begin() as session:
        assert not await progress.start(session, job.id)
    assert (await state(make_session, job)).started_at is not None


async def test_a_warning_is_told_once(make_session: Sessions, job: Job) -> None:
    for code in ("stand_in_voice", "stand_in_voice", "no_speech"):
        async with make_session.begin() as session:
            await progress.warn(session, job.id, code, "The voice is a stand-in.")
    assert [each["code"] for each in (await state(make_session, job)).warnings] == ["stand_in_voice", "no_speech"]
    assert [event.type for event in await events(make_session, job)].count("warning") == 2


async def test_warnings_at_once_are_all_kept(make_session: Sessions, job: Job) -> None:
    async def warn(number: int) -> None:
        async with make_session.begin() as session:
            await progress.warn(session, job.id, f"w{number % 4}", "…")

    await asyncio.gather(*(warn(number) for number in range(12)))
    assert sorted(each["code"] for each in (await state(make_session, job)).warnings) == ["w0", "w1", "w2", "w3"]


async def test_completing_publishes_the_artifacts_with_the_status(make_session: Sessions, job: Job) -> None:
    async with make_session.begin() as session:
        assert await progress.complete(session, job.id, [ARTIFACT])
    after = await state(make_session, job)
    assert (after.status, after.progress) == ("completed", 100)
    assert after.finished_at is not None
    async with make_session() as session:
        assert [each.name for each in (await session.scalars(sa.select(Artifact))).all()] == ["dub.es.mp4"]
    assert (await events(make_session, job))[-1].type == "completed"


async def test_failing_says_why(make_session: Sessions, job: Job) -> None:
    async with make_session.begin() as session:
        assert await progress.fail(session, job.id, "no_voice", "There is no voice for 'xx'.")
    after = await state(make_session, job)
    assert (after.status, after.error) == ("failed", {"code": "no_voice", "message": "There is no voice for 'xx'."})
    assert (await events(make_session, job))[-1].data["error"]["code"] == "no_voice"


async def test_of_all_outcomes_at_once_one_is_decided(make_session: Sessions, job: Job) -> None:
    async def decide(outcome: str) -> bool:
        async with make_session.begin() as session:
            match outcome:
                case "complete":
                    return await progress.complete(session, job.id, [ARTIFACT])
                case "fail":
                    return await progress.fail(session, job.id, "x", "y")
                case _:
                    return await progress.cancel(session, job.id)

    won = await asyncio.gather(*(decide(outcome) for outcome in ("complete", "fail", "cancel") * 4))
    assert sum(won) == 1
    ends = [event.type for event in await events(make_session, job) if event.type not in ("progress", "warning")]
    assert ends == [(await state(make_session, job)).status]


@pytest.mark.parametrize("end", ["fail", "cancel", "complete"])
async def test_after_the_end_nothing_changes(make_session: Sessions, job: Job, end: str) -> None:
    async with make_session.begin() as session:
        if end == "fail":
            await progress.fail(session, job.id, "x", "y")
        elif end == "cancel":
            await progress.cancel(session, job.id)
        else:
            await progress.complete(session, job.id, [])
    before, told = await state(make_session, job), len(await events(make_session, job))
    async with make_session.begin() as session:
        assert not await progress.record(session, job.id, progress=99)
        assert not await progress.warn(session, job.id, "late", "late")
        assert not await progress.complete(session, job.id, [ARTIFACT])
        assert not await progress.fail(session, job.id, "late", "late")
        assert not await progress.cancel(session, job.id)
        assert not await progress.start(session, job.id)
    after = await state(make_session, job)
    assert (after.status, after.progress, after.warnings) == (before.status, before.progress, before.warnings)
    assert len(await events(make_session, job)) == told


async def test_a_transaction_that_does_not_commit_leaves_neither_row_nor_event(
    make_session: Sessions, job: Job
) -> None:
    told = len(await events(make_session, job))
    session = make_session()
    await progress.record(session, job.id, progress=50)
    await session.close()
    assert (await state(make_session, job)).progress == 0
    assert len(await events(make_session, job)) == told


PAIRS = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(list)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PAIRS, min_size=1))
def test_counts_only_grow_whatever_order_they_come_in(pairs: list[list[int]]) -> None:
    reached: list[int] | None = None
    for pair in pairs:
        before = reached
        reached = progress._further(reached, pair)
        assert before is None or all(now >= then for now, then in zip(reached, before, strict=True))
    assert reached == [max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)]
