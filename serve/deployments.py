"""What Ray Serve deploys: a replica per model, and the protocol in front of them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve.backends import RayBackend
from serve.ensemble import with_ensembles
from serve.logs import log_as_json
from serve.metrics import RequestMetrics, exposition
from serve.protocol.dataplane import DataPlane
from serve.protocol.grpc import GrpcService
from serve.protocol.http import http_app
from serve.protocol.ports import stay_private
from serve.replica import ModelReplica
from serve.repository import ModelSpec
from serve.settings import get_settings

__all__ = ["ModelReplica", "Protocol"]

METRICS_TIMEOUT_S = 5.0
PROMETHEUS = "text/plain; version=0.0.4"

stay_private()  # Ray imports this module in a replica before it starts the replica's server


@serve.ingress()
class Protocol(GrpcService):
    """The ingress: Open Inference Protocol in front of the models' handles."""

    def __init__(
        self, specs: Mapping[str, ModelSpec], absent: Mapping[str, str], **handles: DeploymentHandle[Any]
    ) -> None:
        log_as_json()
        backends = {name: RayBackend(specs[name], handle) for name, handle in handles.items()}
        self._plane = DataPlane(specs, with_ensembles(specs, backends), RequestMetrics(), absent)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The protocol over HTTP, asked for by Ray once the replica has been made, and beside it the metrics."""
        app = http_app(self._plane, get_settings().serve_max_request_bytes)
        app.routes.append(Route("/metrics", metrics))
        return app


async def metrics(request: Request) -> Response:
    """What the agents of all nodes export, in Prometheus' text form."""
    del request
    nodes = await asyncio.to_thread(ray.nodes)
    async with httpx.AsyncClient(timeout=METRICS_TIMEOUT_S) as client:
        pages = await asyncio.gather(
            *(
                client.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics")
                for node in nodes
                if node["Alive"]
            )
        )
    return Response(exposition(page.text for page in pages), media_type=PROMETHEUS)
