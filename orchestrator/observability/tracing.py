"""Spans for an OpenTelemetry collector: one trace a job, from the request that asked for it to the e-mail about it.

Off unless OCTAVIA_OTLP_ENDPOINT names a collector; then nothing is made, and the calls below cost next to nothing.
What joins a trace across processes and restarts is the W3C `traceparent` kept in the rows of job and mail. A span is
sent when it has ended, so one that lasts as long as a job could not outlive its worker: the span `job` has an id that
follows from the job's, its steps name it as their parent, and whoever decides the job sends it.

Attributes are ids, names and numbers. Texts, addresses, tokens and messages of errors never are.
"""

import hashlib
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

__all__ = ["SpanKind", "configure_tracing", "job_context", "parent_of", "send_span", "span", "traceparent"]

SEND_EVERY_MS = 1_000
EXPORT_TIMEOUT_S = 5

_HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("octavia")
_next_id: ContextVar[int | None] = ContextVar("next_span_id", default=None)


def configure_tracing(settings: Settings, process: str) -> None:
    """Send this process's spans to the collector of the settings, where there is one."""
    if settings.otlp_endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415

    exporter = OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
    provider = TracerProvider(
        sampler=TraceIdRatioBased(settings.trace_share),  # by the trace's id: all processes agree without asking
        resource=Resource.create({"service.name": f"octavia-{process}"}),
        id_generator=_id_generator(),
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS))
    trace.set_tracer_provider(provider)


def _id_generator() -> Any:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class Generator(RandomIdGenerator):
        """Random ids, but for a span whose id was decided before."""

        def generate_span_id(self) -> int:
            return _next_id.get() or super().generate_span_id()

    return Generator()


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, Any] | None = None,
    *,
    parent: Context | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[trace.Span]:
    """A span around the body, within the current one or `parent`. An error is told by its code or type alone."""
    with _tracer.start_as_current_span(
        name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            said = error.code if isinstance(error, OctaviaError) else type(error).__name__
            opened.set_attribute("error.type", said)
            opened.set_status(trace.StatusCode.ERROR, said)
            raise


def send_span(
    name: str,
    began: datetime,
    ended: datetime,
    attributes: Mapping[str, Any],
    *,
    parent: Context | None,
    span_id: int | None = None,
    failed: str | None = None,
) -> None:
    """A span of something that is over, known by its times."""
    token = _next_id.set(span_id)
    try:
        made = _tracer.start_span(name, parent, attributes=attributes, start_time=_nanoseconds(began))
    finally:
        _next_id.reset(token)
    if failed is not None:
        made.set_attribute("error.type", failed)
        made.set_status(trace.StatusCode.ERROR, failed)
    made.end(_nanoseconds(ended))


def traceparent() -> str | None:
    """The current span as it is handed on; None where nothing is traced."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(_HEADER)


def parent_of(given: str | None) -> Context | None:
    """The context of a kept or received `traceparent`; None where there is none, or none that can be read."""
    if given is None:
        return None
    context = _propagator.extract({_HEADER: given}, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def job_span_id(job_id: UUID, attempt: int) -> int:
    """The id of the span of an attempt at a job: the same in every process, whenever it is asked for."""
    return int.from_bytes(hashlib.sha256(f"{job_id}.{attempt}".encode()).digest()[:8]) or 1


def job_context(given: str | None, job_id: UUID, attempt: int) -> Context | None:
    """The context within the span of an attempt at a job, whose row has this `traceparent`."""
    context = parent_of(given)
    if context is None:
        return None
    asked = trace.get_current_span(context).get_span_context()
    within = trace.SpanContext(
        asked.trace_id, job_span_id(job_id, attempt), is_remote=True, trace_flags=asked.trace_flags
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(within), Context())


def add_trace_id(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of structlog's processors: the current trace beside what is logged."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        event["trace_id"] = trace.format_trace_id(current.trace_id)
    return event


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1e9)
