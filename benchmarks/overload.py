"""Five times more requests than can be served: what is accepted stays quick, the rest is refused at once.

First one caller alone (unloaded latency), then enough callers to keep the model busy (capacity), then arrivals at five
times that rate, independent of the answers. Requests say that they would wait no longer than a share of the unloaded
latency (the protocol's parameter `timeout`), as a live caption would.

    python -m benchmarks.overload [--model obedient|whisper] [--seconds 15] [--json FILE]
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, latencies, write
from benchmarks.mixed import RATE, story, tensor
from benchmarks.patience import status_of
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_operation import obedient_request, write_model, write_serve_yaml

TIMES = 5
PATIENCE = 0.3
"""Share of the unloaded latency that a request is willing to wait."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds and counts of one trial."""

    alone: list[float]
    unloaded_p50: float
    unloaded_p95: float
    capacity: float
    offered: int
    accepted: list[float]
    refused: list[float]
    other: list[str]


async def latency(client: Any, model: str, inputs: list[triton.InferInput], **options: Any) -> float:
    """Seconds of one inference."""
    began = time.perf_counter()
    await client.infer(model, inputs, **options)
    return time.perf_counter() - began


async def capacity(client: Any, model: str, inputs: list[triton.InferInput], seconds: float) -> float:
    """Requests a second with four callers that never pause."""
    done, until = 0, time.monotonic() + seconds

    async def caller() -> None:
        nonlocal done
        while time.monotonic() < until:
            await client.infer(model, inputs)
            done += 1

    await asyncio.gather(*(caller() for _ in range(4)))
    return done / seconds


async def flood(address: str, model: str, inputs: list[triton.InferInput], seconds: float) -> Figures:
    """The three phases."""
    accepted, refused, other = list[float](), list[float](), list[str]()
    async with triton_aio.InferenceServerClient(address) as client:
        for _ in range(3):
            await client.infer(model, inputs)
        alone = [await latency(client, model, inputs) for _ in range(15)]
        most = await capacity(client, model, inputs, seconds / 2)
        timeout_us = int(float(np.median(alone)) * PATIENCE * 1e6)

        async def arrival() -> None:
            began = time.perf_counter()
            try:
                accepted.append(await latency(client, model, inputs, timeout=timeout_us))
            except InferenceServerException as error:
                if status_of(error) in {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}:
                    refused.append(time.perf_counter() - began)
                else:
                    other.append(f"{status_of(error)}: {error.message()}")

        chance, arrivals = random.Random(0), list[asyncio.Task[None]]()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            arrivals.append(asyncio.create_task(arrival()))
            await asyncio.sleep(chance.expovariate(TIMES * most))
        await asyncio.gather(*arrivals)
    quantiles = np.quantile(alone, [0.5, 0.95])
    return Figures(alone, float(quantiles[0]), float(quantiles[1]), most, len(arrivals), accepted, refused, other)


def started(folder: Path, model: str) -> Plane:
    """A plane with the model under test."""
    if model == "whisper":
        return start_plane(folder / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()))
    write_model(folder / "model_repo", "obedient", preferred=1, delay_us=0)
    return start_plane(
        folder / "serve.log",
        OCTAVIA_PARENT_PID=str(os.getpid()),
        OCTAVIA_MODEL_REPO=str(folder / "model_repo"),
        OCTAVIA_SERVE_CONFIG=str(write_serve_yaml(folder / "serve.yaml", {"obedient": {}})),
    )


def told(seen: Figures, seconds: float) -> None:
    """Prints the figures of a trial."""
    print(
        f"unloaded: p50 {seen.unloaded_p50:.3f} s, p95 {seen.unloaded_p95:.3f} s; {seen.capacity:.1f} served a second"
    )
    print(f"offered {seen.offered} in {seconds:.0f} s: {len(seen.accepted)} accepted, {len(seen.refused)} refused")
    for name, taken in (("accepted", seen.accepted), ("refused", seen.refused)):
        if taken:
            p50, p95 = np.quantile(taken, [0.5, 0.95])
            print(f"{name}: p50 {p50:.3f} s, p95 {p95:.3f} s, {p95 / seen.unloaded_p50:.2f} times the unloaded p50")


def measurements(model: str, seen: Figures) -> list[Measurement]:
    """Latencies alone and under five times the load, and how soon a request is refused."""
    capacity = Measurement(name=f"{model}: served", unit="requests/s", better="higher", values=(seen.capacity,))
    kinds = (("alone", seen.alone), ("accepted at five times the load", seen.accepted), ("refused", seen.refused))
    made = [each for kind, seconds in kinds if seconds for each in latencies(f"{model}: {kind}", seconds, "models")]
    other = Measurement(name=f"{model}: failed otherwise", unit="requests", better="lower", values=(len(seen.other),))
    return [capacity, *made, other]


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("obedient", "whisper"), default="obedient")
    parser.add_argument("--seconds", type=float, default=15)
    add_json_option(parser)
    options = parser.parse_args()
    speech = [tensor("AUDIO", [story()[: 9 * RATE]], "FP32"), tensor("LANGUAGE", [["en"]], "BYTES")]
    inputs = speech if options.model == "whisper" else obedient_request(0.2)
    with tempfile.TemporaryDirectory() as folder:
        plane = started(Path(folder), options.model)
        try:
            seen = asyncio.run(flood(plane.address, options.model, inputs, options.seconds))
        finally:
            plane.stop()
    told(seen, options.seconds)
    for line in sorted(set(seen.other)):
        print("OTHER", line)
    print(f"{options.model}, on {machine()}")
    write(options.json, measurements(options.model, seen))


if __name__ == "__main__":
    main()
