"""A traced request's spans: its wait, its computation, nothing of those that nobody traces."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from serve import tracing
from serve.settings import ServeSettings
from serve.tracing import RequestTrace

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(tracing, "tracer", lambda: provider.get_tracer("test"))
    yield kept
    provider.shutdown()


def _context(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def test_a_request_waits_then_computes_within_its_span(exporter: InMemorySpanExporter) -> None:
    trace = RequestTrace(TRACED)
    trace._began -= 5 * 10**9
    trace.succeeded("whisper", queue_s=1.0, compute_s=2.0, batch=3)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    served, waited, computed = (spans[name] for name in ("serve whisper", "wait for a batch", "compute"))
    assert {format_trace_id(_context(span).trace_id) for span in spans.values()} == {TRACE}
    assert served.parent is not None
    assert format_span_id(served.parent.span_id) == PARENT
    assert waited.parent == computed.parent
    assert waited.parent is not None
    assert waited.parent.span_id == _context(served).span_id
    times = [served.start_time, waited.start_time, waited.end_time, computed.end_time, served.end_time]
    assert times == sorted(times, key=lambda each: each or 0)
    assert waited.end_time == computed.start_time
    assert (computed.end_time or 0) - (computed.start_time or 0) == 2 * 10**9
    assert (computed.attributes or {})["octavia.batch"] == 3


def test_a_failure_is_told_by_its_code(exporter: InMemorySpanExporter) -> None:
    RequestTrace(TRACED).failed("whisper", "INVALID_ARGUMENT")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert (span.attributes or {})["error.type"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("given", [None, "", "nonsense", f"00-{TRACE}-{PARENT}-00", f"00-{'0' * 32}-{PARENT}-01"])
def test_a_request_that_nobody_traces_makes_no_span(exporter: InMemorySpanExporter, given: str | None) -> None:
    RequestTrace(given).succeeded("vad", 0.0, 0.1, 1)
    RequestTrace(given).failed("vad", "INTERNAL")
    assert exporter.get_finished_spans() == ()


def test_without_a_collector_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "get_settings", lambda: ServeSettings(otlp_endpoint=None))
    tracing.tracer.cache_clear()
    assert tracing.tracer() is None
    tracing.tracer.cache_clear()
