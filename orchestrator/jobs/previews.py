"""Passages of a dub that can be heard while the rest is still being made, and how many of them before it is paid."""

import asyncio
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.dubbing.fit import place
from orchestrator.dubbing.mix import RATE, render
from orchestrator.dubbing.timeline import Clip
from orchestrator.errors import OctaviaError
from orchestrator.jobs import rows
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.storage import Storage

LONGEST_S = 60.0
"""Of a passage's speech; passages are half as long."""

CONTENT_TYPE = "audio/wav"

Samples = npt.NDArray[np.float32]


class NoPreviewError(OctaviaError):
    def __init__(self, language: str, passage: int, share: float) -> None:
        super().__init__(
            "no_preview",
            f"Passage {passage} cannot be heard in '{language}': it is not spoken yet, or lies beyond the first "
            f"{share:.0%} of the passages, which are all that can be heard before the job is completed.",
            404,
        )


class PreviewsWithdrawnError(OctaviaError):
    """The job gave no result and its credits went back, or its results are deleted."""

    def __init__(self, job: Job) -> None:
        if job.status == "completed":
            message = f"The results of job {job.id} are deleted, and its passages with them."
        else:
            message = f"Job {job.id} is {job.status} and cost nothing: there is nothing to hear of it any more."
        super().__init__("previews_withdrawn", message, 410)


@dataclass(frozen=True, slots=True)
class Preview:
    """A passage that is spoken: where it stands in the media, and how long its speech is. Seconds.

    `confidence`: the mean probability of its words as they were heard; None where they were read, not heard.
    """

    language: str
    passage: int
    start: float
    end: float
    seconds: float
    confidence: float | None = None


def offered(passages: int, share: float) -> int:
    """How many of the passages there are so far can be heard: the share of them, rounded down, but one at least."""
    return max(1, math.floor(passages * share)) if share else 0


async def listed(session: AsyncSession, job: Job, share: float) -> list[Preview]:
    """What can be heard of the job now, by language and in order. Raises PreviewsWithdrawnError."""
    limit = await _limit(session, job, share)
    seconds = sa.func.max(Rendition.onset + Rendition.seconds) - sa.func.min(Rendition.onset)
    words = sa.func.jsonb_array_elements(SegmentRow.words).table_valued(sa.column("value", JSONB)).lateral()
    query = (
        sa.select(
            Rendition.language,
            SegmentRow.passage,
            sa.func.min(SegmentRow.start).label("start"),
            sa.func.max(SegmentRow.end).label("end"),
            sa.func.coalesce(seconds, 0.0).label("seconds"),
            sa.func.avg(words.c.value["probability"].as_float()).label("confidence"),
        )
        .join(SegmentRow, (SegmentRow.job_id == Rendition.job_id) & (SegmentRow.index == Rendition.segment))
        .outerjoin(words, sa.true())
        .where(Rendition.job_id == job.id, Rendition.audio_key.is_not(None), SegmentRow.passage < limit)
        .group_by(Rendition.language, SegmentRow.passage)
        .order_by(Rendition.language, SegmentRow.passage)
    )
    found = await session.execute(query)
    return [Preview(*row) for row in found]


async def spoken(session: AsyncSession, job: Job, language: str, passage: int, share: float) -> list[Rendition]:
    """The renditions of a passage that can be heard, in order. Raises NoPreviewError, PreviewsWithdrawnError."""
    limit = await _limit(session, job, share)
    pairs = await rows.renditions(session, str(job.id), language, passage) if passage < limit else []
    found = [rendition for _, rendition in pairs if rendition.audio_key is not None]
    if not found:
        raise NoPreviewError(language, passage, share)
    return found


async def audio(storage: Storage, renditions: Sequence[Rendition]) -> bytes:
    """Their speech at its distances, as the dub will have it, in a mono WAV file at 48 kHz."""
    found = await asyncio.gather(*(storage.read(str(rendition.audio_key)) for rendition in renditions))
    return await asyncio.to_thread(_mixed, [each.onset or 0.0 for each in renditions], found)


async def _limit(session: AsyncSession, job: Job, share: float) -> int:
    """How many passages can be heard from the first on: all of a completed job, as long as its results are kept."""
    if job.status in ("failed", "cancelled") or not job.available:
        raise PreviewsWithdrawnError(job)
    query = sa.select(sa.func.max(SegmentRow.passage) + 1).where(SegmentRow.job_id == job.id)
    passages: int = await session.scalar(query) or 0
    return passages if job.status == "completed" else offered(passages, share)


def _mixed(onsets: Sequence[float], files: Sequence[bytes]) -> bytes:
    sounds: list[Samples] = [soundfile.read(io.BytesIO(file), dtype="float32")[0] for file in files]
    placements = place(onsets, [len(sound) / RATE for sound in sounds], math.inf)
    starts = [round((placement.onset - onsets[0]) * RATE) for placement in placements]
    clips = [Clip(str(at), start, len(sound)) for at, (start, sound) in enumerate(zip(starts, sounds, strict=True))]
    length = min(max(clip.onset + clip.samples for clip in clips), round(LONGEST_S * RATE))
    mixed = render(clips, lambda clip: sounds[int(clip.key)], 0, length, channels=1)
    written = io.BytesIO()
    soundfile.write(written, mixed, RATE, format="WAV", subtype="PCM_16")
    return written.getvalue()
