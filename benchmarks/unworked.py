"""Rows of jobs that are under way and that nobody works on, for what only looks at them or follows them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.jobs.models import Job
from orchestrator.media.models import Media


async def add_jobs(session: AsyncSession, user_id: UUID, count: int, queued_at: datetime | None = None) -> list[UUID]:
    """So many jobs of a user on one media without a file; their ids.

    `queued_at` lies in the future where a worker runs beside them, or its sweeper would miss their workflows.
    """
    media = Media(
        id=uuid7(),
        user_id=user_id,
        filename="a.mp3",
        kind="audio",
        content_type="audio/mpeg",
        size=1,
        sha256="0" * 64,
        duration=60.0,
        storage_key="media/x/source",
        audio=[{"codec": "mp3", "channels": 1, "sample_rate": 16000, "language": None}],
    )
    session.add(media)
    await session.flush()
    given = {} if queued_at is None else {"queued_at": queued_at}
    jobs = [
        Job(
            id=uuid7(),
            user_id=user_id,
            media_id=media.id,
            kind="subtitles",
            source_language="en",
            target_languages=[],
            status="processing",
            options={},
            **given,
        )
        for _ in range(count)
    ]
    session.add_all(jobs)
    return [job.id for job in jobs]
