"""A look into a dub before it is finished: ten to thirty seconds of picture with the speech that is ready."""

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import soundfile
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.context import AppContext
from orchestrator.dubbing.excerpt import LEAD_S, LONGEST_S, SHORTEST_S, Excerpt, Ready, excerpt
from orchestrator.dubbing.mix import RATE, blocks
from orchestrator.dubbing.timeline import Clip
from orchestrator.errors import OctaviaError
from orchestrator.jobs import keys, service
from orchestrator.jobs.models import Artifact, Job, Rendition, SegmentRow
from orchestrator.media.clip import clip
from orchestrator.media.loudness import levelled, write_track
from orchestrator.media.models import Media
from orchestrator.storage import Storage

MOST_SEGMENTS = 200
"""More do not begin within a sample's seconds."""

Samples = npt.NDArray[np.float32]


class NoSampleError(OctaviaError):
    def __init__(self, why: str) -> None:
        super().__init__("no_sample", why, 404)


async def sample(context: AppContext, user_id: UUID, job_id: UUID) -> str:
    """The storage key of a sample MP4 of a video's dub, made now unless the same was made before.

    Raises NotFoundError, ResultsExpiredError, NoSampleError, MediaError.
    """
    async with context.sessions() as session:
        job = await service.get(session, user_id, job_id)
        service.insist_on_results(job)
        media = await session.get_one(Media, job.media_id)
        _insist_on_a_dub(job, media)
        language = job.target_languages[0]
        finished = await _finished(session, job, language) if job.status == "completed" else None
        ready = await _ready(session, job, language)
    if finished is not None:
        key = f"{keys.everything(str(job_id))}/sample-{finished.sha256[:16]}.mp4"
        onset = ready[0].onset if ready else 0.0
        start = max(0.0, min(onset - LEAD_S, media.duration - SHORTEST_S))
        shown = Excerpt(start, min(LONGEST_S, media.duration - start), ())
        return await _made(context, key, finished.storage_key, shown)
    found = excerpt(ready, media.duration)
    if found is None:
        raise NoSampleError("Nothing is spoken yet. Try again in a moment.")
    return await _made(context, f"{keys.work(str(job_id))}/sample-{len(found.clips)}.mp4", media.storage_key, found)


def _insist_on_a_dub(job: Job, media: Media) -> None:
    if job.kind != "video_translation" or media.video is None:
        raise NoSampleError("Only the dub of a video has a sample.")
    if job.status not in ("processing", "completed"):
        raise NoSampleError(f"Job {job.id} is {job.status}: it has no sample.")


async def _finished(session: AsyncSession, job: Job, language: str) -> Artifact | None:
    return await session.scalar(
        sa.select(Artifact).where(Artifact.job_id == job.id, Artifact.kind == "video", Artifact.language == language)
    )


async def _ready(session: AsyncSession, job: Job, language: str) -> list[Ready]:
    """The first segments in order, each with its speech where that is there."""
    query = (
        sa.select(SegmentRow.start, Rendition.audio_key, Rendition.seconds)
        .outerjoin(
            Rendition,
            sa.and_(
                Rendition.job_id == SegmentRow.job_id,
                Rendition.segment == SegmentRow.index,
                Rendition.language == language,
            ),
        )
        .where(SegmentRow.job_id == job.id)
        .order_by(SegmentRow.index)
        .limit(MOST_SEGMENTS)
    )
    return [Ready(row.start, row.audio_key, row.seconds or 0.0) for row in await session.execute(query)]


async def _made(context: AppContext, key: str, source_key: str, shown: Excerpt) -> str:
    if await context.storage.exists(key):
        return key
    async with context.probes, context.storage.local(source_key) as path:
        with tempfile.TemporaryDirectory(prefix="octavia-sample-") as name:
            folder = Path(name)
            sound = await _sound(context.storage, shown, folder) if shown.clips else None
            result = folder / "sample.mp4"
            await clip(path, result, start=shown.start, seconds=shown.seconds, sound=sound)
            await context.storage.put_file(key, result)
    return key


async def _sound(storage: Storage, shown: Excerpt, folder: Path) -> Path:
    """The speech of an excerpt at a dub's loudness, a WAV file."""
    loop = asyncio.get_running_loop()

    def read(piece: Clip) -> Samples:
        data = asyncio.run_coroutine_threadsafe(storage.read(piece.key), loop).result()
        samples: Samples = soundfile.read(io.BytesIO(data), dtype="float32")[0]
        return samples

    async def mixed() -> AsyncIterator[Samples]:
        rendered = blocks(shown.clips, read, round(shown.seconds * RATE), 1)
        while (block := await asyncio.to_thread(next, rendered, None)) is not None:
            yield block

    raw, finished = folder / "raw.wav", folder / "sound.wav"
    await levelled(raw, finished, await write_track(mixed(), raw, 1))
    return finished
