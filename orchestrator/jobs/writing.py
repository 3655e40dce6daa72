"""A job's texts as files: subtitles in every language of the job, and the transcript with its words.

The body of a durable step: it may run twice, also at the same time, and publishes under keyed names.
"""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import TypedDict
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import patiently
from orchestrator.dubbing.timeline import Segment, Word
from orchestrator.jobs import keys, rows
from orchestrator.jobs.advance import SUBTITLES_SHARE, advance
from orchestrator.jobs.context import current
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.subtitling import Texts, encoded, profile_of, warn_of_rules
from orchestrator.storage import Stored
from orchestrator.subtitles.check import Violation, check
from orchestrator.subtitles.cues import Cue, Line, cues_of_lines, cues_of_segments
from orchestrator.subtitles.reader import CONTENT_TYPES
from orchestrator.subtitles.rules import PLAIN, Rules
from orchestrator.subtitles.transcript import Said

USUAL_FORMATS = ("srt", "vtt")

UNDETERMINED = "und"
"""BCP 47 for a language nobody could tell: a file in which nobody speaks."""


class ArtifactValues(TypedDict):
    """A finished file, as the completing transaction inserts it."""

    kind: str
    language: str | None
    name: str
    content_type: str
    size: int
    sha256: str
    storage_key: str


async def write_subtitles(job_id: str) -> list[ArtifactValues]:
    """Subtitles of the original and of each target language in the formats asked for, and the transcript as JSON."""

    async def read(session: AsyncSession) -> tuple[Job, Sequence[SegmentRow]]:
        await advance(session, UUID(job_id), "merging", merged=SUBTITLES_SHARE)
        return await rows.job(session, job_id), await rows.segments(session, job_id)

    job, segments = await patiently(current().engine, read)
    source = job.source_language or job.detected_language or UNDETERMINED
    found = [await asyncio.to_thread(source_texts, source, segments, profile_of(job))]
    found += [await target_texts(job, target) for target in job.target_languages if target != source]
    written = []
    for texts in found:
        for kind in wanted_formats(job, USUAL_FORMATS):
            data = await encoded(kind, texts, word_times=bool(job.options.get("word_timing")))
            name = f"{texts.language}.{kind}"
            written.append(await publish(job_id, "subtitles", texts.language, name, CONTENT_TYPES[kind], data))
        if job.options.get("subtitle_profile"):
            broken = await asyncio.to_thread(check, texts.cues, texts.rules)
            why = "what is said is not condensed."
            await patiently(current().engine, partial(_warn, job.id, texts.rules, broken, why))
    transcript = await asyncio.to_thread(_transcript, source, segments)
    return [
        *written,
        await publish(job_id, "transcript", source, f"transcript.{source}.json", "application/json", transcript),
    ]


async def _warn(job_id: UUID, rules: Rules, broken: Sequence[Violation], why: str, session: AsyncSession) -> None:
    await warn_of_rules(session, job_id, rules, broken, why)


def source_texts(language: str, segments: Sequence[SegmentRow], profile: Rules) -> Texts:
    """What was said: cues by the times of its words."""
    cues = cues_of_segments(
        (
            Segment(
                each.start, each.end, each.language, each.text, tuple(Word(**word) for word in each.words), each.speaker
            )
            for each in segments
        ),
        profile,
    )
    return Texts(language, cues, [Said(each.text, each.passage, each.speaker) for each in segments], profile)


async def target_cues(job_id: str, language: str, profile: Rules = PLAIN) -> list[Cue]:
    """Cues of a translation: shown while the dub speaks them, or while the original does where nothing is dubbed."""
    lines = [_line(*pair) for pair in await _renditions(job_id, language)]
    return await asyncio.to_thread(cues_of_lines, lines, language, profile)


async def target_texts(job: Job, language: str) -> Texts:
    """A translation: its cues, and its sentences in the passages of the original."""
    pairs = await _renditions(str(job.id), language)
    profile = profile_of(job)
    cues = await asyncio.to_thread(cues_of_lines, [_line(*pair) for pair in pairs], language, profile)
    said = [Said(rendition.text, segment.passage, segment.speaker) for segment, rendition in pairs]
    return Texts(language, cues, said, profile)


async def _renditions(job_id: str, language: str) -> list[tuple[SegmentRow, Rendition]]:

    async def read(session: AsyncSession) -> list[tuple[SegmentRow, Rendition]]:
        return await rows.renditions(session, job_id, language)

    return await patiently(current().engine, read)


def _line(segment: SegmentRow, rendition: Rendition) -> Line:
    if rendition.onset is None or rendition.seconds is None:
        return Line(segment.start, segment.end, rendition.text, segment.speaker)
    return Line(rendition.onset, rendition.onset + rendition.seconds, rendition.text, segment.speaker)


async def publish(
    job_id: str, kind: str, language: str | None, name: str, content_type: str, data: bytes
) -> ArtifactValues:
    """Store a small artifact."""
    key = keys.artifact(job_id, name)
    return described(kind, language, name, content_type, key, await current().storage.put_bytes(key, data))


def described(
    kind: str, language: str | None, name: str, content_type: str, key: str, stored: Stored
) -> ArtifactValues:
    return {
        "kind": kind,
        "language": language,
        "name": name,
        "content_type": content_type,
        "size": stored.size,
        "sha256": stored.sha256,
        "storage_key": key,
    }


def wanted_formats(job: Job, usual: Sequence[str]) -> Sequence[str]:
    """The formats of subtitles a job was asked for, else the usual ones."""
    return job.options.get("formats") or usual


def _transcript(language: str, segments: Sequence[SegmentRow]) -> bytes:
    content = {
        "language": language,
        "segments": [
            {
                "start": each.start,
                "end": each.end,
                "language": each.language,
                "speaker": each.speaker,
                "text": each.text,
                "words": each.words,
            }
            for each in segments
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()
