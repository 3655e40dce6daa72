"""Rows for the tests of jobs: a media that needs no upload, a job under way."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media

Sessions = async_sessionmaker[AsyncSession]
MakeMedia = Callable[..., Awaitable[Media]]
MakeJob = Callable[..., Awaitable[Job]]
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def make_media(make_session: Sessions, user: User) -> MakeMedia:
    async def make(**changes: Any) -> Media:
        values = {
            "id": uuid7(),
            "user_id": user.id,
            "filename": "Sense and Sensibility.mp4",
            "kind": "video",
            "content_type": "video/mp4",
            "size": 1000,
            "sha256": "0" * 64,
            "duration": 60.0,
            "video": {"codec": "h264", "width": 64, "height": 48, "fps": 10.0, "pix_fmt": "yuv420p"},
            "audio": [{"codec": "aac", "channels": 1, "sample_rate": 16000, "language": None}],
            "storage_key": "media/x/source",
        } | changes
        async with make_session.begin() as session:
            media = Media(**values)
            session.add(media)
        return media

    return make


@pytest.fixture
async def media(make_media: MakeMedia) -> Media:
    """A video of one minute with sound."""
    return await make_media()


@pytest.fixture
def make_job(make_session: Sessions, media: Media) -> MakeJob:
    async def make(*, started: bool = True, **changes: Any) -> Job:
        values = {"kind": "video_translation", "target_languages": ["es"], "media_id": media.id} | changes
        async with make_session.begin() as session:
            job = Job(id=uuid7(), user_id=media.user_id, **values)
            session.add(job)
            await session.flush()
            await progress.announce(session, job.id, "progress", {"status": "pending", "progress": 0})
            if started:
                await progress.start(session, job.id)
        return job

    return make


@pytest.fixture
async def job(make_job: MakeJob) -> Job:
    """A job that is being worked on."""
    return await make_job()


@pytest.fixture
def ask(client: httpx.AsyncClient, media: Media) -> Ask:
    """Ask for a dub of the video into Spanish, or for what the changes make of that."""

    async def ask_for(headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
        body = {"kind": "video_translation", "media_id": str(media.id), "target_languages": ["es"]} | changes
        return await client.post("/v1/jobs", json=body, headers=headers)

    return ask_for
