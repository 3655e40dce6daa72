"""The end of a regeneration, in the transaction that decides it: its files and rows become those of the job."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.dubbing.transcript import Entry, Line, in_order
from orchestrator.editing import store
from orchestrator.editing.models import SupersededFile
from orchestrator.jobs.models import Artifact, Job, Rendition, SegmentRow


async def adopt(session: AsyncSession, made: Job, artifacts: Sequence[Mapping[str, Any]]) -> None:
    """Put what `made` has in the place of what its job had. Files that are no one's any more are noted for deletion."""
    job = await session.get_one(Job, made.regenerates, with_for_update={"key_share": True}, populate_existing=True)
    keys = set((await session.scalars(sa.select(Artifact.storage_key).where(Artifact.job_id == job.id))).all())
    await session.execute(sa.delete(Artifact).where(Artifact.job_id == job.id))
    session.add_all(Artifact(job_id=job.id, **artifact) for artifact in artifacts)
    gone = keys - {artifact["storage_key"] for artifact in artifacts}
    if gone:
        noted = [{"storage_key": key, "job_id": job.id} for key in sorted(gone)]
        await session.execute(insert(SupersededFile).on_conflict_do_nothing(), noted)
    for table in (Rendition, SegmentRow):
        await session.execute(sa.delete(table).where(table.job_id == job.id))
        moved = sa.update(table).where(table.job_id == made.id).values(job_id=job.id)
        await session.execute(moved.execution_options(synchronize_session=False))
    job.revision = await _revision(session, job, made.revision)
    job.rendered = {**job.rendered, **made.rendered}
    job.quality = {**job.quality, **made.quality}
    job.warnings = made.warnings
    made.expires_at = None  # they go with the job's own
    await session.flush()


async def _revision(session: AsyncSession, job: Job, number: int) -> int:
    """The revision the files are of: that which was asked for or, where something was translated, one that says how."""
    before = await store.read(session, job, number)
    now = {entry.id: entry for entry in await store.made(session, job)}
    after = in_order(_told(entry, now.get(entry.id)) for entry in before)
    if after == before:
        return number
    return (await store.add(session, job, before, after, "regenerate")).number


def _told(entry: Entry, made: Entry | None) -> Entry:
    """The segment with the translations that were made where it had none."""
    lines: dict[str, Line] = dict(entry.lines)
    for language, line in (made.lines if made else {}).items():
        if lines.get(language, Line(None)).text is None:
            lines[language] = replace(lines.get(language, line), text=line.text)
    return replace(entry, lines=lines)
