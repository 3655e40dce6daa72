"""The rows of a regeneration: the edited transcript as segments, with the speech there is where it still fits.

The body of a durable step, as in `jobs.speaking`: its rows are keyed and always come out the same, for neither the
revision nor the other job changes meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import patiently
from orchestrator.dubbing.fit import Slot, slot_of, slot_of_cue
from orchestrator.dubbing.transcript import Entry, Line, Transcript
from orchestrator.editing import store
from orchestrator.editing.voices import Voices, voices_of
from orchestrator.jobs import keys, rows
from orchestrator.jobs.advance import advance
from orchestrator.jobs.context import current
from orchestrator.jobs.kinds import OF_SUBTITLES, SPOKEN
from orchestrator.jobs.models import Job, JobSpeaker, Rendition, SegmentRow
from orchestrator.media.models import Media
from orchestrator.subtitles.spoken import spoken

TOGETHER = 8
"""Segments of a passage at most."""
ROWS = 1_000

_KEYS = ("job_id", "segment")

Pair = tuple[SegmentRow, Rendition]


@dataclass(frozen=True, slots=True)
class _Staged:
    """A segment of the new transcript with its renditions by language; None: it is to be translated."""

    entry: Entry
    next_start: float
    voices: dict[str, str]
    renditions: Mapping[str, dict[str, Any] | None]

    @property
    def is_open(self) -> bool:
        """Whether anything of it is to be translated or spoken."""
        return any(each is None or _to_speak(each) for each in self.renditions.values())


@dataclass(frozen=True, slots=True)
class _End:
    """Where a segment of the transcript before ended, when the next began, and until when it could be spoken: to the
    end of the sound, or of what was heard of it by then."""

    id: int
    end: float
    following: float | None
    next_start: float


async def prepare(job_id: str) -> int:
    """Store the regeneration's segments and renditions; how many passages there are to translate or to speak."""

    async def work(session: AsyncSession) -> int:
        job = await rows.job(session, job_id)
        assert job.regenerates  # noqa: S101
        before = await session.get_one(Job, job.regenerates)
        media = await session.get_one(Media, job.media_id)
        transcript = await store.read(session, before, job.revision)
        there = {language: await _there(session, before, language) for language in job.target_languages}
        voices = await voices_of(session, job)
        next_starts = _next_starts(transcript, await _ends(session, before), media.duration)
        staged = _staged(job, transcript, there, next_starts, voices)
        numbers, count = _passages(staged)
        await _store(session, job, staged, numbers)
        await _store_cast(session, job, list(voices.cast.values()))
        await advance(session, job.id, "translating")
        return count

    return await patiently(current().engine, work)


async def _there(session: AsyncSession, job: Job, language: str) -> dict[int, Pair]:
    pairs = await rows.renditions(session, str(job.id), language)
    return {pair[0].index if pair[0].number is None else pair[0].number: pair for pair in pairs}


async def _ends(session: AsyncSession, job: Job) -> list[_End]:
    columns = (SegmentRow.index, SegmentRow.number, SegmentRow.end, SegmentRow.start, SegmentRow.next_start)
    found = await session.execute(
        sa.select(*columns).where(SegmentRow.job_id == job.id).order_by(SegmentRow.start, SegmentRow.index)
    )
    there = found.all()
    following = [each.start for each in there[1:]] + [None]
    return [
        _End(index if number is None else number, end, onset, next_start)
        for (index, number, end, _, next_start), onset in zip(there, following, strict=True)
    ]


def _next_starts(transcript: Transcript, ends: Sequence[_End], duration: float) -> list[float]:
    """Until when each segment may be spoken: as it was where it and what follows it are where they were."""
    before = {each.id: each for each in ends}
    following = [entry.start for entry in transcript[1:]] + [None]
    found = []
    for entry, onset in zip(transcript, following, strict=True):
        was = before.get(entry.id)
        stays = was is not None and (was.end, was.following) == (entry.end, onset)
        found.append(was.next_start if was and stays else max(duration if onset is None else onset, entry.end))
    return found


def _staged(
    job: Job,
    transcript: Transcript,
    there: Mapping[str, Mapping[int, Pair]],
    next_starts: Sequence[float],
    voices: Voices,
) -> list[_Staged]:
    staged = []
    for entry, next_start in zip(transcript, next_starts, strict=True):
        renditions = {
            language: _rendition(job, entry, language, next_start, there[language].get(entry.id), voices)
            for language in job.target_languages
        }
        chosen = {
            language: line.voice
            for language, line in entry.lines.items()
            if line.voice and line.voice != voices.usual(entry.speaker, language)
        }
        staged.append(_Staged(entry, next_start, chosen, renditions))
    return staged


def _rendition(
    job: Job, entry: Entry, language: str, next_start: float, pair: Pair | None, voices: Voices
) -> dict[str, Any] | None:
    """The columns of a rendition: as it is where its plan stays, else with what is to be spoken."""
    line = entry.lines.get(language, Line(None))
    if line.text is None:
        return None
    if pair is not None and _stays(job, entry, line, next_start, voices, *pair):
        columns = sa.inspect(Rendition).column_attrs
        return {each.key: getattr(pair[1], each.key) for each in columns if each.key not in _KEYS}
    said = _said(job, line.text)
    speaks = job.kind in SPOKEN and any(character.isalnum() for character in said)
    candidates = [{"text": said, "score": 0.0}] if speaks else []
    return {"language": language, "text": line.text, "candidates": candidates, "missing_terms": []}


def _stays(
    job: Job,
    entry: Entry,
    line: Line,
    next_start: float,
    voices: Voices,
    segment: SegmentRow,
    rendition: Rendition,
) -> bool:
    """Whether a segment is said as before: the same words, voice and time, and no other speed for a slot that is other.

    Speech at its own rate that fits the slot, as it was and as it is now, would not be spoken otherwise: also where it
    ran past it only for being placed behind other speech.
    """
    texts = (line.text, _said(job, line.text or ""))
    if (segment.start, segment.end) != (entry.start, entry.end) or rendition.text not in texts:
        return False
    if rendition.audio_key is None:
        return True
    if not keys.is_kept(rendition.audio_key):
        return False
    sound = voices.sound(entry, rendition.language)
    if sound[0] is not None and sound != voices.spoken(segment.speaker, rendition.voice, rendition.language):
        return False
    slot, was = (_slot(job, entry.start, entry.end, end) for end in (next_start, segment.next_start))
    at_ease = (rendition.speed or 1.0) <= 1.0
    return slot == was or (at_ease and (rendition.seconds or 0.0) <= min(was.seconds, slot.seconds))


def _said(job: Job, text: str) -> str:
    """What of a text is spoken."""
    return spoken(text) if job.kind in OF_SUBTITLES else text


def _slot(job: Job, start: float, end: float, next_start: float) -> Slot:
    return (slot_of_cue if job.kind in OF_SUBTITLES else slot_of)(start, end, next_start)


def _to_speak(rendition: Mapping[str, Any]) -> bool:
    return bool(rendition["candidates"]) and rendition.get("audio_key") is None


def _passages(staged: Sequence[_Staged]) -> tuple[list[int], int]:
    """Each segment's passage, and how many passages there are to do: neighbours in the same voices go together.

    All that is done already is in the passage after these, which nobody asks for.
    """
    numbers: list[int | None] = []
    count, size = 0, 0
    last: _Staged | None = None
    for each in staged:
        if not each.is_open:
            numbers.append(None)
            last = None
            continue
        if last is None or last.voices != each.voices or size == TOGETHER:
            count, size = count + 1, 0
        size += 1
        numbers.append(count - 1)
        last = each
    return [count if number is None else number for number in numbers], count


async def _store(session: AsyncSession, job: Job, staged: Sequence[_Staged], passages: Sequence[int]) -> None:
    segments = [
        {
            "job_id": job.id,
            "index": index,
            "number": each.entry.id,
            "passage": passage,
            "start": each.entry.start,
            "end": each.entry.end,
            "next_start": each.next_start,
            "language": each.entry.language,
            "speaker": each.entry.speaker,
            "text": each.entry.text,
            "words": store.words_of(each.entry),
            "voices": each.voices,
        }
        for index, (each, passage) in enumerate(zip(staged, passages, strict=True))
    ]
    renditions = [
        {"job_id": job.id, "segment": index, **rendition}
        for index, each in enumerate(staged)
        for rendition in each.renditions.values()
        if rendition is not None
    ]
    kept = [each for each in renditions if "audio_key" in each]
    new = [each for each in renditions if "audio_key" not in each]
    for table, values in ((SegmentRow, segments), (Rendition, kept), (Rendition, new)):
        for at in range(0, len(values), ROWS):
            await session.execute(insert(table).on_conflict_do_nothing(), values[at : at + ROWS])


async def _store_cast(session: AsyncSession, job: Job, cast: Sequence[JobSpeaker]) -> None:
    """The same speakers as before, with their voices and the clips of them."""
    columns = ("name", "seconds", "voices", "reference")
    values = [{"job_id": job.id, **{column: getattr(each, column) for column in columns}} for each in cast]
    if values:
        await session.execute(insert(JobSpeaker).on_conflict_do_nothing(), values)
