"""How far a job is, counted from its rows."""

from collections.abc import Mapping
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.jobs import progress

WEIGHTS: Mapping[str, Mapping[str, int]] = {
    "video_translation": {"extracting": 5, "transcribing": 30, "translating": 5, "synthesizing": 40, "merging": 20},
    "audio_translation": {"extracting": 5, "transcribing": 35, "translating": 5, "synthesizing": 45, "merging": 10},
    "subtitles": {"extracting": 10, "transcribing": 75, "translating": 10, "synthesizing": 0, "merging": 5},
}
"""Share of each stage in the percentage, after the CPU time of a one-minute dub."""

_COUNTS = sa.text(
    """
    select j.kind, cardinality(j.target_languages) as targets,
        (select count(*) from heard_window w where w.job_id = j.id) as windows,
        (select count(*) from heard_window w where w.job_id = j.id and w.words is not null) as heard,
        (select count(*) from segment s where s.job_id = j.id) as segments,
        (select count(*) from rendition r where r.job_id = j.id) as translated,
        (select count(*) from rendition r where r.job_id = j.id and r.audio_key is not null) as spoken
    from job j where j.id = :job_id
    """
)


async def advance(session: AsyncSession, job_id: UUID, stage: str, merged: float = 0.0) -> None:
    """Write the job's progress as its rows tell it, in the caller's transaction; `merged` is the merge's share, 0-1.

    The job is locked before its rows are counted: of two steps that end together the later one sees both.
    """
    await progress.lock(session, job_id)
    row = (await session.execute(_COUNTS, {"job_id": job_id})).one()
    renditions = row.segments * row.targets
    counts = {"extracting": [1, 1], "transcribing": [row.heard, row.windows]}
    if row.targets:
        counts["translating"] = [row.translated, renditions]
        if row.kind != "subtitles":
            counts["synthesizing"] = [row.spoken, renditions]
    if merged:
        counts["merging"] = [round(100 * merged), 100]
    await progress.record(session, job_id, stage=stage, progress=percent(row.kind, counts), counts=counts)


def percent(kind: str, counts: Mapping[str, list[int]]) -> int:
    """0-99 from what is done of each stage; later stages count only as far as the file has been heard."""
    heard = _share(counts.get("transcribing", [0, 1]))
    shares = {
        stage: _share(count) * (1.0 if stage in ("extracting", "transcribing", "merging") else heard)
        for stage, count in counts.items()
    }
    return min(99, round(sum(weight * shares.get(stage, 0.0) for stage, weight in WEIGHTS[kind].items())))


def _share(count: list[int]) -> float:
    done, expected = count
    return done / expected if expected else 0.0
