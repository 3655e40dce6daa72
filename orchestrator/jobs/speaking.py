"""From a passage's segments to speech in their slots, in one target language.

Each public function is the body of a durable step: it may run twice, also at the same time. Rows are keyed by job,
language and segment; the same text, voice, speed and seed give the same samples.
"""

import asyncio
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import soundfile
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.capabilities import Capabilities, Voice, base
from orchestrator.database import patiently
from orchestrator.dubbing.fit import Candidate, Fit, Slot, choose, fit, slot_of, slot_of_cue
from orchestrator.dubbing.mix import RATE, resample
from orchestrator.errors import OctaviaError
from orchestrator.inference import Hypothesis, Utterance
from orchestrator.jobs import keys, progress, rows
from orchestrator.jobs.advance import advance
from orchestrator.jobs.captions import translated_cues
from orchestrator.jobs.checks import check_mix, remarks
from orchestrator.jobs.context import current
from orchestrator.jobs.kinds import DUBBED, OF_SUBTITLES, SPOKEN
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.terms import Translated, terms_of, translate

HYPOTHESES = 4
"""Translations asked for of a sentence that will be spoken: the fit may take a shorter one."""
SEED = 0


class NoTranslationError(OctaviaError):
    def __init__(self, source: str, target: str, capabilities: Capabilities) -> None:
        targets = ", ".join(sorted(capabilities.targets(source))) or "nothing"
        super().__init__(
            "no_translation",
            f"No model translates '{source}' to '{target}', not even through English. Possible: {targets}.",
            422,
        )


class NoVoiceError(OctaviaError):
    def __init__(self, language: str, name: str | None) -> None:
        wanted = f"voice '{name}'" if name else f"voice for '{language}'"
        super().__init__("no_voice", f"There is no {wanted}. `octavia models list` shows the voices there are.", 422)


async def check_route(job_id: str, source: str, target: str) -> None:
    """Refuse a job nobody can translate or speak before its work begins; warn about stand-ins and same languages.

    The voice is chosen here for the whole job: one that is installed meanwhile does not take over in the middle.
    """
    capabilities = await current().models.capabilities_patiently()

    async def work(session: AsyncSession) -> None:
        job = await rows.job(session, job_id)
        needs_voice = _needs_voice(job, source, target)
        if base(source) != base(target) and not capabilities.route(source, target):
            raise NoTranslationError(source, target, capabilities)
        if needs_voice:
            check_mix(job.options.get("mix"), capabilities)
        voice = {target: _voice(job, target, capabilities).name} if needs_voice else {}
        for code, message in remarks(job.kind, source, target, job.options.get("voice"), capabilities):
            await progress.warn(session, job.id, code, message)
        if voice:
            await session.execute(update(Job).where(Job.id == job.id).values(voices=Job.voices.concat(voice)))

    await patiently(current().engine, work)


def _needs_voice(job: Job, source: str, target: str) -> bool:
    """Whether the job speaks in this language: a dub does not where the file is in it already."""
    return job.kind in SPOKEN and (job.kind in OF_SUBTITLES or base(source) != base(target))


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
    own = spoken[0][0].voices.get(language)  # those of a passage have the same (see `editing.preparing`)
    voice = _voice(job, language, await current().models.capabilities_patiently(), own)
    plans = await _plan(spoken, voice, read_aloud=job.kind in OF_SUBTITLES)
    fits = await asyncio.gather(*(_speak(*pair, voice, plan) for pair, plan in zip(spoken, plans, strict=True)))

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
    """The n-best of each segment; None where no model leads from source to target."""
    if base(source) == base(target):
        return [Translated([Hypothesis(segment.text, 0.0)]) for segment in segments]
    if not (await current().models.capabilities_patiently()).route(source, target):
        return None
    texts = [segment.text for segment in segments]
    return await translate(current().models, terms_of(job, source, target), texts, source, target, count)


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
    file_language = job.source_language or job.detected_language
    own = file_language is not None and not _needs_voice(job, file_language, rendition.language)
    return not own and bool(rendition.candidates) and rendition.audio_key is None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is said in a slot, and how fast."""

    slot: Slot
    candidate: Candidate
    fit: Fit


async def _plan(
    spoken: Sequence[tuple[SegmentRow, Rendition]], voice: Voice, *, read_aloud: bool = False
) -> list[Plan]:
    """For each segment the translation and speed that fit. Only where the best overflows are the others measured.

    `read_aloud`: the segments' times are those of cues, which stay longer than their words take.
    """
    slot = slot_of_cue if read_aloud else slot_of
    slots = [slot(segment.start, segment.end, segment.next_start) for segment, _ in spoken]
    renditions = [rendition for _, rendition in spoken]
    candidates = await _measured([rendition.candidates[:1] for rendition in renditions], renditions, voice)
    others = [
        rendition.candidates[1:] if fit(best.natural_seconds, slot).overflow > 0 else []
        for rendition, slot, (best,) in zip(renditions, slots, candidates, strict=True)
    ]
    more = await _measured(others, renditions, voice)
    chosen = [choose([*best, *rest], slot) for best, rest, slot in zip(candidates, more, slots, strict=True)]
    return [Plan(slot, each, fit(each.natural_seconds, slot)) for slot, each in zip(slots, chosen, strict=True)]


async def _measured(
    texts: Sequence[Sequence[dict[str, Any]]], renditions: Sequence[Rendition], voice: Voice
) -> list[list[Candidate]]:
    """The translations of each segment with the seconds the voice takes for them, all asked for at once."""
    utterances = [
        Utterance(each["text"], rendition.language, voice.name, 1.0, SEED)
        for group, rendition in zip(texts, renditions, strict=True)
        for each in group
    ]
    seconds = iter(await current().models.seconds(utterances))
    return [[Candidate(each["text"], each["score"], next(seconds)) for each in group] for group in texts]


async def _speak(segment: SegmentRow, rendition: Rendition, voice: Voice, plan: Plan) -> dict[str, Any]:
    """Synthesize and store one segment as planned; the columns to be written to its rendition."""
    speech = await current().models.synthesize(
        Utterance(plan.candidate.text, rendition.language, voice.name, plan.fit.speed, SEED)
    )
    samples = await asyncio.to_thread(resample, speech.samples, speech.sample_rate)
    seconds = len(samples) / RATE
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    key = keys.rendition(str(segment.job_id), rendition.language, segment.index)
    await current().storage.put_bytes(key, file.getvalue())
    return {
        "text": plan.candidate.text,
        "score": plan.candidate.score if base(segment.language) != base(rendition.language) else None,
        "voice": voice.name,
        "seed": SEED,
        "speed": plan.fit.speed,
        "onset": plan.slot.onset,
        "seconds": seconds,
        "overflow": max(0.0, seconds - plan.slot.seconds),
        "audio_key": key,
    }


def _voice(job: Job, language: str, capabilities: Capabilities, own: str | None = None) -> Voice:
    name = own or job.voices.get(language) or job.options.get("voice")
    voice = capabilities.voice_for(language, name)
    if voice is None:
        raise NoVoiceError(language, name)
    return voice
