"""An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP with protobuf bodies, nothing else."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATH = "/v1/traces"


@dataclass(frozen=True, slots=True)
class SpanSeen:
    """A span as it arrived. Ids are hexadecimal, `parent` empty for a root; times in seconds since 1970."""

    trace: str
    id: str
    parent: str
    name: str
    service: str
    start: float
    end: float
    attributes: dict[str, Any]
    failed: bool


class Collector:
    """A context, listening on a free port of this machine."""

    def __init__(self) -> None:
        self._spans: list[SpanSeen] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[SpanSeen]:
        """What has arrived so far."""
        with self._arrived:
            return list(self._spans)

    def until(self, there: Callable[[list[SpanSeen]], bool], seconds: float = 60) -> list[SpanSeen]:
        """What has arrived once it is so. AssertionError after so many seconds."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: there(self._spans), seconds)
            assert found, sorted({(span.trace, span.service, span.name) for span in self._spans})
            return list(self._spans)

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._arrived:
            for resource in request.resource_spans:
                service = str(_values(resource.resource.attributes).get("service.name", ""))
                for scope in resource.scope_spans:
                    self._spans += [_seen(span, service) for span in scope.spans]
            self._arrived.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != PATH or self.headers["Content-Type"] != "application/x-protobuf":
                    self.send_error(404)
                    return
                take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing."""

        return Handler


def _seen(span: Any, service: str) -> SpanSeen:
    return SpanSeen(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        attributes=_values(span.attributes),
        failed=span.status.code == 2,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
