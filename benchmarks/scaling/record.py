"""What was seen in a trace, real or simulated, and the figures that follow from it. Pure."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request: seconds since the trace began, the status it ended with, how often it was asked for again.

    `at` is when it was due, `seconds` what it computes alone. `answered` is None for a lost one.
    """

    at: float
    seconds: float
    asked: float
    answered: float | None
    status: str = "OK"
    repeats: int = 0

    @property
    def latency(self) -> float | None:
        """From when it was due, so a client that is late hides nothing."""
        return None if self.answered is None else self.answered - self.at


@dataclass(frozen=True, slots=True)
class Sample:
    """At a moment: GPU nodes that are up and that were asked for and are not up yet; replicas that serve and that
    start; requests that wait and that compute."""

    at: float
    nodes: int
    nodes_coming: int
    replicas: int
    replicas_starting: int
    waiting: int = 0
    computing: int = 0

    @property
    def held(self) -> int:
        """GPUs that are paid for: from the moment the autoscaler asks for the node."""
        return self.nodes + self.nodes_coming


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that a replica computed."""

    began: float
    ended: float
    rows: int
    replica: int


@dataclass(frozen=True, slots=True)
class Record:
    """A trace: what it ran with, and what was seen."""

    settings: Mapping[str, Any]
    requests: Sequence[Request]
    samples: Sequence[Sample]
    batches: Sequence[Batch] = field(default=())

    @property
    def latencies(self) -> list[float]:
        """Of the answered requests, in order of size."""
        return sorted(each.latency for each in self.requests if each.latency is not None)

    @property
    def lost(self) -> int:
        return sum(each.answered is None for each in self.requests)

    def gpu_seconds(self) -> float:
        """GPUs held, over time."""
        return area((each.at, each.held) for each in self.samples)

    def replica_seconds(self) -> float:
        """Replicas that serve, over time."""
        return area((each.at, each.replicas) for each in self.samples)

    def peak_held(self) -> int:
        return max((each.held for each in self.samples), default=0)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read(path: Path) -> Record:
    """What `write` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Record(
        raw["settings"],
        [Request(**each) for each in raw["requests"]],
        [Sample(**each) for each in raw["samples"]],
        [Batch(**each) for each in raw["batches"]],
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in order of size; nan where there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def area(steps: Iterable[tuple[float, float]]) -> float:
    """The area beneath a step function given by (time, value from then on), up to the last time."""
    total, before = 0.0, None
    for at, value in steps:
        if before is not None:
            total += (at - before[0]) * before[1]
        before = at, value
    return total


def counts(intervals: Iterable[tuple[float, float, int]], times: Sequence[float]) -> Iterator[int]:
    """For each of the ascending times, the sum of the weights of the intervals (begin, end, weight) that hold it."""
    changes = sorted(change for began, ended, weight in intervals for change in ((began, weight), (ended, -weight)))
    index, value = 0, 0
    for at in times:
        while index < len(changes) and changes[index][0] <= at:
            value += changes[index][1]
            index += 1
        yield value


def with_queue(samples: Sequence[Sample], requests: Sequence[Request], batches: Sequence[Batch]) -> list[Sample]:
    """The samples with what waited (asked and not answered, without what computed) and what computed."""
    times = [each.at for each in samples]
    asked = [(each.at, each.answered if each.answered is not None else math.inf, 1) for each in requests]
    under_way = counts(asked, times)
    computing = counts(((each.began, each.ended, each.rows) for each in batches), times)
    return [
        replace(sample, waiting=max(0, there - now), computing=now)
        for sample, there, now in zip(samples, under_way, computing, strict=True)
    ]
