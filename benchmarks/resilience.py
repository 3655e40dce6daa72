"""Replicas are killed and the configuration is changed under load; clients with the README's retry policy
see nothing.

Eight callers send mixed requests of all models. In the middle every model's replicas are killed with -9, one model
after another; then serve.yaml is changed and read again (SIGUSR1), which replaces every replica.

    python -m benchmarks.resilience [--seconds 120]
"""

import argparse
import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tritonclient.grpc.aio as triton_aio
import yaml
from tritonclient.utils import InferenceServerException

from benchmarks.machine import machine
from benchmarks.mixed import Mixture
from benchmarks.patience import patiently, status_of
from tests.fixtures_model_plane import Plane, start_plane

MODELS = ("whisper", "opus_mt", "coqui_tts", "vad", "protocol")
SERVE_YAML = Path(__file__).parents[1] / "serve" / "serve.yaml"
CALLERS = 8


@dataclass
class Outcome:
    """What the callers saw, by phase."""

    answered: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    took: list[tuple[float, float]] = field(default_factory=list)
    """When each answered call began, in seconds since the epoch, and the seconds it took with its repeats."""


class Load:
    """Callers of mixed requests, until told to stop."""

    def __init__(self, address: str, callers: int = CALLERS) -> None:
        self._address = address
        self._callers = callers
        self._mixture = Mixture()
        self._number = 0
        self.phase = "quiet"
        self.stopping = False
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Calls until `stopping`."""
        async with triton_aio.InferenceServerClient(self._address) as client:
            await asyncio.gather(*(self._caller(client) for _ in range(self._callers)))
        return self.outcome

    async def _caller(self, client: Any) -> None:
        while not self.stopping:
            self._number += 1
            call, phase = self._mixture.call(self._number), self.phase
            began, clock = time.time(), time.perf_counter()
            try:
                _, repeats = await patiently(lambda: client.infer(call.model, call.inputs, client_timeout=120))  # noqa: B023
            except InferenceServerException as error:
                self.outcome.failed.append(f"{phase}: {call.model}: {status_of(error)}: {error.message()}")
            else:
                self.outcome.answered[phase] += 1
                self.outcome.repeated[phase] += repeats
                self.outcome.took.append((began, time.perf_counter() - clock))


def changed(serve_yaml: Path) -> None:
    """Another share of the CPU for every deployment, so that every replica is replaced."""
    config = yaml.safe_load(serve_yaml.read_text())
    for deployment in config["applications"][0]["deployments"]:
        deployment["ray_actor_options"]["num_cpus"] += 0.001
    serve_yaml.write_text(yaml.safe_dump(config))


async def disturb(plane: Plane, load: Load, serve_yaml: Path, seconds: float) -> None:
    """The phases, each a third of the time at least."""
    await asyncio.sleep(seconds / 3)
    for model in MODELS:
        load.phase = f"{model} killed"
        for victim in plane.replicas(model):
            victim.kill()
        await asyncio.sleep(seconds / 3 / len(MODELS))
    load.phase = "configuration changed"
    before = {process.pid for model in MODELS for process in plane.replicas(model)}
    changed(serve_yaml)
    os.kill(plane.process.pid, signal.SIGUSR1)
    deadline = time.monotonic() + max(180.0, seconds)
    while before & {process.pid for model in MODELS for process in plane.replicas(model)}:
        if time.monotonic() > deadline:
            load.outcome.failed.append("the change of configuration did not replace every replica in time")
            break
        await asyncio.sleep(1)
    load.phase = "after"
    await asyncio.sleep(seconds / 10)
    load.stopping = True


async def trial(plane: Plane, serve_yaml: Path, seconds: float) -> Outcome:
    """Load and disturbance together."""
    load = Load(plane.address)
    outcome, _ = await asyncio.gather(load.run(), disturb(plane, load, serve_yaml, seconds))
    return outcome


def resilience(folder: Path, seconds: float) -> Outcome:
    """Starts a plane of its own in folder and tries it."""
    serve_yaml = Path(shutil.copy(SERVE_YAML, folder / "serve.yaml"))
    plane = start_plane(folder / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()), OCTAVIA_SERVE_CONFIG=str(serve_yaml))
    try:
        return asyncio.run(trial(plane, serve_yaml, seconds))
    finally:
        plane.stop()


def main() -> None:
    """Prints answers, repeats and failures by phase."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120)
    with tempfile.TemporaryDirectory() as folder:
        outcome = resilience(Path(folder), parser.parse_args().seconds)
    for phase, count in outcome.answered.items():
        print(f"{phase:24} {count:5} answered, {outcome.repeated[phase]:4} repeats")
    for failure in outcome.failed:
        print("FAILED", failure)
    print(f"{len(outcome.failed)} failed of {outcome.answered.total() + len(outcome.failed)}, on {machine()}")


if __name__ == "__main__":
    main()
