"""What an upgrade did to those who asked meanwhile. Pure but for the clock."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from rich.table import Table

from benchmarks.load.stats import REPEATED, Noted, drawn

Phase = Literal["before", "during", "after"]
PHASES: tuple[Phase, ...] = ("before", "during", "after")


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that was asked for, from beginning to end in milliseconds; `at` in seconds since the epoch."""

    at: float
    ms: float


@dataclass(slots=True)
class Clock:
    """When each phase began and ended, in seconds since the epoch."""

    spans: dict[Phase, tuple[float, float]] = field(default_factory=dict)

    def run(self, phase: Phase, work: Callable[[], None]) -> None:
        began = time.time()
        work()
        self.spans[phase] = (began, time.time())

    def of(self, phase: Phase, asked: Iterable[Asked]) -> list[float]:
        """Milliseconds of what was asked for in the phase or was under way in it."""
        began, ended = self.spans[phase]
        return [each.ms for each in asked if each.at < ended and each.at + each.ms / 1e3 > began]


@dataclass(frozen=True, slots=True)
class Row:
    """`failed`: what was said to each that failed. `p95_ms` by phase; None where nothing was asked."""

    plane: str
    what: str
    requests: int
    repeated: int
    failed: tuple[str, ...]
    p95_ms: tuple[float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An upgrade of a plane: its rows, what was seen to happen, and what did not come out as it must."""

    rows: tuple[Row, ...]
    seen: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not self.wrong and not any(row.failed for row in self.rows)


def row(plane: str, what: str, asked: Sequence[Asked], repeated: int, failed: Iterable[str], clock: Clock) -> Row:
    """The row of what was asked for and answered, and what was not."""
    times = [clock.of(phase, asked) for phase in PHASES]
    p95 = [float(np.quantile(each, 0.95)) if each else None for each in times]
    failures = tuple(failed)
    return Row(plane, what, len(asked) + len(failures), repeated, failures, (p95[0], p95[1], p95[2]))


def rows_of(plane: str, notes: Sequence[Noted], clock: Clock) -> tuple[Row, ...]:
    """Of what locust noted: the API's answers and whole jobs.

    The times are of answers to GET; uploads are slow on purpose, and a stream's time is its first byte's.
    """
    events = [note for note in notes if note.kind == "EVENT"]
    jobs = [note for note in notes if note.kind == "JOB"]
    http = [note for note in notes if note.kind not in ("EVENT", "JOB", REPEATED)]
    reads = [Asked(note.at, note.ms) for note in http if note.kind == "GET" and not note.error]
    repeated = sum(note.kind == REPEATED for note in notes)
    failed = [f"{note.kind} {note.name}: {note.error}" for note in http if note.error]
    answered = row(plane, "HTTP requests (p95 of GET)", reads, repeated, failed, clock)
    whole = Row(plane, answered.what, len(http), answered.repeated, answered.failed, answered.p95_ms)
    return (
        whole,
        row(plane, "events of streams", [Asked(note.at, note.ms) for note in events], 0, (), clock),
        _of_jobs(plane, jobs, clock),
    )


def _of_jobs(plane: str, jobs: Sequence[Noted], clock: Clock) -> Row:
    done = [Asked(note.at, note.ms) for note in jobs if not note.error]
    return row(plane, "jobs, upload to download", done, 0, [note.error for note in jobs if note.error], clock)


def table(upgrades: Iterable[Upgrade]) -> str:
    """For people."""
    shown = Table()
    for name in ("plane", "what"):
        shown.add_column(name)
    for name in ("requests", "repeated by policy", "failed", "p95 before", "during", "after"):
        shown.add_column(name, justify="right")
    for upgrade in upgrades:
        for each in upgrade.rows:
            times = ["–" if value is None else f"{value:,.0f} ms" for value in each.p95_ms]
            shown.add_row(each.plane, each.what, str(each.requests), str(each.repeated), str(len(each.failed)), *times)
    return drawn(shown)
