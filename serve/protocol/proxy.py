"""What Ray's gRPC proxy is told before it starts, and the servicer function it is given.

Ray binds its gRPC proxy to every interface, answers NOT_FOUND before an application is deployed, and tells INTERNAL
when the replica it had chosen dies. The protocol has no authentication and its clients retry UNAVAILABLE, so all three
are corrected here, through the callback Ray offers for customising proxies
(RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.protocol.proxy:prepare). tests/serve/test_proxy.py holds Ray to it.
"""

import os
from importlib import import_module
from typing import Any

import grpc
from ray.exceptions import RayActorError
from ray.serve._private.proxy_request_response import ResponseStatus

from serve.protocol.messages import add_GRPCInferenceServiceServicer_to_server

CALLBACK = "serve.protocol.proxy:prepare"
SERVICER = "serve.protocol.proxy.add_GRPCInferenceServiceServicer_to_server"
HOST_VARIABLE = "OCTAVIA_SERVE_HOST"

default_impl: Any = import_module("ray.serve._private.default_impl")
ray_proxy: Any = import_module("ray.serve._private.proxy")

__all__ = ["CALLBACK", "SERVICER", "add_GRPCInferenceServiceServicer_to_server", "prepare"]


def prepare() -> list[Any]:
    """Called by Ray in the proxy process before its servers start. Returns no HTTP middleware."""
    default_impl.add_grpc_address = _listen
    ray_proxy.gRPCProxy.not_found_response = _starting
    ray_proxy.get_grpc_response_status = _status
    return []


def _listen(server: Any, address: str) -> None:
    """Binds to the configured host instead of [::]; a busy port is an error, never shared."""
    port = address.rsplit(":", 1)[1]
    bound = server.add_insecure_port(f"{os.environ.get(HOST_VARIABLE, '127.0.0.1')}:{port}")
    if bound != int(port):
        raise OSError(f"gRPC port {port} is taken by another program; choose another with OCTAVIA_SERVE_GRPC_PORT")


async def _starting(self: Any, proxy_request: Any) -> Any:
    yield ResponseStatus(code=grpc.StatusCode.UNAVAILABLE, message="the models are starting; try again", is_error=True)


_ray_status = ray_proxy.get_grpc_response_status


def _status(exception: BaseException, request_timeout_s: float | None, request_id: str) -> ResponseStatus:
    if isinstance(exception, RayActorError):
        message = "the replica that had this request stopped; repeating it is safe"
        return ResponseStatus(code=grpc.StatusCode.UNAVAILABLE, message=message, is_error=True)
    status: ResponseStatus = _ray_status(exception, request_timeout_s, request_id)
    if status.code == grpc.StatusCode.INTERNAL:
        return ResponseStatus(code=status.code, message="the server failed; its log says why", is_error=True)
    return status
