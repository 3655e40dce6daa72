"""What Ray Serve deploys: a replica per model, and the protocol in front of them."""

from collections.abc import Mapping
from typing import Any

from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse

from serve.backends import RayBackend
from serve.protocol.dataplane import DataPlane
from serve.protocol.grpc import GrpcService
from serve.protocol.ports import stay_private
from serve.replica import ModelReplica
from serve.repository import ModelSpec

__all__ = ["ModelReplica", "Protocol"]

stay_private()  # Ray imports this module in a replica before it starts the replica's server


class Protocol(GrpcService):
    """The ingress: Open Inference Protocol in front of the models' handles."""

    def __init__(self, specs: Mapping[str, ModelSpec], **handles: DeploymentHandle[Any]) -> None:
        backends = {name: RayBackend(specs[name], handle) for name, handle in handles.items()}
        self._plane = DataPlane(specs, backends)

    async def __call__(self, request: Request) -> JSONResponse:
        """The protocol is spoken over gRPC only."""
        return JSONResponse({"error": "this server speaks the Open Inference Protocol over gRPC only"}, status_code=501)
