"""Which paths answer GET where, asked of the programs themselves."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

API, MODELS = "api", "models"
HTTP, DASHBOARD, AGENT = 8100, 8265, 52365
_RAYS = re.compile(r'@routes\.get\("(/api/[a-z_]+)"\)')


@cache
def of_the_api() -> frozenset[str]:
    """The API's routes."""
    from orchestrator.app import create_app  # noqa: PLC0415 - it takes seconds to import
    from orchestrator.settings import Settings  # noqa: PLC0415

    return frozenset(getattr(route, "path", "") for route in create_app(Settings()).routes)


@cache
def of_the_protocol() -> frozenset[str]:
    """The Open Inference Protocol's, which the model plane's proxies pass on, without parameters in the path."""
    from serve.protocol.dataplane import DataPlane  # noqa: PLC0415
    from serve.protocol.http import http_app  # noqa: PLC0415

    app = http_app(DataPlane({}, {}), 1)
    return frozenset(getattr(route, "path", "") for route in app.routes) | {"/-/healthz", "/-/routes"}


@cache
def of_rays(module: str) -> frozenset[str]:
    """Those in the source of one of Ray's own servers: it has no list."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return frozenset()
    return frozenset(_RAYS.findall(Path(spec.origin).read_text(encoding="utf-8")))


def _dashboard() -> frozenset[str]:
    return of_rays("ray.dashboard.modules.reporter.reporter_head")


def _agent() -> frozenset[str]:
    return of_rays("ray.dashboard.modules.reporter.healthz_agent")


HTTP_ROUTES: Mapping[tuple[str, int], Callable[[], frozenset[str]]] = {
    (API, 8000): of_the_api,
    (MODELS, HTTP): of_the_protocol,
    (MODELS, DASHBOARD): _dashboard,
    (MODELS, AGENT): _agent,
}
"""By component and port."""


def answered(component: str, port: int) -> frozenset[str]:
    """The paths that answer GET at a port; none where it is not known what listens there."""
    routes = HTTP_ROUTES.get((component, port))
    return routes() if routes else frozenset()
