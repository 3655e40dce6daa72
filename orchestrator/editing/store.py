"""Revisions of a transcript in the database: read as documents, and added."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.dubbing.timeline import Word
from orchestrator.dubbing.transcript import Entry, Line, Transcript, in_order
from orchestrator.editing.models import TranscriptRevision, TranscriptSegment
from orchestrator.jobs import rows
from orchestrator.jobs.models import Job, Rendition, SegmentRow

FIRST = 1
"""The revision that the job itself made."""
ROWS = 1_000
"""Segments written in one statement."""


async def current(session: AsyncSession, job_id: UUID) -> int:
    """The newest revision's number."""
    query = sa.select(sa.func.max(TranscriptRevision.number)).where(TranscriptRevision.job_id == job_id)
    return await session.scalar(query) or FIRST


async def read(session: AsyncSession, job: Job, number: int) -> Transcript:
    """A revision that is there."""
    if await _is_edited(session, job.id):
        segment = TranscriptSegment
        query = sa.select(segment).where(
            segment.job_id == job.id, segment.since <= number, segment.until.is_(None) | (segment.until > number)
        )
        return in_order([_entry(row.id, row, _lines(row)) for row in await session.scalars(query)])
    return await made(session, job)


async def made(session: AsyncSession, job: Job) -> Transcript:
    """What stands in the job's own rows: that of which its files are made."""
    found = sa.select(Rendition).where(Rendition.job_id == job.id)
    lines: dict[int, dict[str, Line]] = {}
    for rendition in await session.scalars(found):
        lines.setdefault(rendition.segment, {})[rendition.language] = Line(rendition.text, rendition.voice)
    return in_order(
        _entry(row.index if row.number is None else row.number, row, lines.get(row.index, {}))
        for row in await rows.segments(session, str(job.id))
    )


async def next_id(session: AsyncSession, job: Job, transcript: Transcript) -> int:
    """A number that no segment of the job ever had; `transcript` is its newest revision."""
    query = sa.select(sa.func.max(TranscriptRevision.next_id)).where(TranscriptRevision.job_id == job.id)
    known: int | None = await session.scalar(query)
    return known if known is not None else 1 + max((entry.id for entry in transcript), default=-1)


async def add(
    session: AsyncSession,
    job: Job,
    before: Transcript,
    after: Transcript,
    what: str,
    *,
    operations: int = 0,
    restored: int | None = None,
) -> TranscriptRevision:
    """The next revision, in the caller's transaction, who has locked the job; `before` is the newest there is."""
    number = await current(session, job.id) + 1
    free = await next_id(session, job, before)
    if number == FIRST + 1 and not await _is_edited(session, job.id):
        session.add(TranscriptRevision(job_id=job.id, number=FIRST, what="original", next_id=free))
        await _insert(session, job.id, before, FIRST)
    free = max(free, 1 + max((entry.id for entry in after), default=-1))
    old, new = {entry.id: entry for entry in before}, {entry.id: entry for entry in after}
    ended = [id_ for id_, entry in old.items() if new.get(id_) != entry]
    segment = TranscriptSegment
    for at in range(0, len(ended), ROWS):
        await session.execute(
            sa.update(segment)
            .where(segment.job_id == job.id, segment.until.is_(None), segment.id.in_(ended[at : at + ROWS]))
            .values(until=number)
            .execution_options(synchronize_session=False)
        )
    await _insert(session, job.id, [entry for id_, entry in new.items() if old.get(id_) != entry], number)
    revision = TranscriptRevision(
        job_id=job.id, number=number, what=what, operations=operations, restored=restored, next_id=free
    )
    session.add(revision)
    await session.flush()
    return revision


async def history(session: AsyncSession, job_id: UUID) -> Sequence[TranscriptRevision]:
    """All revisions, newest first."""
    revision = TranscriptRevision
    query = sa.select(revision).where(revision.job_id == job_id).order_by(revision.number.desc())
    return (await session.scalars(query)).all()


async def _is_edited(session: AsyncSession, job_id: UUID) -> bool:
    query = sa.select(TranscriptRevision.number).where(TranscriptRevision.job_id == job_id).limit(1)
    return await session.scalar(query) is not None


async def _insert(session: AsyncSession, job_id: UUID, entries: Sequence[Entry], since: int) -> None:
    values = [
        {
            "job_id": job_id,
            "id": entry.id,
            "since": since,
            "start": entry.start,
            "end": entry.end,
            "language": entry.language,
            "speaker": entry.speaker,
            "text": entry.text,
            "words": words_of(entry),
            "lines": {language: asdict(line) for language, line in entry.lines.items()},
        }
        for entry in entries
    ]
    for at in range(0, len(values), ROWS):
        await session.execute(insert(TranscriptSegment), values[at : at + ROWS])


def words_of(entry: Entry) -> list[dict[str, object]]:
    """A segment's words as rows keep them."""
    return [
        {key: value for key, value in asdict(word).items() if key != "language" or value is not None}
        for word in entry.words
    ]


def _entry(id_: int, row: SegmentRow | TranscriptSegment, lines: Mapping[str, Line]) -> Entry:
    return Entry(
        id_,
        row.start,
        row.end,
        row.language,
        row.text,
        row.speaker,
        tuple(Word(**word) for word in row.words),
        lines,
    )


def _lines(row: TranscriptSegment) -> dict[str, Line]:
    return {language: Line(**line) for language, line in row.lines.items()}
