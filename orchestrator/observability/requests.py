"""Each request is counted by its route and is a span; outermost, so that refusals count too."""

import time
from contextlib import nullcontext

from opentelemetry.trace import INVALID_SPAN
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.observability import metrics
from orchestrator.observability.tracing import SpanKind, parent_of, span

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"
PROBES = frozenset({"/healthz", "/readyz"})
"""Asked for every few seconds: no spans."""
_NOTE = "octavia.route"


class ObservedMiddleware:
    """Counts a request, and times it until its answer begins: downloads and event streams last as long as clients do.

    A caller's `traceparent` is taken over: a trace may begin in the page. Whether it is sent, our own share decides.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("traceparent")
        method = scope["method"] if scope["method"] in METHODS else "other"
        note: dict[str, str] = {}
        scope[_NOTE] = note
        began, status, seconds = time.perf_counter(), 500, None

        async def watched(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - began
            await send(message)

        traced = span(method, parent=parent_of(given), kind=SpanKind.SERVER)
        with nullcontext(INVALID_SPAN) if scope["path"] in PROBES else traced as opened:
            try:
                with metrics.REQUESTS_OPEN.track_inprogress():
                    await self._app(scope, receive, watched)
            finally:
                route = note.get("route", NO_ROUTE)
                opened.update_name(f"{method} {route}")
                opened.set_attributes(
                    {"http.request.method": method, "http.route": route, "http.response.status_code": status}
                )
                metrics.REQUESTS.labels(method, route, str(status)).inc()
                metrics.REQUEST_SECONDS.labels(method, route).observe(seconds or time.perf_counter() - began)


class RouteMiddleware:
    """Innermost: notes the template of the route that was found, for others may have copied the scope on its way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            path = getattr(scope.get("route"), "path", None)
            if _NOTE in scope and path is not None:
                scope[_NOTE]["route"] = path
