"""Fixtures of the whole suite: one PostgreSQL, one model plane, derandomised hypothesis."""

import os
import signal

from hypothesis import HealthCheck, settings

from orchestrator.local import ports

# A shell without a terminal starts what it runs in the background with SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Processes that share the suite begin nothing on a port that another has been given and does not listen on yet.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    ports.PORTS = ports.Ports(20_000 + 1_000 * (int(worker.removeprefix("gw")) % 8), 1_000)

settings.register_profile(
    "octavia", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("octavia")

pytest_plugins = [
    "tests.fixtures_model_plane",
    "tests.fixtures_control_plane",
    "tests.fixtures_system",
    "tests.fixtures_web_frontend",
    "tests.fixtures_polar",
    "tests.fixtures_s3",
    "tests.fixtures_workshop",
]
