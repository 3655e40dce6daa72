"""Rows for the tests of jobs: a media that needs no upload, a job under way, a dub that waits to be assembled."""

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from dbos import AsyncSQLAlchemyDatasource
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.dubbing.mix import RATE
from orchestrator.inference import Inference
from orchestrator.jobs import context, durable, hearing, keys, progress
from orchestrator.jobs.models import HeardWindow, Job, Rendition, SegmentRow
from orchestrator.jobs.scratch import worker_scratch
from orchestrator.media.models import Media
from orchestrator.notifications.mailer import OutboxMailer
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.orchestrator.jobs.voices_plane import RATE as TALK_RATE
from tests.orchestrator.jobs.voices_plane import Said, conversation, whistling

Sessions = async_sessionmaker[AsyncSession]
MakeMedia = Callable[..., Awaitable[Media]]
MakeJob = Callable[..., Awaitable[Job]]
MakeTalk = Callable[..., Awaitable[Job]]
Ask = Callable[..., Awaitable[httpx.Response]]

LANGUAGES = ["es", "de"]
SEGMENTS = [(0.5, 2.0, "Hello there."), (3.0, 4.5, "How are you?")]
SPOKEN_S = [3.0, 1.0]
"""The first runs half a second into the second."""


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


@pytest.fixture
async def storage_of_steps(engine: AsyncEngine, app_settings: Settings, storage: Storage) -> AsyncIterator[Storage]:
    """A worker's context for steps that ask no models, and its scratch folder."""
    assert app_settings.database_url
    datasource = await AsyncSQLAlchemyDatasource.create(app_settings.database_url, engine=engine)
    async with Inference("127.0.0.1:1", wait_s=1) as models:
        mailer = OutboxMailer(app_settings.data_dir / "outbox")
        context.use(
            context.WorkerContext(
                app_settings, engine, storage, models, datasource, mailer, durable.api_client(engine.sync_engine)
            )
        )
        with worker_scratch(app_settings.scratch_root, "me"):
            yield storage


@pytest.fixture
async def dub(
    make_job: MakeJob, make_media: MakeMedia, make_session: Sessions, storage_of_steps: Storage, clips: Path
) -> Job:
    """A job whose two segments are translated to two languages and spoken."""
    media = await make_media(duration=6.0, storage_key="media/clip/source")
    await storage_of_steps.put_file("media/clip/source", clips / "v.mp4")
    job = await make_job(target_languages=LANGUAGES, source_language="en", media_id=media.id)
    async with make_session.begin() as session:
        for index, (start, end, text) in enumerate(SEGMENTS):
            words = [{"text": text, "start": start, "end": end, "probability": 0.9}]
            values = {"passage": 0, "start": start, "end": end, "next_start": end + 1, "language": "en", "text": text}
            session.add(SegmentRow(job_id=job.id, index=index, words=words, **values))
            for language in LANGUAGES:
                key = keys.rendition(str(job.id), language, index)
                await storage_of_steps.put_bytes(key, tone(SPOKEN_S[index]))
                values = {"text": f"{language} {index}", "speed": 1.0, "seconds": SPOKEN_S[index], "audio_key": key}
                session.add(Rendition(job_id=job.id, language=language, segment=index, **values))
    return job


def tone(seconds: float) -> bytes:
    samples = 0.2 * np.sin(np.arange(round(seconds * RATE)) * (2 * np.pi * 300 / RATE))
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture
async def storage_with_voices(storage_of_steps: Storage) -> AsyncIterator[Storage]:
    """As `storage_of_steps`, with models whose voices whistle."""
    async with whistling() as address, Inference(address, wait_s=30) as models:
        context.use(dataclasses.replace(context.current(), models=models))
        yield storage_of_steps


@pytest.fixture
def make_talk(make_job: MakeJob, make_media: MakeMedia, make_session: Sessions, storage_of_steps: Storage) -> MakeTalk:
    """A job on a conversation whose sound is extracted; each stretch of speech is a window."""

    async def make(said: Said, seconds: float, **changes: Any) -> Job:
        file = io.BytesIO()
        sound = conversation(said, seconds)
        await asyncio.to_thread(soundfile.write, file, sound, TALK_RATE, format="WAV", subtype="PCM_16")
        await storage_of_steps.put_bytes("media/talk/source", file.getvalue())
        media = await make_media(kind="audio", video=None, duration=seconds, storage_key="media/talk/source")
        values = {"kind": "audio_translation", "source_language": "en", "target_languages": ["de"]} | changes
        job = await make_job(media_id=media.id, **values)
        await hearing.extract(str(job.id))
        async with make_session.begin() as session:
            for index, (start, end, _) in enumerate(said):
                place = {"job_id": job.id, "index": index, "start": start, "end": end}
                session.add(HeardWindow(**place, speech=end - start, stretches=[[start, end]]))
        return job

    return make
