"""Transcripts of completed jobs as their owners see and change them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.capabilities import Capabilities
from orchestrator.context import AppContext
from orchestrator.dubbing.editing import Bounds, Tight, edited, tight
from orchestrator.dubbing.operations import (
    AnyOperation,
    ChangeTranslation,
    ChangeVoice,
    Retranslate,
)
from orchestrator.dubbing.transcript import Changes, Entry, Transcript, compare, is_stale
from orchestrator.editing import store
from orchestrator.editing.models import TranscriptRevision
from orchestrator.editing.schemas import EntryView, LineView, Spoken, TranscriptView
from orchestrator.editing.voices import Voices, name_speakers, voices_of
from orchestrator.errors import NotFoundError, OctaviaError
from orchestrator.jobs import progress, service
from orchestrator.jobs.kinds import SPOKEN
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.schemas import Notice
from orchestrator.media.models import Media

MOST_REVISIONS = 1_000
MOST_TOLD = 20
TEXTS_ALONE = (ChangeTranslation, Retranslate)
"""What can be done to a subtitle file that was translated: its times and its own words are the file's."""


class NotEditableError(OctaviaError):
    def __init__(self, job: Job) -> None:
        what = "a regeneration: edit the job it regenerates" if job.regenerates else f"{job.status}"
        message = f"Job {job.id} is {what}. Only the transcript of a completed job can be edited."
        super().__init__("not_editable", message, 409)


class RevisionConflictError(OctaviaError):
    """The edit was made to another revision than the current one, which the answer names."""

    def __init__(self, given: int, current: int) -> None:
        message = (
            f"Revision {given} is not the current one, which is {current}: somebody has edited meanwhile. Read the "
            "transcript again and repeat your change on it."
        )
        super().__init__("revision_conflict", message, 409, revision=current)


class RegeneratingError(OctaviaError):
    """The files are being made anew; the answer names the current revision and the job that does it."""

    def __init__(self, revision: int, running: UUID) -> None:
        message = f"Revision {revision} is being regenerated. Wait until that has ended, or cancel job {running}."
        super().__init__("regenerating", message, 409, revision=revision, regeneration=str(running))


class TooManyRevisionsError(OctaviaError):
    def __init__(self) -> None:
        message = f"A transcript has at most {MOST_REVISIONS} revisions. Put more operations into one edit."
        super().__init__("too_many_revisions", message, 409)


class TextsAloneError(OctaviaError):
    def __init__(self) -> None:
        message = "Of a translated subtitle file only translations can be changed: edit the file itself for the rest."
        super().__init__("invalid_edit", message, 422)


@dataclass(frozen=True, slots=True)
class Edited:
    """A new revision, the segments that are new in it, and those that are tight."""

    revision: TranscriptRevision
    created: Sequence[int]
    tight: Sequence[Tight]


async def editable(session: AsyncSession, user_id: UUID, job_id: UUID, *, lock: bool = False) -> Job:
    """The user's job, whose transcript can be read and edited; locked until the transaction ends, with `lock`.

    Raises NotFoundError, NotEditableError, ResultsExpiredError.
    """
    job = await service.get(session, user_id, job_id)
    if lock:
        locked = await progress.lock(session, job_id)
        if locked is None or locked.deleted_at is not None:
            raise NotFoundError("job", job_id)
        job = locked
    if job.status != "completed" or job.regenerates is not None:
        raise NotEditableError(job)
    service.insist_on_results(job)
    return job


async def running(session: AsyncSession, job_id: UUID) -> UUID | None:
    """The regeneration of a job that has not ended yet."""
    query = sa.select(Job.id).where(Job.regenerates == job_id, Job.status.in_(progress.OPEN))
    return await session.scalar(query)


async def at_base(session: AsyncSession, job: Job, base: int) -> int:
    """The current revision, which is `base`. Raises RevisionConflictError, RegeneratingError."""
    current = await store.current(session, job.id)
    busy = await running(session, job.id)
    if busy is not None:
        raise RegeneratingError(current, busy)
    if base != current:
        raise RevisionConflictError(base, current)
    return current


async def edit(
    context: AppContext, user_id: UUID, job_id: UUID, base: int, operations: Sequence[AnyOperation]
) -> Edited:
    """Do all operations to the current revision, which must be `base`, or none.

    Raises NotFoundError, NotEditableError, ResultsExpiredError, RevisionConflictError, RegeneratingError,
    InvalidEditError, TooManyRevisionsError.
    """
    asks_for_voices = any(isinstance(each, ChangeVoice) for each in operations)
    known = await context.backends.capabilities() if asks_for_voices else None
    async with context.sessions.begin() as session:
        job = await editable(session, user_id, job_id, lock=True)
        number = await at_base(session, job, base)
        if number >= MOST_REVISIONS:
            raise TooManyRevisionsError
        if job.kind == "subtitle_translation" and not all(isinstance(each, TEXTS_ALONE) for each in operations):
            raise TextsAloneError
        before = await store.read(session, job, number)
        duration = await _duration(session, job, before)
        voices = await voices_of(session, job)
        bounds = Bounds(
            duration,
            job.target_languages,
            await store.next_id(session, job, before),
            voices.usual,
            _voices(known) if known else None,
        )
        after = edited(before, operations, bounds)
        await name_speakers(session, job, voices, before, after)
        revision = await store.add(session, job, before, after, "edit", operations=len(operations))
        there = {entry.id: entry for entry in before}
        changed = {entry.id for entry in after if there.get(entry.id) != entry}
        found = tight(after, job.target_languages, duration, changed) if job.kind in SPOKEN else []
        return Edited(revision, sorted({entry.id for entry in after} - there.keys()), found)


async def restore(context: AppContext, user_id: UUID, job_id: UUID, base: int, wanted: int) -> TranscriptRevision:
    """Make a new revision that is as an old one was. Raises as `edit`; NotFoundError for the revision."""
    async with context.sessions.begin() as session:
        job = await editable(session, user_id, job_id, lock=True)
        number = await at_base(session, job, base)
        if not 1 <= wanted <= number:
            raise NotFoundError("revision", wanted)
        if number >= MOST_REVISIONS:
            raise TooManyRevisionsError
        before, after = await store.read(session, job, number), await store.read(session, job, wanted)
        return await store.add(session, job, before, after, "restore", restored=wanted)


def notices(found: Sequence[Tight]) -> list[Notice]:
    """What is tight, in words."""
    told = [
        Notice(
            code="text_too_long",
            message=f"Segment {each.segment} has {each.room:.1f} s; what it says in '{each.language}' takes at least "
            f"{each.seconds:.1f} s. What does not fit runs into the time after it, as far as the media goes.",
        )
        for each in found[:MOST_TOLD]
    ]
    if len(found) > MOST_TOLD:
        told.append(Notice(code="text_too_long", message=f"So do {len(found) - MOST_TOLD} more."))
    return told


async def changes(session: AsyncSession, job: Job, number: int) -> Changes:
    """What a revision changes of the job's files."""
    made = await store.read(session, job, job.revision)
    transcript = await store.read(session, job, number)
    return compare(made, transcript, job.target_languages, (await voices_of(session, job)).sound)


async def view(session: AsyncSession, job: Job, number: int | None, cursor: int, limit: int) -> TranscriptView:
    """`limit` segments of a revision, or of the current one, after the first `cursor`. Raises NotFoundError."""
    current = await store.current(session, job.id)
    number = current if number is None else number
    if number > current:
        raise NotFoundError("revision", number)
    made = {entry.id: entry for entry in await store.read(session, job, job.revision)}
    transcript = await store.read(session, job, number)
    spoken, voices = await _spoken(session, job), await voices_of(session, job)
    shown = transcript[cursor : cursor + limit]
    return TranscriptView(
        revision=number,
        current_revision=current,
        output_revision=job.revision,
        regeneration=await running(session, job.id),
        segments=[_entry(entry, made.get(entry.id), job, spoken, voices) for entry in shown],
        next_cursor=cursor + limit if len(transcript) > cursor + limit else None,
    )


async def _spoken(session: AsyncSession, job: Job) -> dict[tuple[int, str], Rendition]:
    query = (
        sa.select(sa.func.coalesce(SegmentRow.number, SegmentRow.index), Rendition)
        .join(Rendition, (Rendition.job_id == SegmentRow.job_id) & (Rendition.segment == SegmentRow.index))
        .where(SegmentRow.job_id == job.id)
    )
    return {(row[0], row[1].language): row[1] for row in await session.execute(query)}


def _entry(
    entry: Entry, made: Entry | None, job: Job, spoken: dict[tuple[int, str], Rendition], voices: Voices
) -> EntryView:
    lines = {}
    for language in job.target_languages:
        line, there = entry.lines.get(language), spoken.get((entry.id, language))
        lines[language] = LineView(
            text=line.text if line else None,
            voice=voices.of(entry, language),
            stale=is_stale(made, entry, language, voices.sound),
            spoken=_sound(there) if there else None,
            missing_terms=there.missing_terms if there else [],
        )
    return EntryView(
        id=entry.id,
        start=entry.start,
        end=entry.end,
        language=entry.language,
        speaker=entry.speaker,
        text=entry.text,
        words=store.words_of(entry),
        translations=lines,
    )


def _sound(rendition: Rendition) -> Spoken | None:
    if rendition.audio_key is None:
        return None
    return Spoken(onset=rendition.onset, seconds=rendition.seconds, speed=rendition.speed, overflow=rendition.overflow)


def _voices(known: Capabilities) -> Callable[[str, str], bool]:
    def speaks(language: str, name: str) -> bool:
        voice = known.voice_for(language, name)
        return voice is not None and (voice.speaks(language) or voice.stands_in(language))

    return speaks


async def _duration(session: AsyncSession, job: Job, transcript: Transcript) -> float:
    """How long the media is; cues of a file may end later."""
    duration = (await session.get_one(Media, job.media_id)).duration
    return max(duration, *(entry.end for entry in transcript), 0.0) if transcript else duration
