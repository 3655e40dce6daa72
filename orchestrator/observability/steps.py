"""A durable step while it runs: counted, timed, and a span of its job's trace."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbos import DBOS
from opentelemetry.context import Context

from orchestrator.errors import OctaviaError
from orchestrator.observability.metrics import STEP_SECONDS, STEPS
from orchestrator.observability.tracing import span


@contextmanager
def observed(name: str, job_id: str, arguments: tuple[Any, ...], trace: Context | None) -> Iterator[None]:
    """Around the step's body. What it works on is told by its arguments: numbers, and the code of a language."""
    told = {
        "octavia.job_id": job_id,
        "octavia.workflow": str(DBOS.workflow_id),
        "octavia.worker": str(DBOS.executor_id),
        "octavia.of": [str(each) for each in arguments if isinstance(each, int | str)],
    }
    began, result = time.perf_counter(), "failed"
    try:
        with span(name, told, parent=trace):
            yield
        result = "done"
    except asyncio.CancelledError:
        result = "stopped"
        raise
    except OctaviaError:
        raise
    finally:
        STEPS.labels(name, result).inc()
        STEP_SECONDS.labels(name).observe(time.perf_counter() - began)
