"""What Ray's proxies are told before they start, and the servicer function it is given.

Ray binds its gRPC proxy to every interface, answers NOT_FOUND before an application is deployed, tells INTERNAL when
the replica it had chosen dies, takes bodies of any size, and says over HTTP in plain text what went wrong. The protocol
has no authentication, and its clients retry UNAVAILABLE and read JSON, so all of it is corrected here, through the
callback Ray offers for customising proxies
(RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.protocol.proxy:prepare). tests/serve/test_app.py holds Ray to it.
"""

import json
import math
import os
from importlib import import_module
from typing import Any

import grpc
from ray.exceptions import RayActorError
from ray.serve._private.proxy_request_response import ResponseStatus
from starlette.middleware import Middleware

from serve.errors import RETRY_AFTER_S
from serve.protocol.limits import BodyLimit
from serve.protocol.messages import add_GRPCInferenceServiceServicer_to_server
from serve.settings import get_settings

CALLBACK = "serve.protocol.proxy:prepare"
SERVICER = "serve.protocol.proxy.add_GRPCInferenceServiceServicer_to_server"
HOST_VARIABLE = "OCTAVIA_SERVE_HOST"

CONNECTION_AGE_MS = 120_000
"""A client is then asked to connect anew (calls that run go on), and so learns of proxies that have come since."""

STOPPED = "the replica that had this request stopped; repeating it is safe"
STARTING = "the models are starting; try again"
FAILED = "the server failed; its log says why"

default_impl: Any = import_module("ray.serve._private.default_impl")
grpc_util: Any = import_module("ray.serve._private.grpc_util")
ray_proxy: Any = import_module("ray.serve._private.proxy")

__all__ = ["CALLBACK", "SERVICER", "add_GRPCInferenceServiceServicer_to_server", "prepare"]


def prepare() -> list[Middleware]:
    """Called by Ray in the proxy process before its servers start. Returns the HTTP middleware."""
    limit = get_settings().serve_max_request_bytes
    grpc_util.DEFAULT_GRPC_SERVER_OPTIONS = [
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    ]
    default_impl.add_grpc_address = _listen
    ray_proxy.gRPCProxy.not_found_response = _starting
    ray_proxy.get_grpc_response_status = _status
    ray_proxy.HTTPProxy.not_found_response = _starting_http
    ray_proxy.get_http_response_status = _status_http
    ray_proxy.send_http_response_on_exception = _send_http
    return [Middleware(BodyLimit, limit=limit)]


def _listen(server: Any, address: str) -> None:
    """Binds to the configured host instead of [::]; a busy port is an error, never shared."""
    port = address.rsplit(":", 1)[1]
    bound = server.add_insecure_port(f"{os.environ.get(HOST_VARIABLE, '127.0.0.1')}:{port}")
    if bound != int(port):
        raise OSError(f"gRPC port {port} is taken by another program; choose another with OCTAVIA_SERVE_GRPC_PORT")


async def _starting(self: Any, proxy_request: Any) -> Any:
    yield ResponseStatus(code=grpc.StatusCode.UNAVAILABLE, message=STARTING, is_error=True)


_ray_status = ray_proxy.get_grpc_response_status


def _status(exception: BaseException, request_timeout_s: float | None, request_id: str) -> ResponseStatus:
    if isinstance(exception, RayActorError):
        return ResponseStatus(code=grpc.StatusCode.UNAVAILABLE, message=STOPPED, is_error=True)
    status: ResponseStatus = _ray_status(exception, request_timeout_s, request_id)
    if status.code == grpc.StatusCode.INTERNAL:
        return ResponseStatus(code=status.code, message=FAILED, is_error=True)
    return status


async def _starting_http(self: Any, proxy_request: Any) -> Any:
    status = ResponseStatus(code=503, message=STARTING, is_error=True)
    for message in _send_http(status, False):
        yield message
    yield status


_ray_status_http = ray_proxy.get_http_response_status


def _status_http(exception: BaseException, request_timeout_s: float | None, request_id: str) -> ResponseStatus:
    if isinstance(exception, RayActorError):
        return ResponseStatus(code=503, message=STOPPED, is_error=True)
    status: ResponseStatus = _ray_status_http(exception, request_timeout_s, request_id)
    return ResponseStatus(code=500, message=FAILED, is_error=True) if status.code == 500 else status


def _send_http(status: ResponseStatus, response_started: bool) -> list[dict[str, Any]]:
    """The ASGI messages of the protocol's JSON error."""
    if response_started:
        return []
    headers = [(b"content-type", b"application/json")]
    if status.code in (429, 503):
        headers.append((b"retry-after", str(math.ceil(RETRY_AFTER_S)).encode()))
    body = json.dumps({"error": status.message}, ensure_ascii=False).encode()
    return [
        {"type": "http.response.start", "status": int(status.code), "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
