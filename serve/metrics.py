"""What the plane counts, under Triton's names, through Ray's own metrics: replicas of every node count together.

Ray's agents export them with the prefix `ray_`; `exposition` takes it off again, so that dashboards made for Triton
find their names. Durations are in microseconds, as Triton's, and the mean batch is nv_inference_count over
nv_inference_exec_count. What Triton has no name for follows its style.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum

import psutil
from ray.util.metrics import Counter, Gauge

from serve.errors import Code, ModelError
from serve.repository import VERSION
from serve.runner import failure

log = logging.getLogger(__name__)

TAGS = ("model", "version")
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


class RequestMetrics:
    """The requests of every model, as an ingress replica sees them come and go; a line in the log for each failure."""

    def __init__(self) -> None:
        self._success = Counter("nv_inference_request_success", "requests that were answered", TAGS)
        self._failure = Counter("nv_inference_request_failure", "requests that were not", (*TAGS, "reason"))
        self._durations = {
            name: Counter(f"nv_inference_{name}_duration_us", what, TAGS)
            for name, what in (
                ("request", "time from a request's arrival to its answer"),
                ("queue", "time waiting for a batch"),
                ("compute_infer", "time computing"),
            )
        }

    def succeeded(self, model: str, request_s: float, queue_s: float, compute_s: float) -> None:
        """A request was answered."""
        tags = {"model": model, "version": VERSION}
        self._success.inc(1, tags)
        for name, seconds in (("request", request_s), ("queue", queue_s), ("compute_infer", compute_s)):
            self._durations[name].inc(max(1, round(seconds * 1e6)), tags)

    def failed(self, model: str, request_id: str, error: ModelError | None) -> None:
        """A request was not: None when its caller went away."""
        self._failure.inc(1, {"model": model, "version": VERSION, "reason": reason_of(error).value})
        if error is not None and error.code != Code.INTERNAL:  # which is logged with its cause, where it happened
            log.warning("inference failed", extra=failure(model, error) | {"request_id": request_id})


class ReplicaMetrics:
    """What one replica of a model does."""

    def __init__(self, model: str) -> None:
        self._tags = {"model": model, "version": VERSION}
        self._rows = Counter("nv_inference_count", "rows computed", TAGS)
        self._batches = Counter("nv_inference_exec_count", "batches computed", TAGS)
        self._pending = Gauge("nv_inference_pending_request_count", "units (rows, or tokens) waiting", TAGS)
        self._memory = Gauge("nv_model_memory_bytes", "memory of the replica", (*TAGS, "kind"))
        self._gpu_used = Gauge("nv_gpu_memory_used_bytes", "memory of a GPU that is used, by whoever it is", ("gpu",))
        self._gpu_total = Gauge("nv_gpu_memory_total_bytes", "memory of a GPU", ("gpu",))
        self._process = psutil.Process()
        self.memory()

    def ran(self, rows: int) -> None:
        """A batch was computed."""
        self._rows.inc(rows, self._tags)
        self._batches.inc(1, self._tags)

    def waiting(self, units: int) -> None:
        """So much is in the queue now."""
        self._pending.set(units, self._tags)

    def memory(self) -> None:
        """Resident memory of this process; on a GPU also what torch has reserved there, if the model uses torch."""
        self._memory.set(self._process.memory_info().rss, {**self._tags, "kind": "cpu"})
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            self._memory.set(torch.cuda.memory_reserved(), {**self._tags, "kind": "gpu"})

    def gpus(self, memory: Mapping[int, tuple[int, int]]) -> None:
        """Bytes used and in all of the GPUs that the replica may use."""
        for index, (used, total) in memory.items():
            self._gpu_used.set(used, {"gpu": str(index)})
            self._gpu_total.set(total, {"gpu": str(index)})


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
