"""A running Octavia (database, API, worker) on the suite's model plane, as `octavia up` starts it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from orchestrator.local.client import Client
from orchestrator.local.ports import free_port

T = TypeVar("T")
SAMPLE = Path(__file__).parents[1] / "samples" / "sense-and-sensibility.mp4"


@dataclass
class System:
    """An `octavia up` in a process of its own."""

    data_dir: Path
    environment: dict[str, str]
    arguments: tuple[str, ...] = ()
    """Options of `octavia up`."""
    process: subprocess.Popen[bytes] = field(init=False)
    state: dict[str, Any] = field(init=False)

    def start(self) -> None:
        self.data_dir.mkdir(exist_ok=True)
        with (self.data_dir / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli", "up", *self.arguments],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        state = self.data_dir / "up.json"
        deadline = time.monotonic() + 120
        while not state.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"`octavia up` did not start: {self.log()}")
            time.sleep(0.1)
        self.state = json.loads(state.read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=90)

    def log(self) -> str:
        return (self.data_dir / "up.log").read_text(errors="replace")[-4000:]

    def token(self) -> str:
        return (self.data_dir / "token").read_text().strip()

    def ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Run one conversation with the API."""

        async def run() -> T:
            async with Client(self.state["api_url"], self.token()) as client:
                return await work(client)

        return asyncio.run(run())

    def worker(self) -> psutil.Process:
        """The worker process that is running now."""
        return self._child("orchestrator.jobs.worker")

    def api(self) -> psutil.Process:
        """The API's process that is running now."""
        return self._child("orchestrator.app")

    def _child(self, module: str) -> psutil.Process:
        """It may be about to be started again."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if module in child.cmdline():
                        return child
            time.sleep(0.1)
        raise AssertionError(f"no {module} runs: {self.log()}")


async def finish(client: Client, job: dict[str, Any], seconds: float = 240) -> dict[str, Any]:
    """Follow a job to its end; the job as it is then."""

    async def follow() -> None:
        async for _ in client.follow(job["id"]):
            pass

    await asyncio.wait_for(follow(), seconds)
    return await client.job(job["id"])


async def run_job(client: Client, media: Path, **request: Any) -> dict[str, Any]:
    """Upload, start, follow: a finished job."""
    uploaded = await client.upload(media)
    return await finish(client, await client.start({"media_id": uploaded["id"], **request}))


@pytest.fixture(scope="session")
def system(model_plane: str, server_folder: Path) -> Iterator[System]:
    """One system for all tests that do not break it. `model_plane` is the address of the suite's model plane."""
    data_dir = server_folder / "system"
    running = System(data_dir, system_environment(data_dir, model_plane))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def data_dir(server_folder: Path) -> Path:
    """A data folder for a system of a test's own."""
    return Path(tempfile.mkdtemp(dir=server_folder))


def system_environment(data_dir: Path, model_address: str, **more: str) -> dict[str, str]:
    return {
        "OCTAVIA_DATA_DIR": str(data_dir),
        "OCTAVIA_API_PORT": str(free_port()),
        "OCTAVIA_MODEL_ADDRESS": model_address,
        **more,
    }
