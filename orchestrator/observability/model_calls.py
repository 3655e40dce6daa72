"""A call of the model plane while it runs: counted, timed, and a span whose place in the trace is told to the plane."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tritonclient.utils import InferenceServerException

from orchestrator.observability.metrics import MODEL_CALLS, MODEL_SECONDS
from orchestrator.observability.tracing import SpanKind, span, traceparent


@contextmanager
def observed(model: str) -> Iterator[dict[str, str] | None]:
    """Around one call; the headers it is to carry."""
    began, result = time.perf_counter(), "failed"
    try:
        with span(f"call {model}", {"octavia.model": model}, kind=SpanKind.CLIENT):
            given = traceparent()
            yield None if given is None else {"traceparent": given}
        result = "OK"
        MODEL_SECONDS.labels(model).observe(time.perf_counter() - began)
    except InferenceServerException as error:
        result = str(error.status()).removeprefix("StatusCode.")
        raise
    finally:
        MODEL_CALLS.labels(model, result).inc()
