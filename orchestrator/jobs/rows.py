"""Queries over a job's rows that several steps share."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.jobs.models import DiarizedPiece, HeardWindow, Job, JobSpeaker, Rendition, SegmentRow


async def job(session: AsyncSession, job_id: str) -> Job:
    return await session.get_one(Job, UUID(job_id))


async def windows(session: AsyncSession, job_id: str) -> Sequence[HeardWindow]:
    """All windows in order."""
    query = select(HeardWindow).where(HeardWindow.job_id == UUID(job_id)).order_by(HeardWindow.index)
    return (await session.scalars(query)).all()


async def window_count(session: AsyncSession, job_id: str) -> int:
    query = select(func.count()).select_from(HeardWindow).where(HeardWindow.job_id == UUID(job_id))
    return await session.scalar(query) or 0


async def piece_count(session: AsyncSession, job_id: str) -> int:
    """How many pieces there are in which speakers are told apart."""
    query = select(func.count()).select_from(DiarizedPiece).where(DiarizedPiece.job_id == UUID(job_id))
    return await session.scalar(query) or 0


async def segments(session: AsyncSession, job_id: str) -> Sequence[SegmentRow]:
    """All segments in order."""
    query = select(SegmentRow).where(SegmentRow.job_id == UUID(job_id)).order_by(SegmentRow.index)
    return (await session.scalars(query)).all()


async def passage(session: AsyncSession, job_id: str, number: int) -> Sequence[SegmentRow]:
    """The segments of one passage in order."""
    query = (
        select(SegmentRow)
        .where(SegmentRow.job_id == UUID(job_id), SegmentRow.passage == number)
        .order_by(SegmentRow.index)
    )
    return (await session.scalars(query)).all()


async def renditions(
    session: AsyncSession, job_id: str, language: str, number: int | None = None
) -> list[tuple[SegmentRow, Rendition]]:
    """Segments with their rendition in a language, in order; of one passage or of the whole job."""
    query = (
        select(SegmentRow, Rendition)
        .join(Rendition, (Rendition.job_id == SegmentRow.job_id) & (Rendition.segment == SegmentRow.index))
        .where(SegmentRow.job_id == UUID(job_id), Rendition.language == language)
        .order_by(SegmentRow.index)
    )
    if number is not None:
        query = query.where(SegmentRow.passage == number)
    return [(row[0], row[1]) for row in await session.execute(query)]


async def speakers(session: AsyncSession, job_id: str) -> Sequence[JobSpeaker]:
    """Who speaks, by name; nobody before that is settled."""
    query = select(JobSpeaker).where(JobSpeaker.job_id == UUID(job_id)).order_by(JobSpeaker.name)
    return (await session.scalars(query)).all()
