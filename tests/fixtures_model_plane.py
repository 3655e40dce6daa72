"""The suite's one model plane: `python -m serve` on free loopback ports with the starter set."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import tritonclient.grpc as triton

from orchestrator.local.ports import free_ports

START_S = 240


@dataclass
class Plane:
    """A running model plane."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    log: Path

    @property
    def address(self) -> str:
        return str(self.ready["grpc"])

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def replicas(self, model: str) -> list[psutil.Process]:
        """The processes that hold a replica of the model. Ray gives them its name."""
        found = []
        for process in self.descendants():
            try:
                if "".join(process.cmdline()).startswith(f"ray::ServeReplica:octavia:{model}"):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=150)


def start_plane(log: Path, *, module: str = "serve", **environment: str) -> Plane:
    """Starts a plane, or another module that serves like one, and waits for its ready line.

    AssertionError with its log when it ends before that.
    """
    grpc, http, metrics = free_ports(3)
    ports = {"GRPC": grpc, "HTTP": http, "METRICS": metrics}
    settings = {f"OCTAVIA_SERVE_{kind}_PORT": str(port) for kind, port in ports.items()}
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, **settings, "OCTAVIA_WEIGHTS": "starter", **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the model plane did not start: {log.read_text(errors='replace')[-4000:]}"
    return Plane(process, json.loads(line), log)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """The suite's model plane, with its processes."""
    running = start_plane(tmp_path_factory.mktemp("model_plane") / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def model_plane(plane: Plane) -> str:
    """The gRPC address of the suite's model plane."""
    return plane.address


@pytest.fixture(scope="session")
def triton_client(model_plane: str) -> Iterator[triton.InferenceServerClient]:
    """An unmodified tritonclient connected to the suite's model plane."""
    with triton.InferenceServerClient(model_plane) as client:
        yield client
