"""The sample clip of a dub: while the job runs, when it is done, and when there is none."""

import io
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.dubbing.mix import RATE
from orchestrator.jobs import keys, progress
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.media.probe import probe
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import MakeJob, MakeMedia
from tests.orchestrator.octavia_web.conftest import mirrored, refusal

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def job(make_media: MakeMedia, make_job: MakeJob, storage: Storage, clips: Path) -> Job:
    """A dub of a video of six seconds, under way."""
    await storage.put_file("media/y/source", clips / "v.mp4")
    media = await make_media(storage_key="media/y/source", duration=6.0)
    return await make_job(media_id=media.id)


async def speak(make_session: Sessions, storage: Storage, job: Job, index: int, onset: float, spoken: bool) -> None:
    """A segment of a second, and its speech: a tone."""
    key = keys.rendition(str(job.id), "es", index)
    file = io.BytesIO()
    soundfile.write(file, (0.3 * np.sin(np.arange(RATE) / 8)).astype(np.float32), RATE, format="WAV")
    await storage.put_bytes(key, file.getvalue())
    async with make_session.begin() as session:
        own = {"text": "Hello.", "words": [], "language": "en", "passage": index, "next_start": onset + 2}
        session.add(SegmentRow(job_id=job.id, index=index, start=onset, end=onset + 1, **own))
        await session.flush()
        if spoken:
            row = {"text": "Hola.", "score": 0.0, "voice": "lola", "seed": 0, "speed": 1.0, "seconds": 1.0}
            session.add(Rendition(job_id=job.id, language="es", segment=index, audio_key=key, **row))


def sound_of(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", "8000", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32)


def loud(samples: np.ndarray, start: float, end: float) -> float:
    return float(np.abs(samples[int(start * 8000) : int(end * 8000)]).mean())


async def test_a_running_job_shows_the_speech_that_is_ready_at_its_place(
    page: httpx.AsyncClient, job: Job, storage: Storage, make_session: Sessions, tmp_path: Path
) -> None:
    url = f"/api/jobs/{job.id}/sample"
    assert "Nothing is spoken yet" in refusal(await page.get(url), 404)
    await speak(make_session, storage, job, 0, 1.0, spoken=True)
    await speak(make_session, storage, job, 1, 4.0, spoken=False)
    answer = await page.get(url)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "video/mp4")
    shown = tmp_path / "sample.mp4"
    shown.write_bytes(answer.content)
    found = await probe(shown)
    assert found.video is not None
    assert (found.video.codec, found.audio[0].codec) == ("h264", "aac")
    assert found.duration == pytest.approx(6.0, abs=0.15)
    samples = sound_of(shown)
    assert loud(samples, 1.1, 1.9) > 20 * max(loud(samples, 0.0, 0.8), loud(samples, 2.3, 5.5))
    assert (await page.get(url)).content == answer.content


async def test_more_speech_makes_another_sample(
    page: httpx.AsyncClient, job: Job, storage: Storage, make_session: Sessions
) -> None:
    await speak(make_session, storage, job, 0, 1.0, spoken=True)
    first = await page.get(f"/api/jobs/{job.id}/sample")
    await speak(make_session, storage, job, 1, 4.0, spoken=True)
    second = await page.get(f"/api/jobs/{job.id}/sample")
    assert second.status_code == 200
    assert second.content != first.content


async def test_a_finished_job_shows_its_own_file(
    page: httpx.AsyncClient, job: Job, storage: Storage, make_session: Sessions, clips: Path, tmp_path: Path
) -> None:
    key = keys.artifact(str(job.id), "es.mp4")
    stored = await storage.put_file(key, clips / "v.mp4")
    file = {"kind": "video", "language": "es", "name": "es.mp4", "content_type": "video/mp4", "storage_key": key}
    async with make_session.begin() as session:
        await progress.complete(session, job.id, [{**file, "size": stored.size, "sha256": stored.sha256}])
    answer = await page.get(f"/api/jobs/{job.id}/sample")
    shown = tmp_path / "sample.mp4"
    shown.write_bytes(answer.content)
    assert (await probe(shown)).duration == pytest.approx(6.0, abs=0.15)
    assert loud(sound_of(shown), 0.5, 5.5) > 0.01


async def test_there_is_none_of_a_cancelled_job_nor_of_sound_alone_nor_for_strangers(
    page: httpx.AsyncClient, stranger: httpx.AsyncClient, job: Job, make_job: MakeJob
) -> None:
    refusal(await stranger.get(f"/api/jobs/{job.id}/sample"), 404)
    sound = await make_job(kind="audio_translation")
    assert "Only the dub of a video" in refusal(await page.get(f"/api/jobs/{sound.id}/sample"), 404)
    mirrored(await page.post(f"/api/cancel/{job.id}"))
    assert "cancelled" in refusal(await page.get(f"/api/jobs/{job.id}/sample"), 404)
