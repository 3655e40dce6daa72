"""A thousand mixed requests: does the memory of any replica grow?

python -m benchmarks.memory [--requests 1000]
"""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton_aio

from benchmarks.machine import RESULTS, machine
from benchmarks.mixed import Mixture
from benchmarks.patience import patiently
from tests.fixtures_model_plane import Plane, start_plane

MODELS = ("whisper", "opus_mt", "coqui_tts", "vad", "protocol")
CALLERS = 4
EVERY = 20


@dataclass(frozen=True, slots=True)
class Growth:
    """MiB of one replica: after the first tenth of the requests, at the end, and the trend over the second half.

    trend: MiB per 100 requests of a straight line through the second half; noise: its standard error.
    """

    first: float
    last: float
    trend: float
    noise: float

    @property
    def ratio(self) -> float:
        return self.last / self.first

    @property
    def rises(self) -> bool:
        """Whether the trend is upward beyond its own noise and beyond 1 % of the replica in the second half."""
        return self.trend > 2 * self.noise and self.trend * 5 > 0.01 * self.first


async def samples(plane: Plane, requests: int) -> dict[str, list[tuple[int, float]]]:
    """(requests answered, MiB) of each replica, every EVERY requests."""
    mixture, seen = Mixture(), dict[str, list[tuple[int, float]]]()
    numbers, done = iter(range(requests)), 0

    def measure() -> None:
        for model in MODELS:
            for process in plane.replicas(model):
                seen.setdefault(f"{model} {process.pid}", []).append((done, process.memory_info().rss / 2**20))

    async def caller(client: Any) -> None:
        nonlocal done
        for number in numbers:
            call = mixture.call(number)
            await patiently(lambda: client.infer(call.model, call.inputs, client_timeout=120))  # noqa: B023
            done += 1
            if done % EVERY == 0:
                measure()

    async with triton_aio.InferenceServerClient(plane.address) as client:
        await asyncio.gather(*(caller(client) for _ in range(CALLERS)))
    return seen


def growth(series: list[tuple[int, float]], requests: int) -> Growth:
    """Of one replica's samples."""
    at, mib = np.array(series).T
    half = at >= requests / 2
    (slope, _), covariance = np.polyfit(at[half], mib[half], 1, cov=True)
    first = float(np.median(mib[at <= requests / 10]))
    return Growth(first, float(np.median(mib[-3:])), float(slope) * 100, float(np.sqrt(covariance[0, 0])) * 100)


def measured(folder: Path, requests: int) -> Mapping[str, Growth]:
    """Starts a plane, sends the requests, and tells how each replica grew that was there from the beginning."""
    plane = start_plane(folder / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()))
    try:
        seen = asyncio.run(samples(plane, requests))
    finally:
        plane.stop()
    RESULTS.mkdir(exist_ok=True)
    lines = [f"{name},{at},{mib:.1f}" for name, series in seen.items() for at, mib in series]
    (RESULTS / "memory.csv").write_text("replica,requests,mib\n" + "\n".join(lines) + "\n")
    return {name: growth(series, requests) for name, series in seen.items() if series[0][0] <= requests / 10}


def main() -> None:
    """Prints a line a replica."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1000)
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as folder:
        for name, each in measured(Path(folder), requests).items():
            print(
                f"{name:20} {each.first:7.1f} -> {each.last:7.1f} MiB ({each.ratio - 1:+.1%}), second half "
                f"{each.trend:+.2f} ± {each.noise:.2f} MiB per 100 requests{', RISES' if each.rises else ''}"
            )
    print(f"{requests} requests, on {machine()}")


if __name__ == "__main__":
    main()
