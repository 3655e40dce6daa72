"""What a replica counts, under Triton's names, through Ray's own metrics: replicas of every node count together.

Ray's agents export them with the prefix `ray_`; `exposition` takes it off again, so that dashboards made for Triton
find their names. Durations are in microseconds, as Triton's. What Triton has no name for follows its style.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

import psutil
from ray.util.metrics import Counter, Gauge, Histogram

from serve.errors import Code, ModelError

TAGS = ("model", "version")
BATCH_SIZES = [float(2**power) for power in range(13)]
RAY_PREFIX = re.compile(r"^((?:# (?:HELP|TYPE) )?)ray_(nv_\w+)")
TOTAL = re.compile(r"^((?:# (?:HELP|TYPE) )?)(nv_\w+?)_total\b")


class Reason(StrEnum):
    """Why an inference failed, as Triton's label `reason` says it."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


REASONS = {
    Code.RESOURCE_EXHAUSTED: Reason.REJECTED,
    Code.DEADLINE_EXCEEDED: Reason.REJECTED,
    Code.INTERNAL: Reason.BACKEND,
}


def reason_of(error: ModelError | None) -> Reason:
    """Triton's reason of a failure; None is a caller that went away."""
    if error is None:
        return Reason.CANCELED
    return REASONS.get(error.code, Reason.OTHER)


class ReplicaMetrics:
    """The counters of one replica of a model."""

    def __init__(self, model: str, version: str) -> None:
        self._tags = {"model": model, "version": version}
        self._success = self._counter("request_success", "inferences that were answered")
        self._failure = Counter("nv_inference_request_failure", "inferences that failed", (*TAGS, "reason"))
        self._requests = self._counter("count", "rows answered")
        self._batches = self._counter("exec_count", "batches run")
        self._total_us = self._counter("request_duration_us", "time in the replica")
        self._queue_us = self._counter("queue_duration_us", "time waiting for a batch")
        self._compute_us = self._counter("compute_infer_duration_us", "time computing")
        self._pending = Gauge("nv_inference_pending_request_count", "units (rows, or tokens) waiting", TAGS)
        self._batch = Histogram("nv_inference_batch_size", "rows in a batch", BATCH_SIZES, TAGS)
        self._memory = Gauge("nv_model_memory_bytes", "memory of the replica", (*TAGS, "kind"))

    def _counter(self, name: str, description: str) -> Counter:
        return Counter(f"nv_inference_{name}", description, TAGS)

    def served(self, queue_s: float, compute_s: float) -> None:
        """One request was answered."""
        self._success.inc(1, self._tags)
        for counter, seconds in (
            (self._queue_us, queue_s),
            (self._compute_us, compute_s),
            (self._total_us, queue_s + compute_s),
        ):
            counter.inc(max(1, int(seconds * 1e6)), self._tags)

    def failed(self, reason: Reason) -> None:
        """One request was not."""
        self._failure.inc(1, {**self._tags, "reason": reason.value})

    def ran(self, units: int) -> None:
        """One batch was run."""
        self._requests.inc(units, self._tags)
        self._batches.inc(1, self._tags)
        self._batch.observe(units, self._tags)

    def now(self, waiting: int) -> None:
        """What is true at this moment: units waiting, memory of this process in bytes."""
        self._pending.set(waiting, self._tags)
        self._memory.set(psutil.Process().memory_info().rss, {**self._tags, "kind": "cpu"})


def exposition(pages: Iterable[str]) -> str:
    """Prometheus text of several agents as one page, Triton's names without Ray's prefix and suffix."""
    lines: list[str] = []
    seen: set[str] = set()
    for page in pages:
        for line in page.splitlines():
            triton = TOTAL.sub(r"\1\2", RAY_PREFIX.sub(r"\1\2", line))
            if line.startswith("#") and triton in seen:
                continue
            seen.add(triton)
            lines.append(triton)
    return "\n".join(lines) + "\n"
