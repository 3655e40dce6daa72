"""What locust counted, as rows: read from its own JSON and CSV files."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

REPEATED = "REPEATED"
"""Type of the requests that were refused and asked for again by the policy; the others have their HTTP method."""
NO_REQUESTS: Mapping[str, str] = {"EVENT": "events", "JOB": "jobs", "STREAM": "cut streams"}
"""Types that profiles report beside their requests, and what each counts: one stream brings many events, and what they
all do together is one job. The other types are HTTP methods."""
WIDTH = 118


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of one name. Times are from sending to the whole answer, of a stream to its first byte; what was
    repeated is not among them."""

    name: str
    count: int
    failures: int
    repeated: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def counted(self) -> str:
        """What a row counts: requests, or what else profiles report."""
        return NO_REQUESTS.get(self.name.partition(" ")[0], "requests")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A run: `requests` by name, events and jobs among them; what failed, each message once with how often it came."""

    profile: str
    users: int
    seconds: float
    think_s: float
    requests: tuple[Requests, ...]
    errors: tuple[tuple[str, int], ...]
    machine: str

    @property
    def count(self) -> int:
        """HTTP requests that were answered or failed."""
        return sum(each.count for each in self.requests if each.counted == "requests")

    @property
    def per_second(self) -> float:
        """Those a second."""
        return sum(each.per_second for each in self.requests if each.counted == "requests")

    @property
    def failures(self) -> int:
        """Of requests and jobs, and streams that were cut."""
        return sum(each.failures for each in self.requests)

    @property
    def repeated(self) -> int:
        return sum(each.repeated for each in self.requests)

    def table(self) -> str:
        """For people."""
        thinking = f"{self.think_s:g} s of thought" if self.think_s else "no pause"
        table = Table(title=f"{self.profile}: {self.users} users for {self.seconds:.0f} s, {thinking} between requests")
        table.add_column("request")
        for name in ("count", "failed", "repeated", "per s", "p50 ms", "p95 ms", "p99 ms"):
            table.add_column(name, justify="right")
        for each in self.requests:
            numbers = (each.count, each.failures, each.repeated)
            rates = (each.per_second, each.p50_ms, each.p95_ms, each.p99_ms)
            table.add_row(each.name, *map(str, numbers), *(f"{rate:.1f}" for rate in rates))
        lines = [drawn(table)]
        lines += [f"FAILED {count} times: {message}" for message, count in self.errors]
        return "\n".join([*lines, self.machine])


def drawn(table: Table) -> str:
    """A table as text."""
    console = Console(width=WIDTH, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()


def quantile(histogram: Mapping[float, int], share: float) -> float:
    """The least value that at least this share of those counted do not exceed; 0 of none."""
    rank = math.ceil(share * sum(histogram.values()))
    seen = 0
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= rank:
            return value
    return 0.0


def rows_of(entries: Iterable[Mapping[str, Any]]) -> tuple[Requests, ...]:
    """The rows of locust's JSON, by name; rates over the time from its first request to its last.

    locust rounds times to two digits beyond 100 ms.
    """
    entries = list(entries)
    repeated = {each["name"]: int(each["num_requests"]) for each in entries if each["method"] == REPEATED}
    ends = [each["last_request_timestamp"] for each in entries if each["last_request_timestamp"]]
    seconds = max(ends) - min(each["start_time"] for each in entries) if ends else 0.0
    rows = []
    for each in sorted(entries, key=lambda entry: str(entry["name"])):
        if each["method"] == REPEATED:
            continue
        times = {float(value): int(count) for value, count in each["response_times"].items()}
        rows.append(
            Requests(
                name=f"{each['method']} {each['name']}",
                count=int(each["num_requests"]),
                failures=int(each["num_failures"]),
                repeated=repeated.pop(each["name"], 0),
                per_second=each["num_requests"] / seconds if seconds else 0.0,
                p50_ms=quantile(times, 0.5),
                p95_ms=quantile(times, 0.95),
                p99_ms=quantile(times, 0.99),
            )
        )
    rows += [Requests(name, 0, 0, count, 0.0, 0.0, 0.0, 0.0) for name, count in repeated.items()]
    return tuple(rows)


def read_rows(stats: Path) -> tuple[Requests, ...]:
    """The rows of the file of locust's `--json-file`."""
    return rows_of(json.loads(stats.read_text()))


def read_errors(failures: Path) -> tuple[tuple[str, int], ...]:
    """The messages of locust's `…_failures.csv`, the most frequent first."""
    with failures.open(newline="") as file:
        found = [
            (f"{row['Method']} {row['Name']}: {row['Error']}", int(row["Occurrences"])) for row in csv.DictReader(file)
        ]
    return tuple(sorted(found, key=lambda each: -each[1]))


@dataclass(frozen=True, slots=True)
class Noted:
    """One request as it was noted when its answer was there."""

    at: float
    """Seconds since the epoch, when it was sent."""
    kind: str
    """HTTP method, or REPEATED."""
    name: str
    ms: float
    error: str


def read_notes(file: Path) -> list[Noted]:
    """Every request of a run, by the time it was sent."""
    notes = []
    for line in file.read_text().splitlines():
        at, kind, name, milliseconds, error = line.split("\t", 4)
        notes.append(Noted(float(at), kind, name, float(milliseconds), error))
    return sorted(notes, key=lambda each: each.at)
