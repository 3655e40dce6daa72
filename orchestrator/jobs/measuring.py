"""The quality report of a finished dub: what was made is listened to and measured, and written as data and as a page.

`measure` is the body of a durable step: it may run twice, also at the same time, and publishes under keyed names.
What a model does not answer is not measured, and the report says so; nothing in here makes a job fail.
"""

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import structlog
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import patiently
from orchestrator.dubbing.fit import past
from orchestrator.errors import OctaviaError
from orchestrator.inference import ModelRefusedError
from orchestrator.jobs import keys, listening, rows
from orchestrator.jobs.advance import MEASURING, MergeProgress
from orchestrator.jobs.assembling import Dub, dub_of
from orchestrator.jobs.context import current
from orchestrator.jobs.kinds import OF_SUBTITLES, SPOKEN
from orchestrator.jobs.metering import readings_of
from orchestrator.jobs.models import Job
from orchestrator.jobs.scratch import scratch_folder
from orchestrator.jobs.subtitling import profile_of
from orchestrator.jobs.writing import ArtifactValues, publish, target_cues
from orchestrator.media.streams import inspect
from orchestrator.quality.page import page
from orchestrator.quality.reading_back import ReadBack
from orchestrator.quality.reasons import Reason
from orchestrator.quality.report import Curve, Measured, Spoken, quality_report, summary
from orchestrator.quality.transcript import HeardSegment, confidence
from orchestrator.subtitles.check import check, count
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.rules import rules_for

log = structlog.get_logger(__name__)

CURVE_POINTS = 600
T = TypeVar("T")


@dataclass(slots=True)
class Attempts:
    """What was tried to be measured, and why it could not be."""

    reasons: dict[str, Reason] = field(default_factory=dict)

    async def __call__(self, part: str, work: Awaitable[T | Reason]) -> T | None:
        """The part, or None and its reason noted: what the work says, or what went wrong with a model."""
        try:
            found = await work
        except ModelRefusedError as error:
            found = "not_installed" if error.is_absent else "unavailable"
            log.info("not measured", part=part, reason=found, message=error.message)
        except OctaviaError as error:
            found = "unavailable"
            log.warning("not measured", part=part, code=error.code, message=error.message)
        if isinstance(found, str):
            self.reasons[part] = found  # type: ignore[assignment]
            return None
        return found


async def measure(job_id: str, language: str) -> list[ArtifactValues]:
    """The report of a finished dub as JSON and as a page; nothing where the job gives no speech."""
    dub = await dub_of(job_id, language)
    if dub.job.kind not in SPOKEN or dub.job.status != "processing":
        return []
    if taken_over(dub.job, language):
        return []
    cues = await target_cues(job_id, language, profile_of(dub.job))
    name = f"{language}.{'mp4' if dub.job.kind == 'video_translation' else dub.format}"
    targets = dub.job.target_languages
    async with (
        current().storage.local(keys.artifact(job_id, name)) as finished,
        MergeProgress(current().engine, job_id, targets.index(language), len(targets), MEASURING) as progress,
    ):
        report = await report_on(dub, language, finished, cues)
        progress(1.0)
    files = await publish_report(dub, language, report)
    values = {"quality": Job.quality.concat({language: summary(report)})}
    await patiently(
        current().engine, lambda session: session.execute(update(Job).where(Job.id == dub.job.id).values(**values))
    )
    return files


async def publish_report(dub: Dub, language: str, report: Mapping[str, Any]) -> list[ArtifactValues]:
    """Store a report as `quality.<language>.json` and `.html`."""
    job_id, stem = str(dub.job.id), f"quality.{language}"
    texts = {segment.index: rendition.text for segment, rendition in dub.spoken}
    shown = await asyncio.to_thread(page, report, dub.media.filename, texts)
    data = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    html = shown.encode()
    return [
        await publish(job_id, "quality_report", language, f"{stem}.json", "application/json", data),
        await publish(job_id, "quality_report", language, f"{stem}.html", "text/html; charset=utf-8", html),
    ]


async def report_on(dub: Dub, language: str, finished: Path, cues: Sequence[Cue]) -> dict[str, Any]:
    """What can be measured of a dub and its finished file. `cues`: the subtitles beside it, [] where there are none."""
    tried = Attempts()
    rules = rules_for(language, profile_of(dub.job))
    container = await inspect(finished)
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        sound = listening.Sound(finished, scratch)
        measured = Measured(
            media_seconds=dub.media.duration,
            output_seconds=container.duration or 0.0,
            goal=dub.goal,
            **await _loudness(dub, language, finished, tried),
            subtitle_violations=await asyncio.to_thread(lambda: count(check(cues, rules))),
            transcript=await tried("transcript", _transcript(dub)),
            read_back=await tried("read_back", listening.read_back(dub, language, sound, how_read_back(dub.job))),
            speech_quality=await tried("speech_quality", listening.speech_quality(dub, sound)),
            speaker_similarity=await tried("speaker_similarity", listening.speaker_similarity(dub, sound)),
            reasons=tried.reasons,
            notices=dub.job.warnings,
        )
    return await asyncio.to_thread(quality_report, language, spoken_of(dub), measured)


def taken_over(job: Job, language: str) -> bool:
    """Whether a regeneration has left this language's dub as it was: its report came with it."""
    files: list[ArtifactValues] = job.rendered.get(language, {}).get("files", [])
    return any(file["kind"] == "quality_report" for file in files)


def how_read_back(job: Job) -> ReadBack | Literal["regenerated"]:
    """As the job asks, else as the service is set: then not again where a dub is made anew."""
    asked: bool | None = job.options.get("read_back")
    if asked is not None:
        return "full" if asked else "none"
    usual = current().settings.read_back
    return "regenerated" if usual != "none" and job.regenerates is not None else usual


def spoken_of(dub: Dub) -> list[Spoken]:
    """The dub's segments as they lie in its sound."""
    return [
        Spoken(
            segment.index,
            rendition.speed or 1.0,
            rendition.seconds or 0.0,
            past(placement, slot),
            placement,
            slot,
        )
        for segment, rendition, placement, slot in dub.placed(dub.seconds)
    ]


async def _loudness(dub: Dub, language: str, finished: Path, tried: Attempts) -> dict[str, Any]:
    """Of the sound we made; where the original's was taken over there is nothing of ours to measure."""
    if not dub.has_track:
        tried.reasons["loudness"] = "own_sound"
        return {}
    readings = await readings_of(finished, dub.job.rendered.get(language, {}).get("readings"))
    return {"loudness": readings.loudness(), "curve": Curve(*readings.thinned(CURVE_POINTS))}


async def _transcript(dub: Dub) -> dict[str, Any] | Reason:
    async def read(session: AsyncSession) -> list[HeardSegment]:
        segments = await rows.segments(session, str(dub.job.id))
        return [
            HeardSegment(each.index, each.text, [word["probability"] for word in each.words if "probability" in word])
            for each in segments
        ]

    if dub.job.kind in OF_SUBTITLES:
        return "texts_given"
    return confidence(await patiently(current().engine, read)) or "nothing_spoken"
