"""A worker as a process of its own, for what needs no model plane."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.settings import Settings


@contextmanager
def worker_process(
    settings: Settings, folder: Path, name: str, module: str = "orchestrator.jobs.worker", **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """A worker process of its own, without a model plane; killed at the end at the latest."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("OCTAVIA_")},
        "OCTAVIA_DATA_DIR": str(folder),
        "OCTAVIA_DATABASE_URL": str(settings.database_url),
        "OCTAVIA_MODEL_ADDRESS": "127.0.0.1:1",
        "OCTAVIA_STALE_AFTER_S": "2",
        "OCTAVIA_EXECUTOR_ID": name,
        "OCTAVIA_SMTP_HOST": "127.0.0.1",
        "OCTAVIA_SMTP_PORT": str(settings.smtp_port or 25),
        "OCTAVIA_SMTP_TLS": "none",
        "OCTAVIA_SMTP_TIMEOUT_S": "5",
        **variables,
    }
    command = [sys.executable, "-m", module]
    with (folder / f"{name}.log").open("a") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
