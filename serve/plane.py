"""Ray and Ray Serve on this machine: start the application of serve.yaml on loopback, and stop it."""

import logging
import os
import socket
import time
from typing import Any

import psutil
import ray
from ray import serve
from ray.serve import Application
from ray.serve.config import HTTPOptions, gRPCOptions
from ray.serve.schema import ServeDeploySchema

from serve.app import APPLICATION, assemble, options, read_config
from serve.settings import ServeSettings
from serve.supervise import end_descendants

OBJECT_STORE_BYTES = 200 * 2**20
START_ATTEMPTS = 3

log = logging.getLogger(__name__)


class PortError(RuntimeError):
    """A port of the settings is taken."""


def check_ports(settings: ServeSettings) -> None:
    """PortError naming the first port that is taken."""
    for kind in ("HTTP", "GRPC", "METRICS"):
        port = getattr(settings, f"serve_{kind.lower()}_port")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.serve_host, port))
            except OSError as error:
                raise PortError(
                    f"port {port} on {settings.serve_host} is not free ({error.strerror}); "
                    f"stop what uses it or choose another with OCTAVIA_SERVE_{kind}_PORT"
                ) from error


def application(settings: ServeSettings) -> Application:
    """The application of serve.yaml, to be started. RepositoryError and WeightsError when it cannot be."""
    return assemble(settings, options(read_config(settings.serve_config).applications[0]))


def start_ray(settings: ServeSettings) -> None:
    """A Ray of our own on this machine, without dashboard, with a small object store.

    Ray gives its own processes 30 s to start, which a busy machine may not manage: then it is tried again.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            _init_ray(settings)
        except Exception as error:
            if "timed out during startup" not in str(error) or attempt == START_ATTEMPTS:
                raise
            log.warning("Ray did not start within its 30 s; trying again")
            ray.shutdown()
            end_descendants()
        else:
            return


def _init_ray(settings: ServeSettings) -> None:
    ray.init(
        address="local",
        num_cpus=max(1, os.cpu_count() or 1),
        num_gpus=settings.serve_num_gpus,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=True,
        namespace="octavia",
        _node_ip_address="127.0.0.1",
        _metrics_export_port=settings.serve_metrics_port,
    )


def start_models(settings: ServeSettings, application: Application) -> dict[str, Any]:
    """Starts proxies and models; the ready line once all have loaded."""
    config = read_config(settings.serve_config)
    http = config.http_options.model_dump() | {"host": settings.serve_host, "port": settings.serve_http_port}
    grpc = config.grpc_options.model_dump() | {"port": settings.serve_grpc_port}
    serve.start(
        proxy_location=config.proxy_location,
        http_options=HTTPOptions(**http),
        grpc_options=gRPCOptions(**grpc),
        logging_config=config.logging_config,
    )
    deploy(config, application)
    return {
        "event": "ready",
        "grpc": f"{settings.serve_host}:{settings.serve_grpc_port}",
        "http": f"{settings.serve_host}:{settings.serve_http_port}",
        "seconds": round(time.time() - psutil.Process().create_time(), 1),
        "pid": os.getpid(),
    }


def deploy(config: ServeDeploySchema, application: Application) -> None:
    """Starts the application, or updates the one that runs: Ray replaces what changed, a replica at a time, and each
    old one first ends what it has begun.
    """
    serve.run(
        application,
        name=APPLICATION,
        route_prefix=config.applications[0].route_prefix,
        logging_config=config.logging_config,
    )


def update(settings: ServeSettings) -> None:
    """Reads serve.yaml and model_repo again. Raises what `application` raises, and then nothing has changed."""
    deploy(read_config(settings.serve_config), application(settings))


def stop() -> None:
    """Lets running requests end (each deployment's graceful_shutdown_timeout_s), then stops every process of Ray."""
    if ray.is_initialized():
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()
