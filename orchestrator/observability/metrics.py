"""Every metric a process of the control plane counts by itself. What the database knows is in `house`.

Names follow Prometheus: a unit, and `_total` for what only grows. Labels come from small fixed sets (a route's
template, never a path), so that nobody outside can make new series. Counters live in their process and begin at
zero with it: use `rate` and `increase`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from sqlalchemy.ext.asyncio import AsyncEngine

REGISTRY = CollectorRegistry()
"""Of this process."""

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STEP_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
JOB_S = (5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600)

REQUESTS = Counter("octavia_http_requests", "requests answered", ["method", "route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "octavia_http_request_duration_seconds",
    "time from a request's headers to the beginning of its answer",
    ["method", "route"],
    buckets=REQUEST_S,
    registry=REGISTRY,
)
REQUESTS_OPEN = Gauge("octavia_http_requests_in_progress", "requests being answered, streams too", registry=REGISTRY)
UPLOADED = Counter("octavia_upload_bytes", "bytes of uploads taken in", registry=REGISTRY)
FOLLOWERS = Gauge("octavia_event_followers", "event streams open", registry=REGISTRY)
CONNECTIONS = Gauge(
    "octavia_database_pool_connections", "connections of the process's pool", ["state"], registry=REGISTRY
)
CONNECTIONS_MOST = Gauge("octavia_database_pool_size", "connections the pool may have", registry=REGISTRY)

JOBS_ENDED = Counter("octavia_job_outcomes", "attempts at jobs decided", ["kind", "outcome"], registry=REGISTRY)
JOB_ERRORS = Counter("octavia_job_errors", "failed attempts by the code of their error", ["code"], registry=REGISTRY)
JOB_SECONDS = Histogram(
    "octavia_job_duration_seconds",
    "time from the start of the work to its completion",
    ["kind"],
    buckets=JOB_S,
    registry=REGISTRY,
)
JOB_WAIT_SECONDS = Histogram(
    "octavia_job_wait_seconds", "time a job waited for a worker", ["paid"], buckets=JOB_S, registry=REGISTRY
)
CREDITS = Counter("octavia_credits_posted", "credits moved by entries of the ledger", ["kind"], registry=REGISTRY)

STEPS = Counter("octavia_steps", "steps that ended", ["step", "result"], registry=REGISTRY)
STEP_SECONDS = Histogram(
    "octavia_step_duration_seconds",
    "time of a step with its waits for a place and retries",
    ["step"],
    buckets=STEP_S,
    registry=REGISTRY,
)
STEP_RETRIES = Counter(
    "octavia_step_retries", "steps tried again, by the error's code", ["step", "code"], registry=REGISTRY
)
PLACES = Gauge("octavia_places", "places of a worker", ["room", "state"], registry=REGISTRY)
PLACES_MOST = Gauge("octavia_places_size", "places there are", ["room"], registry=REGISTRY)
PROGRAMS = Gauge("octavia_media_processes", "processes of ffmpeg and its kin that run", ["program"], registry=REGISTRY)
SWEEP_FAILURES = Counter("octavia_sweep_failures", "parts of a sweep that failed", ["part"], registry=REGISTRY)
TAKEN_OVER = Counter("octavia_workflows_taken_over", "workflows taken over from dead workers", registry=REGISTRY)
BEAT = Gauge("octavia_worker_beat_timestamp_seconds", "when this worker last beat", registry=REGISTRY)

MODEL_CALLS = Counter("octavia_model_calls", "calls of the model plane", ["model", "result"], registry=REGISTRY)
MODEL_SECONDS = Histogram(
    "octavia_model_call_duration_seconds",
    "time of a call that was answered",
    ["model"],
    buckets=STEP_S,
    registry=REGISTRY,
)
MAILS = Counter("octavia_mail_attempts", "attempts to send an e-mail", ["result"], registry=REGISTRY)
DELIVERIES = Counter("octavia_webhook_attempts", "attempts to deliver a webhook", ["result"], registry=REGISTRY)
BUILD = Gauge(
    "octavia_build_info", "1; the labels say what runs", ["version", "workflows", "process"], registry=REGISTRY
)


class Pool(Protocol):
    """What there is to tell of a pool of connections."""

    def checkedout(self) -> int: ...
    def checkedin(self) -> int: ...
    def size(self) -> int: ...


class Room(Protocol):
    """What there is to tell of the places of a worker (`jobs.places`)."""

    @property
    def working(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def total(self) -> int: ...


def watch_pool(engine: AsyncEngine) -> None:
    """Tell of this engine's connections from now on."""
    pool = cast(Pool, engine.sync_engine.pool)
    CONNECTIONS.labels("in_use").set_function(pool.checkedout)
    CONNECTIONS.labels("idle").set_function(pool.checkedin)
    CONNECTIONS_MOST.set_function(pool.size)


def watch_room(name: str, room: Room) -> None:
    """Tell of these places from now on."""
    PLACES.labels(name, "in_use").set_function(lambda: room.working)
    PLACES.labels(name, "waiting").set_function(lambda: room.waiting)
    PLACES_MOST.labels(name).set_function(lambda: room.total)


def watch_followers(count: Callable[[], int]) -> None:
    """Tell of the event streams from now on."""
    FOLLOWERS.set_function(count)


@contextmanager
def running(program: str) -> Iterator[None]:
    """A process of this program runs during the body."""
    with PROGRAMS.labels(program).track_inprogress():
        yield


def begin_at_zero(kinds: tuple[str, ...], entries: tuple[str, ...]) -> None:
    """Make the series there will be, so that the first of something is seen as an increase."""
    for kind in kinds:
        JOB_SECONDS.labels(kind)
        for outcome in ("completed", "failed", "cancelled"):
            JOBS_ENDED.labels(kind, outcome)
    for entry in entries:
        CREDITS.labels(entry)
    for paid in ("true", "false"):
        JOB_WAIT_SECONDS.labels(paid)
    for counter in (MAILS, DELIVERIES):
        for result in ("sent", "delayed", "failed"):
            counter.labels(result)
    for program in ("ffmpeg", "ffprobe"):
        PROGRAMS.labels(program)
