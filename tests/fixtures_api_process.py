"""The API as a process of its own, for what only shows when one dies."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.settings import Settings


@contextmanager
def api_process(settings: Settings, folder: Path, name: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """An API process of its own; killed at the end at the latest."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("OCTAVIA_")}
    own = {"OCTAVIA_DATA_DIR": str(folder), "OCTAVIA_DATABASE_URL": str(settings.database_url)}
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.app"],
            env=known | own | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
