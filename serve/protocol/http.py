"""Open Inference Protocol over HTTP: an ASGI application over the data plane, translating and nothing else.

Paths, bodies and headers as in Triton's HTTP/REST and in the protocol's version 2, binary tensor extension included.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serve.errors import Code, ModelError, internal, invalid, unavailable
from serve.protocol.compression import SMALLEST, WBITS, accepted, deflated, inflated
from serve.protocol.dataplane import EXTENSIONS, SERVER_NAME, SERVER_VERSION, DataPlane
from serve.protocol.http_messages import InferenceBody
from serve.protocol.json_config import config_json
from serve.protocol.json_text import encoded, parsed
from serve.protocol.limits import OversizeError
from serve.repository import VERSION

log = logging.getLogger(__name__)

STATUS: Mapping[Code, int] = {
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
HEADER_LENGTH = "Inference-Header-Content-Length"
MODEL = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
ELSEWHERE = (  # extensions of Triton's that we do not offer
    "/v2/repository/models/{model}/{operation:path}",
    "/v2/systemsharedmemory/{rest:path}",
    "/v2/cudasharedmemory/{rest:path}",
    "/v2/trace/setting",
    "/v2/logging",
    *(f"{model}/{name}" for model in MODEL for name in ("trace/setting", "generate", "generate_stream")),
)

Endpoint = Callable[[Request], Awaitable[Response]]


def reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(encoded(content), status, headers, media_type="application/json")


def refusal(error: ModelError) -> Response:
    """The protocol's error of a ModelError, with Retry-After (seconds) where repeating helps."""
    again = {} if error.retry_after_s is None else {"Retry-After": str(math.ceil(error.retry_after_s))}
    status = 413 if isinstance(error, OversizeError) else STATUS[error.code]
    return reply({"error": error.message}, status, again)


def answered(endpoint: Endpoint) -> Endpoint:
    """Turns a ModelError into its status; anything else is 500, its cause logged."""

    @wraps(endpoint)
    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ModelError as error:
            return refusal(error)
        except ClientDisconnect:
            return refusal(invalid("the body was not sent to its end"))
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return refusal(internal("the server failed; its log says why"))

    return call


class HttpService:
    """The endpoints of the protocol over a data plane."""

    def __init__(self, plane: DataPlane, max_bytes: int) -> None:
        self._plane = plane
        self._max_bytes = max_bytes

    def routes(self) -> list[Route]:
        """What is served. /v2/models/stats stands before a model of that name would."""
        get: list[tuple[str, Endpoint]] = [
            ("/v2", self.server),
            ("/v2/", self.server),
            ("/v2/health/live", self.live),
            ("/v2/health/ready", self.ready),
            ("/v2/models/stats", self.statistics),
        ]
        post: list[tuple[str, Endpoint]] = [("/v2/repository/index", self.index)]
        for path in MODEL:
            get += [(path, self.metadata), (f"{path}/ready", self.model_ready), (f"{path}/config", self.config)]
            get.append((f"{path}/stats", self.statistics))
            post.append((f"{path}/infer", self.infer))
        served = [Route(path, answered(endpoint), methods=["GET"]) for path, endpoint in get]
        served += [Route(path, answered(endpoint), methods=["POST"]) for path, endpoint in post]
        return served + [Route(path, answered(self.elsewhere), methods=["GET", "POST"]) for path in ELSEWHERE]

    async def server(self, request: Request) -> Response:
        """Server metadata."""
        del request
        return reply({"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": list(EXTENSIONS)})

    async def live(self, request: Request) -> Response:
        """The process answers."""
        del request
        return reply({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 when every model is ready, else 503."""
        del request
        if not await self._plane.ready():
            return refusal(unavailable("not every model is ready"))
        return reply({"ready": True})

    async def model_ready(self, request: Request) -> Response:
        """200 when the model is ready, else 503."""
        name, version = _model(request)
        if not await self._plane.model_ready(name, version):
            return refusal(unavailable(f"model '{name}' is not ready"))
        return reply({"name": name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """The model's tensors."""
        spec = self._plane.spec(*_model(request))
        inputs, outputs = (
            [{"name": each.name, "datatype": each.datatype, "shape": spec.shape(each)} for each in tensors]
            for tensors in (spec.inputs, spec.outputs)
        )
        described = {"name": spec.name, "versions": [VERSION], "platform": spec.platform}
        return reply({**described, "inputs": inputs, "outputs": outputs})

    async def config(self, request: Request) -> Response:
        """The model's configuration, as Triton's JSON has it."""
        return reply(config_json(await self._plane.config(*_model(request))))

    async def statistics(self, request: Request) -> Response:
        """Counts and durations of one model or of all."""
        return reply(self._plane.statistics(*_model(request)))

    async def index(self, request: Request) -> Response:
        """The models and their states; {"ready": true} asks for those that are ready."""
        body = await request.body()
        only_ready = bool(body) and parsed(body).get("ready", False) is True
        models = await self._plane.index(only_ready=only_ready)
        return reply(
            [
                {"name": name, "version": version, "state": state} | ({"reason": reason} if reason else {})
                for name, version, state, reason in models
            ]
        )

    async def infer(self, request: Request) -> Response:
        """One inference."""
        name, version = _model(request)
        spec = self._plane.spec(name, version)
        body = await request.body()
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            if coding not in WBITS:
                message = f"Content-Encoding {coding} is not supported; use {' or '.join(WBITS)}"
                return reply({"error": message}, 415, {"Accept-Encoding": ", ".join(WBITS)})
            body = await asyncio.to_thread(inflated, body, coding, self._max_bytes)
        exchange = InferenceBody(spec, body, request.headers.get(HEADER_LENGTH))
        traceparent = request.headers.get("traceparent")
        answer = await self._plane.answer(name, version, exchange.request, exchange.answer, traceparent)
        return await _sent(request, *answer)

    async def elsewhere(self, request: Request) -> Response:
        """An extension that is not offered."""
        raise ModelError(Code.UNIMPLEMENTED, f"this server does not offer {request.method} {request.url.path}")


async def _sent(request: Request, body: bytes, header_length: int | None) -> Response:
    """An inference's answer, compressed as the caller prefers where that is worth it."""
    headers = {} if header_length is None else {HEADER_LENGTH: str(header_length)}
    coding = accepted(request.headers.get("accept-encoding", ""))
    if coding is not None and len(body) >= SMALLEST:
        body = await asyncio.to_thread(deflated, body, coding)
        headers["Content-Encoding"] = coding
    media = "application/json" if header_length is None else "application/octet-stream"
    return Response(body, 200, headers, media_type=media)


def _model(request: Request) -> tuple[str, str]:
    return request.path_params.get("model", ""), request.path_params.get("version", "")


async def _no_such_path(request: Request, error: Exception) -> Response:
    """Paths and methods that the router does not know, in the protocol's form."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    said = {404: "there is no", 405: "wrong method:"}.get(error.status_code, error.detail)
    message = f"{said} {request.method} {request.url.path}; the Open Inference Protocol is served under /v2"
    return reply({"error": message}, error.status_code, error.headers)


def http_app(plane: DataPlane, max_bytes: int) -> Starlette:
    """The ASGI application. A compressed body may be of `max_bytes` once that is undone; BodyLimit bounds all."""
    app = Starlette(routes=HttpService(plane, max_bytes).routes(), exception_handlers={HTTPException: _no_such_path})
    app.router.redirect_slashes = False
    return app
