"""A process begins to tell: its metrics on a port of their own, its spans to the collector."""

from importlib.metadata import version
from typing import Literal

import structlog
from prometheus_client import start_http_server
from prometheus_client.registry import Collector

from orchestrator.credits.models import KINDS as ENTRIES
from orchestrator.jobs.durable import VERSION
from orchestrator.jobs.models import KINDS
from orchestrator.observability import metrics
from orchestrator.observability.disk import Disk, Folder
from orchestrator.observability.tracing import configure_tracing
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

Process = Literal["api", "worker"]


def begin(settings: Settings, process: Process, *more: Collector) -> None:
    """Tell this process's metrics, and those that `more` collect, and send its spans, as the settings say.

    Where the port is taken, the process ends with exit code 1 and a line that says so.
    """
    configure_tracing(settings, process)
    if settings.metrics_port is None:
        return
    metrics.begin_at_zero(KINDS, ENTRIES)
    metrics.BUILD.labels(version("octavia"), VERSION, process).set(1)
    scratch = Folder(settings.scratch_root, settings.scratch_room_bytes)
    for collector in (Disk({"data": Folder(settings.data_dir), "scratch": scratch}), *more):
        metrics.REGISTRY.register(collector)
    try:
        start_http_server(settings.metrics_port, settings.metrics_host, metrics.REGISTRY)
    except OSError as error:
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        log.error(  # noqa: TRY400 - the message says it all
            "the metrics cannot be told: set OCTAVIA_METRICS_PORT to a free port", at=where, error=error.strerror
        )
        raise SystemExit(1) from None
    log.info("metrics are told", host=settings.metrics_host, port=settings.metrics_port)
