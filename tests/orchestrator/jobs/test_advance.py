"""Progress counted from rows, by many at once."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.database import sessions
from orchestrator.jobs import progress
from orchestrator.jobs.advance import advance, percent
from orchestrator.jobs.models import Job, Rendition
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
    async with make_session() as session:
        job = await session.get_one(Job, job_id)
        assert job.stage == "translating"
        assert job.counts["translating"][0] == 8


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, 0),
        ({"extracting": [1, 1]}, 5),
        ({"extracting": [1, 1], "transcribing": [5, 10]}, 20),
        ({"extracting": [1, 1], "transcribing": [5, 10], "translating": [2, 2], "synthesizing": [2, 2]}, 42),
        ({"extracting": [1, 1], "transcribing": [1, 1], "translating": [1, 1], "synthesizing": [1, 1]}, 80),
        (
            {
                "extracting": [1, 1],
                "transcribing": [1, 1],
                "translating": [1, 1],
                "synthesizing": [1, 1],
                "merging": [100, 100],
            },
            99,
        ),
        ({"extracting": [1, 1], "transcribing": [0, 0]}, 5),
    ],
)
def test_the_percentage_follows_the_stages_and_keeps_the_last_for_completion(
    counts: dict[str, list[int]], expected: int
) -> None:
    assert percent("video_translation", counts) == expected
