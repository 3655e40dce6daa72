"""Progress counted from rows, by many at once."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.database import sessions
from orchestrator.jobs import progress
from orchestrator.jobs.advance import MEASURING, RENDERING, MergeProgress, advance, percent
from orchestrator.jobs.models import HeardWindow, Job, Rendition
from orchestrator.media.models import Media


async def a_job(make_session: async_sessionmaker[AsyncSession], user: User) -> UUID:
    async with make_session.begin() as session:
        media = Media(
            user_id=user.id,
            filename="a.mp4",
            kind="video",
            content_type="video/mp4",
            size=1,
            sha256="0" * 64,
            duration=60.0,
            video={},
            audio=[{}],
            storage_key="media/a/source",
        )
        session.add(media)
        await session.flush()
        job = Job(user_id=user.id, media_id=media.id, kind="video_translation", target_languages=["es"])
        session.add(job)
        await session.flush()
        await progress.start(session, job.id)
        return job.id


async def windows(make_session: async_sessionmaker[AsyncSession], job_id: UUID, count: int) -> None:
    """Windows of a job that are yet to be heard, as far as they are not there."""
    values = [
        {"job_id": job_id, "index": index, "start": 0.0, "end": 1.0, "speech": 1.0, "stretches": []}
        for index in range(count)
    ]
    async with make_session.begin() as session:
        await session.execute(insert(HeardWindow).on_conflict_do_nothing(), values)


async def hear(session: AsyncSession, job_id: UUID, index: int) -> None:
    await session.execute(
        update(HeardWindow).where(HeardWindow.job_id == job_id, HeardWindow.index == index).values(words=[])
    )


async def state(make_session: async_sessionmaker[AsyncSession], job_id: UUID) -> Job:
    async with make_session() as session:
        return await session.get_one(Job, job_id)


@pytest.mark.anyio
async def test_steps_that_end_together_do_not_wait_for_each_other_for_ever(
    engine: AsyncEngine, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    """Each inserts rows of the job, then reports: one that upgraded its lock on the job would deadlock with another."""
    job_id = await a_job(make_session, user)
    inserted = asyncio.Barrier(8)

    async def step(segment: int) -> None:
        async with sessions(engine).begin() as session:
            values = {"job_id": job_id, "language": "es", "segment": segment, "text": "", "candidates": []}
            await session.execute(insert(Rendition), [values])
            await inserted.wait()
            await advance(session, job_id, "translating")

    await asyncio.wait_for(asyncio.gather(*(step(segment) for segment in range(8))), 20)
    assert (await state(make_session, job_id)).stage == "translating"
    async with make_session.begin() as session:
        await advance(session, job_id, "merging", merged=0.05)
    assert (await state(make_session, job_id)).counts["translating"][0] == 8


@pytest.mark.anyio
async def test_of_windows_heard_together_none_is_missed(
    engine: AsyncEngine, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user)
    await windows(make_session, job_id, 8)
    heard = asyncio.Barrier(8)

    async def step(index: int) -> None:
        async with sessions(engine).begin() as session:
            await hear(session, job_id, index)
            await heard.wait()
            await advance(session, job_id, "transcribing")

    await asyncio.wait_for(asyncio.gather(*(step(index) for index in range(8))), 20)
    assert (await state(make_session, job_id)).counts["transcribing"] == [8, 8]


@pytest.mark.anyio
async def test_a_report_soon_after_another_is_left_out_and_made_up_for_by_a_later_one(
    make_session: async_sessionmaker[AsyncSession], user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await a_job(make_session, user)
    await windows(make_session, job_id, 4)
    monkeypatch.setattr("orchestrator.jobs.advance.EVERY_S", 3600.0)
    reached = []
    for index in range(4):
        async with make_session.begin() as session:
            await hear(session, job_id, index)
            await advance(session, job_id, "transcribing")
        reached.append((await state(make_session, job_id)).counts["transcribing"])
    assert reached == [[1, 4], [1, 4], [1, 4], [4, 4]], "the first of a stage and the last window always count"
    await windows(make_session, job_id, 6)
    async with make_session.begin() as session:
        await hear(session, job_id, 4)
        await advance(session, job_id, "transcribing")
    assert (await state(make_session, job_id)).counts["transcribing"] == [4, 4]
    monkeypatch.setattr("orchestrator.jobs.advance.EVERY_S", 0.0)
    async with make_session.begin() as session:
        await advance(session, job_id, "transcribing")
    assert (await state(make_session, job_id)).counts["transcribing"] == [5, 6]


@pytest.mark.anyio
async def test_the_merge_counts_everything_however_soon_it_follows(
    make_session: async_sessionmaker[AsyncSession], user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await a_job(make_session, user)
    monkeypatch.setattr("orchestrator.jobs.advance.EVERY_S", 3600.0)
    await windows(make_session, job_id, 2)
    for index in range(2):
        async with make_session.begin() as session:
            await hear(session, job_id, index)
    for stage, merged in (("translating", 0.0), ("merging", 0.05)):
        async with make_session.begin() as session:
            await advance(session, job_id, stage, merged)
    job = await state(make_session, job_id)
    assert job.stage == "merging"
    assert (job.counts["transcribing"], job.counts["merging"]) == ([2, 2], [5, 100])


@pytest.mark.anyio
async def test_the_merge_of_several_languages_is_shared_among_them(
    engine: AsyncEngine, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user)
    reached = []
    for at in range(2):
        async with MergeProgress(engine, str(job_id), at, 2) as report:
            for share in (0.1, 0.5, 0.4, 1.0, 7.0):
                report(share)
        reached.append((await state(make_session, job_id)).counts["merging"])
    assert reached == [[52, 100], [100, 100]]


@pytest.mark.anyio
async def test_a_dub_that_is_made_is_to_be_listened_to_yet(
    engine: AsyncEngine, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user)
    reached = []
    for at in range(2):
        for part in (RENDERING, MEASURING):
            async with MergeProgress(engine, str(job_id), at, 2, part) as report:
                report(1.0)
            reached.append((await state(make_session, job_id)).counts["merging"][0])
    assert reached == sorted(set(reached))
    assert reached[1::2] == [52, 100]


@pytest.mark.anyio
async def test_a_merge_that_fails_does_not_report_more(
    engine: AsyncEngine, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user)
    with suppress(OSError):
        async with MergeProgress(engine, str(job_id), 0, 1) as report:
            report(0.5)
            raise OSError("the picture is broken")
    assert "merging" not in (await state(make_session, job_id)).counts


@pytest.mark.anyio
async def test_progress_of_a_merge_is_written_while_it_lasts(
    engine: AsyncEngine, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user)
    async with MergeProgress(engine, str(job_id), 0, 1) as report:
        report(0.5)
        async with asyncio.timeout(20):
            while "merging" not in (await state(make_session, job_id)).counts:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await state(make_session, job_id)).counts["merging"] == [52, 100]


@pytest.mark.anyio
async def test_a_job_that_is_gone_is_no_error(make_session: async_sessionmaker[AsyncSession], user: User) -> None:
    async with make_session.begin() as session:
        await advance(session, uuid4(), "transcribing")


@pytest.mark.parametrize(
    ("counts", "known", "expected"),
    [
        ({}, 0.0, 0),
        ({"extracting": [1, 1]}, 0.0, 4),
        ({"extracting": [1, 1], "transcribing": [5, 10]}, 0.0, 14),
        ({"extracting": [1, 1], "transcribing": [5, 10], "translating": [2, 2], "synthesizing": [2, 2]}, 0.4, 27),
        ({"extracting": [1, 1], "transcribing": [1, 1], "translating": [1, 1], "synthesizing": [1, 1]}, 1.0, 56),
        (
            {
                "extracting": [1, 1],
                "transcribing": [1, 1],
                "translating": [1, 1],
                "synthesizing": [1, 1],
                "merging": [100, 100],
            },
            1.0,
            99,
        ),
        ({"extracting": [1, 1], "transcribing": [0, 0]}, 0.0, 4),
    ],
)
def test_the_percentage_follows_the_stages_and_keeps_the_last_for_completion(
    counts: dict[str, list[int]], known: float, expected: int
) -> None:
    assert percent("video_translation", counts, known) == expected
