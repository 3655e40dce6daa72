"""API and worker tell their metrics where the settings say, and nowhere else."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from tests.fixtures_api import api_process
from tests.fixtures_worker import worker_process

OF_ALL = {"octavia_build_info", "octavia_disk_free_bytes", "octavia_database_pool_size", "process_open_fds"}


def names(port: int) -> set[str]:
    """The names of the series told at a port, once it is there."""
    deadline = time.monotonic() + 120
    while True:
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=60).text
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return {line.partition(" ")[0].partition("{")[0] for line in text.splitlines() if not line.startswith("#")}


def test_an_api_tells_of_its_requests_and_of_the_house(app_settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with api_process(app_settings, tmp_path / "api.log", {"OCTAVIA_METRICS_PORT": str(port)}) as api:
        told = names(port)
        assert httpx.get(f"{api.url}/metrics", trust_env=False, timeout=60).status_code == 404
    assert told >= OF_ALL | {"octavia_http_requests_total", "octavia_queue_age_seconds", "octavia_workers"}


def test_a_worker_tells_of_its_places_and_its_beat(app_settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with worker_process(app_settings, tmp_path, "only", OCTAVIA_METRICS_PORT=str(port)):
        deadline = time.monotonic() + 120
        while not {"octavia_places", "octavia_worker_beat_timestamp_seconds"} <= (told := names(port)):
            assert time.monotonic() < deadline, told
            time.sleep(0.2)
    assert told >= OF_ALL | {"octavia_job_outcomes_total", "octavia_credits_posted_total"}


@pytest.mark.parametrize("module", ["orchestrator.app", "orchestrator.jobs.worker"])
def test_a_port_that_is_taken_ends_the_start_with_the_setting_to_change(
    app_settings: Settings, tmp_path: Path, module: str
) -> None:
    port = free_port()
    environment = {
        "OCTAVIA_DATA_DIR": str(tmp_path),
        "OCTAVIA_DATABASE_URL": str(app_settings.database_url),
        "OCTAVIA_METRICS_PORT": str(port),
    }
    with socket.create_server(("127.0.0.1", port)):
        ended = subprocess.run(
            [sys.executable, "-m", module],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
    assert ended.returncode == 1
    assert "OCTAVIA_METRICS_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr
