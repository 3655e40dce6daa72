"""What Ray Serve deploys: a replica per model, and the protocol in front of them."""

from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from serve.backends import RayBackend
from serve.protocol.dataplane import DataPlane
from serve.protocol.grpc import GrpcService
from serve.protocol.http import http_app
from serve.protocol.ports import stay_private
from serve.replica import ModelReplica
from serve.repository import ModelSpec
from serve.settings import get_settings

__all__ = ["ModelReplica", "Protocol"]

stay_private()  # Ray imports this module in a replica before it starts the replica's server


@serve.ingress()
class Protocol(GrpcService):
    """The ingress: Open Inference Protocol in front of the models' handles."""

    def __init__(self, specs: Mapping[str, ModelSpec], **handles: DeploymentHandle[Any]) -> None:
        backends = {name: RayBackend(specs[name], handle) for name, handle in handles.items()}
        self._plane = DataPlane(specs, backends)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The protocol over HTTP, asked for by Ray once the replica has been made."""
        return http_app(self._plane, get_settings().serve_max_request_bytes)
