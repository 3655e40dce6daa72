"""Every error as a problem document (RFC 9457); each request with an id; nothing internal in an answer."""

import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from orchestrator.database import is_outage
from orchestrator.errors import OctaviaError

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-Id"
RETRY_AFTER_S = 5
MOST_TOLD = 20
"""Of the mistakes in one request."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that has gone; nobody reads it but the log."""

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Problem(BaseModel):
    """What went wrong: `detail` for people, `code` for programs, `request_id` for whoever is asked for help."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None


_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_HEADERS: Mapping[int, Mapping[str, Any]] = {429: _RETRY_AFTER, 503: _RETRY_AFTER}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems, for its OpenAPI."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": content,
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in sorted(statuses)
    }


def problem(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **detail: Any
) -> JSONResponse:
    """A problem document as a response."""
    body = {
        "type": f"urn:octavia:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "code": code,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
        **detail,
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type="application/problem+json")


class Answer(Protocol):
    """Makes the response to an error, as `problem` does."""

    def __call__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **detail: Any
    ) -> Response: ...


class ErrorHandlers:
    """Answers every error with a problem document; below the prefixes in `others`, as that surface words errors."""

    def __init__(self, others: Mapping[str, Answer]) -> None:
        self._others = others

    def install(self, app: FastAPI) -> None:
        app.add_exception_handler(OctaviaError, self._ours)
        app.add_exception_handler(HTTPException, self._http)
        app.add_exception_handler(RequestValidationError, self._validation)
        app.add_exception_handler(sa.exc.DBAPIError, self._database)
        app.add_exception_handler(sa.exc.TimeoutError, self._busy)
        app.add_exception_handler(ClientDisconnect, self._gone)
        app.add_middleware(RequestMiddleware, answer_for=self.answer_for)

    def answer_for(self, path: str) -> Answer:
        for prefix, answer in self._others.items():
            if path.startswith(prefix):
                return answer
        return problem

    async def _ours(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, OctaviaError)  # noqa: S101  (Starlette's handlers are typed for any exception)
        headers = {"Retry-After": str(RETRY_AFTER_S), **error.headers} if error.status == 503 else error.headers
        answer = self.answer_for(request.url.path)
        return answer(error.status, error.code, error.message, headers=headers, **error.detail)

    async def _http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        messages = {
            404: ("not_found", f"There is nothing at {request.url.path}."),
            405: ("method_not_allowed", f"{request.method} is not possible here."),
        }
        code, message = messages.get(error.status_code, (HTTPStatus(error.status_code).name.lower(), str(error.detail)))
        return self.answer_for(request.url.path)(error.status_code, code, message, headers=error.headers)

    async def _validation(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        problems = [{"field": _field(each["loc"]), "message": each["msg"]} for each in error.errors()[:MOST_TOLD]]
        said = "; ".join(f"{each['field']}: {each['message']}" for each in problems[:5])
        answer = self.answer_for(request.url.path)
        return answer(422, "invalid_request", f"The request is not valid: {said}.", errors=problems)

    async def _database(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, sa.exc.DBAPIError)  # noqa: S101
        if not is_outage(error):
            raise error
        log.warning("database is away", error=type(error.orig).__name__)
        return self._unavailable(request)

    async def _busy(self, request: Request, error: Exception) -> Response:
        log.warning("no database connection was free in time", error=type(error).__name__)
        return self._unavailable(request)

    def _unavailable(self, request: Request) -> Response:
        message = "The database does not answer right now. Nothing was changed; try again in a few seconds."
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return self.answer_for(request.url.path)(503, "database_unavailable", message, headers=headers)

    async def _gone(self, _: Request, __: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)


def _field(location: Sequence[int | str]) -> str:
    """Where in the request; never what was sent there, which may be a password."""
    return ".".join(str(part) for part in location[1:]) or str(location[0])


class RequestMiddleware:
    """Gives each request an id (the caller's, where it is a plain one), logs it, and answers 500 if nobody else did.

    Pure ASGI, so that streams pass through untouched.
    """

    def __init__(self, app: ASGIApp, answer_for: Callable[[str], Answer]) -> None:
        self._app = app
        self._answer_for = answer_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(REQUEST_ID.lower().encode(), b"").decode("latin-1")
        request_id = given if _ACCEPTED_ID.fullmatch(given) else str(uuid7())
        status = 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, named)
            except Exception as error:  # the outermost frame of a request
                log.exception("request failed", method=scope["method"], path=scope["path"], kind=type(error).__name__)
                if status:
                    raise
                message = "Something went wrong on our side. Try again; if it goes on, tell us the request id."
                await self._answer_for(scope["path"])(500, "internal", message)(scope, receive, named)
            log.info("request", method=scope["method"], path=scope["path"], status=status)
