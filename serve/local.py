"""The model plane on one machine: Ray and Ray Serve on loopback, started, watched and stopped."""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any

from serve.settings import ServeSettings

ENVIRONMENT = {  # read by Ray and the libraries when they are imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too: the node is 127.0.0.1 and its servers listen there only
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # else SIGTERM prints a C++ stack
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.protocol.proxy:prepare",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYANNOTE_METRICS_ENABLED": "false",
    "COQUI_TOS_AGREED": "0",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "2",
}
OBJECT_STORE_BYTES = 200 * 2**20
PARENT_VARIABLE = "OCTAVIA_PARENT_PID"
PARENT_POLL_S = 1.0

log = logging.getLogger("serve")


class PortError(RuntimeError):
    """A port of the settings is taken."""


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def check_ports(settings: ServeSettings) -> None:
    """PortError naming the first port that is taken."""
    ports = {"HTTP": "serve_http_port", "GRPC": "serve_grpc_port", "METRICS": "serve_metrics_port"}
    for kind, name in ports.items():
        port = getattr(settings, name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.serve_host, port))
            except OSError as error:
                raise PortError(
                    f"port {port} on {settings.serve_host} is not free ({error.strerror}); "
                    f"stop what uses it or choose another with OCTAVIA_SERVE_{kind}_PORT"
                ) from error


def start(settings: ServeSettings) -> dict[str, Any]:
    """Starts Ray, Ray Serve and all models; returns when they are ready. The environment is set already."""
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions, gRPCOptions

    from serve.app import APPLICATION, assemble, options, read_config

    began = time.monotonic()
    config = read_config()
    application = assemble(settings, options(config.applications[0]))
    ray.init(
        address="local",
        num_cpus=max(1, os.cpu_count() or 1),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=True,
        configure_logging=True,
        namespace="octavia",
        _node_ip_address="127.0.0.1",
        _metrics_export_port=settings.serve_metrics_port,
    )
    on_signal(_raise_stopped)
    http = config.http_options.model_dump() | {"host": settings.serve_host, "port": settings.serve_http_port}
    serve.start(
        proxy_location=config.proxy_location,
        http_options=HTTPOptions(**http),
        grpc_options=gRPCOptions(**config.grpc_options.model_dump() | {"port": settings.serve_grpc_port}),
        logging_config=config.logging_config,
    )
    serve.run(application, name=APPLICATION, route_prefix=config.applications[0].route_prefix)
    return {
        "event": "ready",
        "grpc": f"{settings.serve_host}:{settings.serve_grpc_port}",
        "http": f"{settings.serve_host}:{settings.serve_http_port}",
        "seconds": round(time.monotonic() - began, 1),
        "pid": os.getpid(),
    }


def stop() -> None:
    """Lets running requests end (each deployment's graceful_shutdown_timeout_s), then stops every process of Ray."""
    import ray
    from ray import serve

    if ray.is_initialized():
        serve.shutdown()
        ray.shutdown()


def watch_parent() -> None:
    """Stops the plane when the process named by OCTAVIA_PARENT_PID is gone, even by kill -9."""
    named = os.environ.get(PARENT_VARIABLE)
    if not named:
        return

    def watch() -> None:
        while _alive(int(named)):
            time.sleep(PARENT_POLL_S)
        log.warning("the parent process %s is gone: stopping", named)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Stopped(SystemExit):
    """A signal asked us to stop while starting."""


def main() -> int:
    """Runs the plane. 0 when stopped by a signal, 1 when it could not start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    on_signal(_raise_stopped)
    watch_parent()
    try:
        return _run()
    except Stopped:
        return 0
    finally:
        on_signal(signal.SIG_IGN)
        stop()


def on_signal(action: Any) -> None:
    """What SIGTERM and SIGINT do from now on. Ray sets its own in ray.init, so this is called again after it."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, action)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    del frame
    on_signal(signal.SIG_IGN)
    raise Stopped(128 + number)


def _run() -> int:
    from serve.repository import RepositoryError
    from serve.weights_errors import WeightsError

    settings = ServeSettings()
    os.environ["OCTAVIA_SERVE_HOST"] = settings.serve_host
    try:
        check_ports(settings)
        ready = start(settings)
    except (PortError, RepositoryError, WeightsError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1
    print(json.dumps(ready), flush=True)  # noqa: T201 - the ready line is the interface
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
