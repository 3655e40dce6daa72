"""From a subtitle file to its cues in another language: read, translated as sentences, written as the same file.

A cue with words is a segment (`segment.text` without tags, its lines parted by a newline) and gets a rendition in each
target language; what a cue looks like is taken from the file again when the result is written. Each public function is
the body of a durable step, as in hearing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.capabilities import base
from orchestrator.database import patiently
from orchestrator.errors import OctaviaError
from orchestrator.inference import Hypothesis
from orchestrator.jobs import progress, rows
from orchestrator.jobs.advance import SUBTITLES_SHARE, advance
from orchestrator.jobs.context import current
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.subtitling import Texts, encoded, profile_of, warn_of_rules
from orchestrator.jobs.terms import terms_of, translate
from orchestrator.jobs.writing import ArtifactValues, publish, wanted_formats
from orchestrator.media.models import Media
from orchestrator.subtitles import reader
from orchestrator.subtitles.check import Violation, check
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.direction import directed, runs_right_to_left
from orchestrator.subtitles.markup import Marked, put_back, split
from orchestrator.subtitles.reader import CONTENT_TYPES, SubtitleFile
from orchestrator.subtitles.remarks import told
from orchestrator.subtitles.repair import repair
from orchestrator.subtitles.rules import Rules, rules_for
from orchestrator.subtitles.spoken import spoken
from orchestrator.subtitles.transcript import Said
from orchestrator.subtitles.whole import JOIN_GAP_S, Reading, passages, sentences, shared_out

CUES_A_PASSAGE = {"subtitle_translation": 100, "subtitle_to_audio": 12}
"""How much of a file is done at once: translating takes little for each cue, speaking much."""
ROWS = 1_000
"""Segments written in one statement."""


class FileChangedError(OctaviaError):
    """A file that could be read when it was uploaded cannot be any more."""

    def __init__(self) -> None:
        super().__init__("subtitles_invalid", "The subtitle file cannot be read any more. Upload it again.", 422)


@dataclass(frozen=True, slots=True)
class Script:
    """A file's cues as they are read: by their times, those with words alone, each with its place in the file."""

    file: SubtitleFile
    places: list[int]
    marked: list[Marked]
    readings: list[Reading]


async def read_cues(job_id: str) -> int:
    """Store the file's cues as segments, in passages that end with a sentence; how many passages there are.

    What is not as it should be in the file becomes the job's warnings.
    """

    async def media_of(session: AsyncSession) -> tuple[Job, Media]:
        job = await rows.job(session, job_id)
        return job, await session.get_one(Media, job.media_id)

    job, media = await patiently(current().engine, media_of)
    script = await _script(media)
    source = job.source_language or job.detected_language or ""
    if job.kind == "subtitle_to_audio":
        script = _audible(script)
    found = await asyncio.to_thread(passages, script.readings, source, CUES_A_PASSAGE[job.kind])
    values = _segments(job, script, found, source, max(media.duration, 0.0))

    async def store(session: AsyncSession) -> None:
        for at in range(0, len(values), ROWS):
            await session.execute(insert(SegmentRow).on_conflict_do_nothing(), values[at : at + ROWS])
        for remark in told(script.file.remarks):
            await progress.warn(session, job.id, remark["code"], remark["message"])
        if not values:
            message = "No cue of this file has words that could be worked on."
            await progress.warn(session, job.id, "no_speech", message)
        await advance(session, job.id, "translating")

    await patiently(current().engine, store)
    return len(found)


async def translated_cues(segments: Sequence[SegmentRow], job: Job, target: str) -> list[dict[str, Any]]:
    """The renditions of a passage's cues in a language, translated as whole sentences. Rows to be stored."""
    source = segments[0].language
    if base(source) == base(target):
        return [_rendition(job, each, target, each.text, None) | {"missing_terms": []} for each in segments]
    read = sentences([Reading(each.start, each.end, each.text, each.speaker or "") for each in segments], source)
    terms, sought = terms_of(job, source, target), [each.text for each in read]
    found = await translate(current().models, terms, sought, source, target)
    rules = rules_for(target, profile_of(job))
    best = [
        each.found[0] if each.found else Hypothesis(sentence.text, 0.0)
        for sentence, each in zip(read, found, strict=True)
    ]
    said, aloud = [each.text for each in best], job.kind == "subtitle_to_audio"
    texts = await asyncio.to_thread(shared_out, read, said, len(segments), target, rules, aloud=aloud)
    scores: dict[int, float] = {}
    lacking: dict[int, list[str]] = {}
    for sentence, hypothesis, each in zip(read, best, found, strict=True):
        for part in sentence.parts:
            scores[part.cue] = min(scores.get(part.cue, 0.0), hypothesis.score)
            lacking.setdefault(part.cue, []).extend(term.source for term in each.missing)
    return [
        _rendition(job, segment, target, segment.text if text is None else text, scores.get(at))
        | {"missing_terms": lacking.get(at, [])}
        for at, (segment, text) in enumerate(zip(segments, texts, strict=True))
    ]


async def write_translation(job_id: str) -> list[ArtifactValues]:
    """The file in every target language: the same file with other words. Also in other formats where asked for."""

    async def read(session: AsyncSession) -> tuple[Job, Media]:
        await advance(session, UUID(job_id), "merging", merged=SUBTITLES_SHARE)
        job = await rows.job(session, job_id)
        return job, await session.get_one(Media, job.media_id)

    job, media = await patiently(current().engine, read)
    if job.status != "processing":
        return []
    script = await _script(media)
    written: list[ArtifactValues] = []
    for target in job.target_languages:
        texts = await _texts(job_id, target)
        rules = rules_for(target, profile_of(job))
        kind = script.file.document.format
        plain = _plain(script, texts, target, profile_of(job))
        broken = await asyncio.to_thread(check, plain.cues, rules)
        await patiently(current().engine, partial(_warn_of_rules, job.id, rules, broken))
        if kind != "json":
            data = await asyncio.to_thread(_translated_file, script, texts, target)
            written.append(await publish(job_id, "subtitles", target, f"{target}.{kind}", CONTENT_TYPES[kind], data))
        others = wanted_formats(job, ())
        if job.options.get("subtitle_profile"):
            plain = replace(plain, cues=(await asyncio.to_thread(repair, plain.cues, rules)).cues)
        for other in dict.fromkeys((*(["json"] if kind == "json" else []), *others)):
            if other != kind or kind == "json":
                data = await encoded(other, plain)
                name = f"{target}.{other}"
                written.append(await publish(job_id, "subtitles", target, name, CONTENT_TYPES[other], data))
    return written


def _plain(script: Script, texts: dict[int, str], language: str, profile: Rules) -> Texts:
    """The translation without the file's tags, at the file's times; a pause begins a new paragraph."""
    cues: list[Cue] = []
    said: list[Said] = []
    for at, each in enumerate(script.readings):
        text = texts.get(at, each.text)
        speaker = each.voice.rpartition("/")[2] or None
        start = max(0.0, each.start)
        paragraph = said[-1].passage if said else 0
        said.append(Said(text, paragraph + bool(cues and start - cues[-1].end > JOIN_GAP_S), speaker))
        cues.append(Cue(start, max(start, each.end), tuple(text.split("\n")), speaker))
    return Texts(language, cues, said, profile)


async def _warn_of_rules(job_id: UUID, rules: Rules, broken: Sequence[Violation], session: AsyncSession) -> None:
    """Say how many cues are hard to read: their text grew, their times are the original's."""
    felt = [each for each in broken if each.rule in ("lines", "reading_speed", "reading_words")]
    await warn_of_rules(session, job_id, rules, felt, "their times are those of the original.")


async def _script(media: Media) -> Script:
    data = await current().storage.read(media.storage_key)
    script = await asyncio.to_thread(_read, data)
    if script is None:
        raise FileChangedError
    return script


def _read(data: bytes) -> Script | None:
    file = reader.read(data)
    if file is None:
        return None
    cues = file.document.cues
    by_time = sorted((at for at, cue in enumerate(cues) if not cue.fixed), key=lambda at: (cues[at].start, at))
    marked = {at: split(cues[at].raw, file.document.format) for at in by_time}
    places = [at for at in by_time if any(character.isalnum() for character in marked[at].text)]
    return Script(
        file,
        places,
        [marked[at] for at in places],
        [Reading(cues[at].start, cues[at].end, marked[at].text, cues[at].voice) for at in places],
    )


def _audible(script: Script) -> Script:
    """The cues of which something is spoken, with what is."""
    texts = [spoken(each.text) for each in script.readings]
    kept = [at for at, text in enumerate(texts) if text]
    return Script(
        script.file,
        [script.places[at] for at in kept],
        [script.marked[at] for at in kept],
        [
            Reading(max(0.0, each.start), max(0.0, each.start, each.end), texts[at], each.voice)
            for at, each in enumerate(script.readings)
            if texts[at]
        ],
    )


def _segments(job: Job, script: Script, found: Sequence[range], source: str, end: float) -> list[dict[str, Any]]:
    following = [each.start for each in script.readings[1:]] + [end]
    return [
        {
            "job_id": job.id,
            "index": at,
            "passage": number,
            "start": script.readings[at].start,
            "end": script.readings[at].end,
            "next_start": max(following[at], script.readings[at].end),
            "language": source,
            "speaker": script.readings[at].voice or None,
            "text": script.readings[at].text,
            "words": [],
        }
        for number, cues in enumerate(found)
        for at in cues
    ]


def _rendition(job: Job, segment: SegmentRow, target: str, text: str, score: float | None) -> dict[str, Any]:
    """`candidates` holds what is spoken of it, where it is spoken."""
    said = spoken(text) if job.kind == "subtitle_to_audio" else ""
    return {
        "job_id": job.id,
        "language": target,
        "segment": segment.index,
        "text": text,
        "score": score,
        "candidates": [{"text": said, "score": score or 0.0}] if said else [],
    }


async def _texts(job_id: str, language: str) -> dict[int, str]:
    """The cues' texts in a language, by their place in the order they are read in."""

    async def read(session: AsyncSession) -> list[tuple[SegmentRow, Rendition]]:
        return await rows.renditions(session, job_id, language)

    return {segment.index: rendition.text for segment, rendition in await patiently(current().engine, read)}


def _translated_file(script: Script, texts: dict[int, str], language: str) -> bytes:
    document = script.file.document
    raws = {
        place: said_in(script.marked[at], texts[at], document.format, language)
        for at, place in enumerate(script.places)
        if at in texts
    }
    return reader.encoded(document.saying(raws), marked=script.file.marked)


def said_in(cue: Marked, text: str, format_: str, language: str) -> str:
    """The cue saying a text; one that comes to run from right to left is told to players as such."""
    if text != cue.text and not runs_right_to_left(cue.text):
        text = directed(text, format_, language)
    return put_back(cue, text, format_, language)
