"""How far a job is, counted from its rows."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.database import patiently
from orchestrator.jobs import eta, messages, progress
from orchestrator.jobs.kinds import OF_SUBTITLES, SPOKEN
from orchestrator.jobs.models import Job
from orchestrator.jobs.progress import Forecast

WEIGHTS: Mapping[str, Mapping[str, int]] = {
    "video_translation": {"extracting": 4, "transcribing": 20, "translating": 3, "synthesizing": 29, "merging": 44},
    "audio_translation": {"extracting": 4, "transcribing": 18, "translating": 3, "synthesizing": 27, "merging": 48},
    "subtitles": {"extracting": 12, "transcribing": 76, "translating": 10, "synthesizing": 0, "merging": 2},
    "subtitle_translation": {
        "extracting": 16,
        "transcribing": 0,
        "translating": 70,
        "synthesizing": 0,
        "merging": 14,
    },
    "subtitle_to_audio": {"extracting": 1, "transcribing": 0, "translating": 9, "synthesizing": 50, "merging": 40},
}
"""Share of each stage in the percentage, after the wall time of jobs of half a minute to six (benchmarks/stages.py),
the time it took to translate a file of 50,000 cues (16, 68 and 14 s), and that to read one of four minutes aloud (1, 4,
21 and 17 s)."""

_COUNTS = sa.text(
    """
    select j.kind, cardinality(j.target_languages) as targets, clock_timestamp() as now,
        (select count(*) from segment s where s.job_id = j.id) as segments,
        (select s.next_start from segment s where s.job_id = j.id order by s.index desc limit 1) as segmented_s,
        (select w."end" from heard_window w where w.job_id = j.id order by w.index desc limit 1) as length_s,
        w.windows, w.heard, r.translated, r.spoken, r.translated_here, r.spoken_here
    from job j
    cross join lateral (
        select count(*) as windows, count(*) filter (where w.words is not null) as heard
        from heard_window w where w.job_id = j.id
    ) w
    cross join lateral (
        select count(*) as translated, count(r.audio_key) as spoken,
            count(*) filter (where r.language = :language) as translated_here,
            count(r.audio_key) filter (where r.language = :language) as spoken_here
        from rendition r where r.job_id = j.id
    ) r
    where j.id = :job_id
    """
)
"""Rows of a job, and those of them in one language."""


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
RENDERING, MEASURING = (0.0, 0.5), (0.5, 1.0)
"""The parts of a language's time in the merge in which its file is made, and in which it is listened to: of a minute's
dub, half each."""


async def advance(
    session: AsyncSession, job_id: UUID, stage: str, merged: float = 0.0, language: str | None = None
) -> None:
    """Write the job's progress as its rows tell it, in the caller's transaction; `merged` is the merge's share, 0-1.

    `language`: the target language of the step that reports, for its message.

    The job is locked before its rows are counted: of two steps that end together the later one sees both. A report soon
    after another is left out; the next one makes up for it, and the merge, which follows the last step, always counts.
    """
    job = await progress.lock(session, job_id)
    if job is None or (not merged and await _is_early(session, job, stage)):
        return
    row = (await session.execute(_COUNTS, {"job_id": job_id, "language": language})).one()
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
    known = 1.0 if merged or not row.length_s else min(1.0, (row.segmented_s or 0.0) / row.length_s)
    here = {"translating": row.translated_here, "synthesizing": row.spoken_here}
    count = [here[stage], row.segments] if language and stage in here else counts.get(stage)
    await progress.record(
        session,
        job_id,
        stage=stage,
        progress=percent(row.kind, counts, known),
        counts=counts,
        message=messages.step(stage, count, language),
        forecast=_forecast(job, counts, known, row.now),
    )


def _forecast(job: Job, counts: Mapping[str, list[int]], known: float, now: datetime) -> Forecast:
    """How long the job still takes, now that its counts are these; `known` as in `percent`."""
    reports = [datetime.fromisoformat(job.pace["at"])] if "at" in job.pace else []
    since = max([*reports, *([job.started_at] if job.started_at else [])], default=now)
    weights = WEIGHTS[job.kind]
    pace = eta.observe(eta.Pace.from_json(job.pace), weights, counts, known, (now - since).total_seconds())
    return Forecast(now, {**pace.to_json(), "at": now.isoformat()}, eta.seconds_left(pace, weights))


async def _is_early(session: AsyncSession, job: Job, stage: str) -> bool:
    """Whether this report may be left out. A stage's first is never, nor one before it is known how much there is."""
    if not job.counts.get(stage, [0, 0])[1]:
        return False
    return bool(await session.scalar(_EARLY, {"job_id": job.id, "stage": stage, "every": EVERY_S}))


class MergeProgress:
    """Reports one target language's part of the merge from its own share done, 0-1. To be used as a context.

    At most one report is being written; of those that come meanwhile the last one counts.
    """

    def __init__(
        self, engine: AsyncEngine, job_id: str, at: int, of: int, within: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        """`at` is the language's place among `of` languages that are made one after the other; `within`: which part of
        its time this work takes, from and to."""
        self._engine = engine
        self._job_id = UUID(job_id)
        self._at = at
        self._of = of
        self._begin, self._end = within
        self._share = 0.0
        self._news = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def __call__(self, share: float) -> None:
        """Say how far this language is. Returns at once."""
        self._share = max(self._share, min(1.0, share))
        self._news.set()

    def part(self, begin: float, end: float) -> Callable[[float], None]:
        """Takes the shares of a part of the work, which this language's go from `begin` to `end` in."""
        return lambda share: self(begin + (end - begin) * share)

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
        share = self._begin + (self._end - self._begin) * self._share
        merged = SUBTITLES_SHARE + (1 - SUBTITLES_SHARE) * (self._at + share) / self._of
        await patiently(self._engine, lambda session: advance(session, self._job_id, "merging", merged=merged))


def percent(kind: str, counts: Mapping[str, list[int]], known: float = 1.0) -> int:
    """0-99 from what is done of each stage.

    `known`: the share of the file, 0-1, that has become segments; what is done of these counts for that share alone.
    """
    shares = {
        stage: _share(count) * (1.0 if stage in ("extracting", "transcribing", "merging") else known)
        for stage, count in counts.items()
    }
    return min(99, round(sum(weight * shares.get(stage, 0.0) for stage, weight in WEIGHTS[kind].items())))


def _share(count: list[int]) -> float:
    done, expected = count
    return done / expected if expected else 0.0
