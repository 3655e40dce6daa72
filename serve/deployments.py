"""What Ray Serve deploys: a replica per model, and the protocol in front of them."""

import asyncio
import logging
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

log = logging.getLogger(__name__)

METRICS_TIMEOUT_S = 5.0
PROMETHEUS = "text/plain; version=0.0.4"

stay_private()  # Ray imports this module in the ingress before it starts its server


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
    """What the agents of all nodes export, for Prometheus; a node that does not answer is left out and logged."""
    del request
    nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
    addresses = [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes]
    async with httpx.AsyncClient(timeout=METRICS_TIMEOUT_S) as client:
        answers = await asyncio.gather(*(client.get(each) for each in addresses), return_exceptions=True)
    pages = []
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, httpx.Response) and answer.is_success:
            pages.append(answer.text)
        else:
            log.warning("no metrics from %s: %r", address, answer)
    return Response(exposition(pages), media_type=PROMETHEUS)
