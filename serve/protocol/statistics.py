"""Counts of a model's inferences in the shape of Triton's ModelStatistics, as this one ingress replica saw them.

With several ingress replicas each has its own, and a client sees those of the replica it reaches; the metrics of
`serve.metrics` are the sum over all.

Durations are per request, as Triton's: each request of a batch counts the whole batch's computing as its own time.
Executions are counted in shares: a request that had 3 of the 8 units of a batch adds 3/8 of an execution, so that the
sum over the requests of a batch is one, whoever sent them. What stands under a batch size (in the units the model
counts, rows or tokens) is of executions, count and time.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COMPUTE = ("compute_input", "compute_infer", "compute_output")
DURATIONS = ("success", "fail", "queue", *COMPUTE, "cache_hit", "cache_miss")


@dataclass(slots=True)
class Duration:
    """How often, and how many seconds in all."""

    count: float = 0.0
    seconds: float = 0.0

    def add(self, seconds: float, share: float = 1.0) -> None:
        """`share` of an occurrence that took `seconds`."""
        self.count += share
        self.seconds += seconds * share

    def rounded(self) -> dict[str, int]:
        """Triton's StatisticDuration."""
        return {"count": round(self.count), "ns": round(self.seconds * 1e9)}


def _durations() -> dict[str, Duration]:
    return {name: Duration() for name in DURATIONS}


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one successful inference, by what they were spent on."""

    queue: float
    compute_input: float
    compute_infer: float
    compute_output: float


@dataclass(slots=True)
class ModelStatistics:
    """The counts of one model since this replica began."""

    inferences: int = 0
    executions: float = 0.0
    last_inference_ms: int = 0
    durations: dict[str, Duration] = field(default_factory=_durations)
    batches: defaultdict[int, dict[str, Duration]] = field(default_factory=lambda: defaultdict(_durations))

    def succeeded(self, timing: Timing, total: float, rows: int, batch: int, share: float) -> None:
        """One request of `rows` was answered in `total` seconds, having had its share of a batch of `batch` units."""
        self.inferences += rows
        self.executions += share
        self.last_inference_ms = int(time.time() * 1000)
        self.durations["success"].add(total)
        self.durations["queue"].add(timing.queue)
        for name in COMPUTE:
            self.durations[name].add(getattr(timing, name))
            self.batches[batch][name].add(getattr(timing, name), share)

    def failed(self, total: float) -> None:
        """One request was refused, failed or given up after `total` seconds."""
        self.durations["fail"].add(total)

    def told(self, name: str, version: str) -> Mapping[str, Any]:
        """Triton's ModelStatistics as its JSON has it; times in ns, last_inference in ms since the epoch."""
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": self.inferences,
            "execution_count": round(self.executions),
            "inference_stats": {key: duration.rounded() for key, duration in self.durations.items()},
            "batch_stats": [
                {"batch_size": size, **{key: durations[key].rounded() for key in COMPUTE}}
                for size, durations in sorted(self.batches.items())
            ],
        }
