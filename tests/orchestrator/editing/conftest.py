"""A completed dub with rows, and asking about its transcript."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from orchestrator.jobs import keys, progress
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from tests.orchestrator.jobs.conftest import MakeJob, Sessions, make_job, make_media, media

__all__ = ["make_job", "make_media", "media"]

SEGMENTS = [(1.0, 3.0, "One two three"), (4.0, 6.0, "Four five"), (8.0, 10.0, "Six")]

Ask = Callable[..., Awaitable[httpx.Response]]
Complete = Callable[..., Awaitable[Job]]


@pytest.fixture
def complete(make_job: MakeJob, make_session: Sessions) -> Complete:
    """A completed job of three segments of two seconds each, spoken in its target languages."""

    async def make(**changes: Any) -> Job:
        values = {"source_language": "en", "voices": {"es": "lola"}} | changes
        job = await make_job(**values)
        async with make_session.begin() as session:
            for index, (start, end, text) in enumerate(SEGMENTS):
                words = [
                    {"text": f" {word}", "start": start + at / 2, "end": start + (at + 1) / 2, "probability": 0.9}
                    for at, word in enumerate(text.split())
                ]
                place = {"passage": 0, "start": start, "end": end, "next_start": end + 1, "language": "en"}
                session.add(SegmentRow(job_id=job.id, index=index, text=text, words=words, **place))
                for language in job.target_languages:
                    session.add(
                        Rendition(
                            job_id=job.id,
                            language=language,
                            segment=index,
                            text=f"{language} {index}",
                            voice="lola",
                            speed=1.0,
                            onset=start,
                            seconds=1.5,
                            overflow=0.0,
                            audio_key=keys.rendition(str(job.id), language, index),
                            candidates=[{"text": f"{language} {index}", "score": 0.0}],
                        )
                    )
            files = [
                {
                    "kind": "video",
                    "language": language,
                    "name": f"{language}.mp4",
                    "content_type": "video/mp4",
                    "size": 1,
                    "sha256": "0" * 64,
                    "storage_key": keys.artifact(str(job.id), f"{language}.mp4"),
                }
                for language in job.target_languages
            ]
            await progress.complete(session, job.id, files)
        async with make_session() as session:
            return await session.get_one(Job, job.id)

    return make


@pytest.fixture
async def job(complete: Complete) -> Job:
    return await complete()


@pytest.fixture
def ask(client: httpx.AsyncClient, job: Job) -> Ask:
    """Something of the job's transcript: POST where there is a body."""

    async def send(path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        url = f"/v1/jobs/{job.id}/{path}"
        return await (client.post(url, json=body, headers=headers) if body else client.get(url))

    return send
