"""What a process would send to a collector, kept in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id

from orchestrator.observability import tracing


@dataclass(frozen=True, slots=True)
class Seen:
    name: str
    trace: str
    id: str
    parent: str | None
    attributes: dict[str, Any]
    failed: bool


class Spans:
    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> list[Seen]:
        return [_seen(span) for span in self._exporter.get_finished_spans()]

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.all() if span.name == name]


def _seen(span: ReadableSpan) -> Seen:
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    return Seen(
        span.name,
        format_trace_id(context.trace_id),
        format_span_id(context.span_id),
        format_span_id(parent.span_id) if parent else None,
        dict(span.attributes or {}),
        not span.status.is_ok and not span.status.is_unset,
    )


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Tracing is on during the test, in this process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=tracing._id_generator(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    yield Spans(exporter)
    provider.shutdown()
