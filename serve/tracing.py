"""What a traced request met with in the plane, as spans for an OpenTelemetry collector.

Only requests that come with a W3C `traceparent` whose sender traces them are told of, and only where
OCTAVIA_OTLP_ENDPOINT names a collector. The spans are made when the request is over: from its arrival to its answer,
and in it the wait for a batch and the batch's computation, whose durations the replica has measured. Where those two
lie between arrival and answer is inferred: the computation ends just before the answer.
"""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serve.settings import get_settings

EXPORT_TIMEOUT_S = 5
SEND_EVERY_MS = 1_000

_propagator = TraceContextTextMapPropagator()


@cache
def tracer() -> trace.Tracer | None:
    """This process's tracer; None where there is no collector to send to."""
    endpoint = get_settings().otlp_endpoint
    if endpoint is None:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
    provider = TracerProvider(resource=Resource.create({"service.name": "octavia-models"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS))
    return provider.get_tracer("octavia.serve")


class RequestTrace:
    """One request, from its arrival on. Does nothing unless it is traced."""

    def __init__(self, traceparent: str | None) -> None:
        self._parent = None if traceparent is None or tracer() is None else _sampled(traceparent)
        self._began = time.time_ns()

    def succeeded(self, model: str, queue_s: float, compute_s: float, batch: int) -> None:
        """The request was answered; it waited and computed for so long in a batch of so many units."""
        if self._parent is None:
            return
        ended = time.time_ns()
        context = self._span(f"serve {model}", self._parent, self._began, ended, {"octavia.model": model})
        computing = max(self._began, ended - round(compute_s * 1e9))
        waiting = max(self._began, computing - round(queue_s * 1e9))
        self._span("wait for a batch", context, waiting, computing, {})
        self._span("compute", context, computing, ended, {"octavia.batch": batch})

    def failed(self, model: str, reason: str) -> None:
        """The request was not answered."""
        if self._parent is not None:
            told = {"octavia.model": model, "error.type": reason}
            self._span(f"serve {model}", self._parent, self._began, time.time_ns(), told, failed=True)

    def _span(
        self, name: str, parent: Context, began: int, ended: int, told: Mapping[str, Any], *, failed: bool = False
    ) -> Context:
        """Make a span of this time; the context within it."""
        made_by = tracer()
        if made_by is None:
            return parent
        kind = trace.SpanKind.SERVER if name.startswith("serve ") else trace.SpanKind.INTERNAL
        span = made_by.start_span(name, parent, kind, told, start_time=began)
        if failed:
            span.set_status(trace.StatusCode.ERROR)
        span.end(ended)
        return trace.set_span_in_context(span, Context())


def _sampled(traceparent: str) -> Context | None:
    """The context of a `traceparent`; None where it cannot be read, or its sender does not send the trace."""
    context = _propagator.extract({"traceparent": traceparent}, Context())
    given = trace.get_current_span(context).get_span_context()
    return context if given.is_valid and given.trace_flags.sampled else None
