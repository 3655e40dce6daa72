"""From a passage's segments to speech in their slots, in one target language.

Each public function is the body of a durable step: it may run twice, also at the same time. Rows are keyed by job,
language and segment; the same text, voice, speed and seed give the same samples.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.capabilities import Capabilities, base
from orchestrator.database import patiently
from orchestrator.errors import OctaviaError
from orchestrator.inference import Hypothesis
from orchestrator.jobs import progress, rows
from orchestrator.jobs.advance import advance
from orchestrator.jobs.captions import translated_cues
from orchestrator.jobs.casting import speakers_of, voice_of
from orchestrator.jobs.checks import Way, check_mix, check_voices, remarks
from orchestrator.jobs.context import current
from orchestrator.jobs.fitting import plan_passage, speak
from orchestrator.jobs.kinds import DUBBED, OF_SUBTITLES, SPOKEN, speaks
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.schemas import JobOptions
from orchestrator.jobs.terms import Translated, terms_of, translate
from orchestrator.subtitles.clauses import Whole, clauses, wholes
from orchestrator.subtitles.whole import Reading

HYPOTHESES = 4
"""Translations asked for of a sentence that will be spoken: the fit may take a shorter one."""


class NoTranslationError(OctaviaError):
    def __init__(self, source: str, target: str, capabilities: Capabilities) -> None:
        targets = ", ".join(sorted(capabilities.targets(source))) or "nothing"
        super().__init__(
            "no_translation",
            f"No model translates '{source}' to '{target}', not even through English. Possible: {targets}.",
            422,
        )


async def check_route(job_id: str, source: str, target: str) -> None:
    """Refuse a job nobody can translate or speak before its work begins; warn about stand-ins and same languages.

    The voice is chosen here for the whole job, with the speeds it has now: one that is installed meanwhile does not
    take over in the middle, and one that is measured anew is not spoken with at another pace.
    """
    capabilities = await current().models.capabilities_patiently()

    async def work(session: AsyncSession) -> None:
        job = await rows.job(session, job_id)
        options = JobOptions.model_validate(job.options)
        needs_voice = speaks(job.kind, source, target)
        if base(source) != base(target) and not capabilities.route(source, target):
            raise NoTranslationError(source, target, capabilities)
        if needs_voice:
            check_mix(job.options.get("mix"), capabilities)
            check_voices(options, Way(source, [target]), capabilities)
        voice = voice_of(job, target, capabilities) if needs_voice else None
        for code, message in remarks(job.kind, source, target, options, capabilities):
            await progress.warn(session, job.id, code, message)
        if voice:
            speeds = {voice.name: voice.speeds.kept(), **job.voice_speeds}
            chosen = {"voices": Job.voices.concat({target: voice.name}), "voice_speeds": speeds}
            await session.execute(update(Job).where(Job.id == job.id).values(**chosen))

    await patiently(current().engine, work)


async def translate_passage(job_id: str, language: str, passage: int) -> None:
    """Translate a passage's segments, all of one source language in a call; those already in the language are kept.

    What an earlier attempt has translated stays as it is: it may have been spoken.
    """

    async def read(session: AsyncSession) -> tuple[Job, Sequence[SegmentRow]]:
        segments = await rows.passage(session, job_id, passage)
        done = {segment.index for segment, _ in await rows.renditions(session, job_id, language, passage)}
        return await rows.job(session, job_id), [segment for segment in segments if segment.index not in done]

    job, segments = await patiently(current().engine, read)
    if job.status != "processing" or not segments:
        return
    if job.kind in OF_SUBTITLES:
        cues = await translated_cues(segments, job, language)
        await patiently(current().engine, lambda session: _store(session, job, language, cues))
        return
    count = HYPOTHESES if job.kind in DUBBED else 1
    by_source: defaultdict[str, list[SegmentRow]] = defaultdict(list)
    for segment in segments:
        by_source[segment.language].append(segment)
    translated: list[dict[str, Any]] = []
    untranslated: set[str] = set()
    for source, group in by_source.items():
        found = await _translations(job, group, source, language, count)
        if found is None:
            untranslated.add(source)
            found = [Translated([]) for _ in group]
        translated += [_translated(segment, language, each) for segment, each in zip(group, found, strict=True)]

    async def store(session: AsyncSession) -> None:
        for source in untranslated:
            message = (
                f"Some speech is in '{source}', which no model translates to '{language}': it is kept as text only."
            )
            await progress.warn(session, job.id, "untranslated", message)
        await _store(session, job, language, translated)

    await patiently(current().engine, store)


async def _store(session: AsyncSession, job: Job, language: str, renditions: Sequence[dict[str, Any]]) -> None:
    await session.execute(insert(Rendition).on_conflict_do_nothing(), renditions)
    for term in sorted({term for each in renditions for term in each.get("missing_terms", [])}):
        message = f"'{term}' of your glossary could not be put into every sentence in '{language}' that has it."
        await progress.warn(session, job.id, "glossary", f"{message} The transcript shows in which it is missing.")
    await advance(session, job.id, "translating", language=language)


async def speak_passage(job_id: str, language: str, passage: int) -> None:
    """Speak a passage's translations, each fitted into its slot; nothing to do where the job gives no speech."""

    async def read(session: AsyncSession) -> tuple[Job, list[tuple[SegmentRow, Rendition]]]:
        return await rows.job(session, job_id), await rows.renditions(session, job_id, language, passage)

    job, renditions = await patiently(current().engine, read)
    if job.status != "processing" or job.kind not in SPOKEN:
        return
    spoken = [(segment, rendition) for segment, rendition in renditions if _is_spoken(job, segment, rendition)]
    if not spoken:
        return
    speakers = await speakers_of(job, language, [segment for segment, _ in spoken])
    plans = await plan_passage(spoken, speakers, read_aloud=job.kind in OF_SUBTITLES)
    fits = await asyncio.gather(
        *(speak(*pair, speaker, plan) for pair, speaker, plan in zip(spoken, speakers, plans, strict=True))
    )

    async def store(session: AsyncSession) -> None:
        for values, (segment, _) in zip(fits, spoken, strict=True):
            await session.execute(
                update(Rendition)
                .where(
                    Rendition.job_id == job.id,
                    Rendition.language == language,
                    Rendition.segment == segment.index,
                    Rendition.audio_key.is_(None),  # the first answer holds: it may have been placed since
                )
                .values(**values)
            )
        await advance(session, job.id, "synthesizing", language=language)

    await patiently(current().engine, store)


async def _translations(
    job: Job, segments: Sequence[SegmentRow], source: str, target: str, count: int
) -> list[Translated] | None:
    """The n-best of each segment, of clauses of one sentence the parts of the best; None where no model leads there."""
    if base(source) == base(target):
        return [Translated([Hypothesis(segment.text, 0.0)]) for segment in segments]
    models, terms = current().models, terms_of(job, source, target)
    if not (await models.capabilities_patiently()).route(source, target):
        return None
    read = wholes([Reading(each.start, each.end, each.text, each.speaker or "") for each in segments], source)
    found = await translate(models, terms, [each.text for each in read], source, target, count)
    parted = [_parted(whole, best, target) for whole, best in zip(read, found, strict=True)]
    apart = [
        segments[at].text for whole, parts in zip(read, parted, strict=True) if parts is None for at in whole.segments
    ]
    by_itself = iter(await translate(models, terms, apart, source, target, count))
    return [
        row
        for whole, parts in zip(read, parted, strict=True)
        for row in (parts if parts is not None else [next(by_itself) for _ in whole.segments])
    ]


def _parted(whole: Whole, translated: Translated, target: str) -> list[Translated] | None:
    """A translation's parts for the segments of a sentence; None where it cannot be parted.

    What it lacks of the glossary is told of at the first of them.
    """
    found = translated.found
    if len(whole.segments) == 1:
        return [translated]
    parts = clauses(found[0].text, whole.lengths, target) if found else None
    if parts is None:
        return None
    return [
        Translated([Hypothesis(part, found[0].score)], translated.missing if at == 0 else ())
        for at, part in enumerate(parts)
    ]


def _translated(segment: SegmentRow, language: str, translated: Translated) -> dict[str, Any]:
    found = translated.found
    best = found[0] if found else Hypothesis(segment.text, 0.0)
    return {
        "job_id": segment.job_id,
        "language": language,
        "segment": segment.index,
        "text": best.text,
        "score": best.score if found and segment.language != language else None,
        "candidates": [{"text": each.text, "score": each.score} for each in found],
        "missing_terms": [term.source for term in translated.missing],
    }


def _is_spoken(job: Job, segment: SegmentRow, rendition: Rendition) -> bool:
    """A file already in the target language keeps its sound, if it has any; what nothing translates is not spoken."""
    speech = speaks(job.kind, job.source_language or job.detected_language, rendition.language)
    return speech and bool(rendition.candidates) and rendition.audio_key is None
