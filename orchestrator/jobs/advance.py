"""How far a job is, counted from its rows."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.database import patiently
from orchestrator.jobs import progress
from orchestrator.jobs.kinds import OF_SUBTITLES, SPOKEN
from orchestrator.jobs.models import Job

WEIGHTS: Mapping[str, Mapping[str, int]] = {
    "video_translation": {"extracting": 5, "transcribing": 30, "translating": 5, "synthesizing": 40, "merging": 20},
    "audio_translation": {"extracting": 5, "transcribing": 35, "translating": 5, "synthesizing": 45, "merging": 10},
    "subtitles": {"extracting": 10, "transcribing": 75, "translating": 10, "synthesizing": 0, "merging": 5},
    "subtitle_translation": {
        "extracting": 16,
        "transcribing": 0,
        "translating": 70,
        "synthesizing": 0,
        "merging": 14,
    },
    "subtitle_to_audio": {"extracting": 1, "transcribing": 0, "translating": 9, "synthesizing": 50, "merging": 40},
}
"""Share of each stage in the percentage, after the CPU time of a one-minute dub, the time it took to translate a file
of 50,000 cues (16, 68 and 14 s), and that to read one of four minutes aloud (1, 4, 21 and 17 s)."""

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


_EARLY = sa.text(
    """
    select clock_timestamp() - e.at < make_interval(secs => :every) and (
        :stage <> 'transcribing'
        or (select true from heard_window w where w.job_id = :job_id and w.words is null
            order by w.index desc limit 1)
    )
    from job_event e where e.job_id = :job_id and e.type = 'progress' order by e.id desc limit 1
    """
)
"""Whether the last report is so young that this one may be left out. That all is heard never is.

Windows that are not heard yet are looked for from the end, where they are."""

EVERY_S = 0.5
"""Steps of one job are counted this often at most: counting takes as long as there are rows."""

SUBTITLES_SHARE = 0.05
"""The merge's share that is done when the subtitles are about to be written and the first dub to be mixed."""


async def advance(session: AsyncSession, job_id: UUID, stage: str, merged: float = 0.0) -> None:
    """Write the job's progress as its rows tell it, in the caller's transaction; `merged` is the merge's share, 0-1.

    The job is locked before its rows are counted: of two steps that end together the later one sees both. A report soon
    after another is left out; the next one makes up for it, and the merge, which follows the last step, always counts.
    """
    job = await progress.lock(session, job_id)
    if job is None or (not merged and await _is_early(session, job, stage)):
        return
    row = (await session.execute(_COUNTS, {"job_id": job_id})).one()
    renditions = row.segments * row.targets
    counts = {"extracting": [1, 1]}
    if row.kind not in OF_SUBTITLES:
        counts["transcribing"] = [row.heard, row.windows]
    if row.targets:
        counts["translating"] = [row.translated, renditions]
        if row.kind in SPOKEN:
            counts["synthesizing"] = [row.spoken, renditions]
    if merged:
        counts["merging"] = [round(100 * merged), 100]
    await progress.record(session, job_id, stage=stage, progress=percent(row.kind, counts), counts=counts)


async def _is_early(session: AsyncSession, job: Job, stage: str) -> bool:
    """Whether this report may be left out. A stage's first is never, nor one before it is known how much there is."""
    if not job.counts.get(stage, [0, 0])[1]:
        return False
    return bool(await session.scalar(_EARLY, {"job_id": job.id, "stage": stage, "every": EVERY_S}))


class MergeProgress:
    """Reports one target language's part of the merge from its own share done, 0-1. To be used as a context.

    At most one report is being written; of those that come meanwhile the last one counts.
    """

    def __init__(self, engine: AsyncEngine, job_id: str, at: int, of: int) -> None:
        """`at` is the language's place among `of` languages that are rendered one after the other."""
        self._engine = engine
        self._job_id = UUID(job_id)
        self._at = at
        self._of = of
        self._share = 0.0
        self._news = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def __call__(self, share: float) -> None:
        """Say how far this language is. Returns at once."""
        self._share = max(self._share, min(1.0, share))
        self._news.set()

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_for_ever())
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Write the last report, unless the work failed."""
        assert self._writer  # noqa: S101
        self._writer.cancel()
        with suppress(asyncio.CancelledError):
            await self._writer
        if error is None:
            await self._write()

    async def _write_for_ever(self) -> None:
        while True:
            await self._news.wait()
            await self._write()
            await asyncio.sleep(EVERY_S)

    async def _write(self) -> None:
        self._news.clear()
        merged = SUBTITLES_SHARE + (1 - SUBTITLES_SHARE) * (self._at + self._share) / self._of
        await patiently(self._engine, lambda session: advance(session, self._job_id, "merging", merged=merged))


def percent(kind: str, counts: Mapping[str, list[int]]) -> int:
    """0-99 from what is done of each stage; later stages count only as far as the file has been heard."""
    heard = 1.0 if kind in OF_SUBTITLES else _share(counts.get("transcribing", [0, 1]))
    shares = {
        stage: _share(count) * (1.0 if stage in ("extracting", "transcribing", "merging") else heard)
        for stage, count in counts.items()
    }
    return min(99, round(sum(weight * shares.get(stage, 0.0) for stage, weight in WEIGHTS[kind].items())))


def _share(count: list[int]) -> float:
    done, expected = count
    return done / expected if expected else 0.0
