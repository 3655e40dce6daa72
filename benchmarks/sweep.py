"""Each model through the protocol, over requests in flight and rows a request: how fast, how soon.

A point starts when nothing is under way, keeps so many requests in flight for the seconds given (two requests a
caller at the least), and ends when all are answered; its throughput is all of its work by all of its time. Every round
goes through all points, so that what else the machine does falls on all alike. Points of more than 32 rows in flight
are left out. What the server made of it is in its own statistics: rows per execution.

    python -m benchmarks.sweep [--models whisper,opus_mt,coqui_tts,vad] [--concurrency 1,2,4,8,16] [--batch 1,4]
                               [--seconds 3] [--rounds 3] [--address HOST:PORT] [--json FILE]
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, latencies, write
from benchmarks.mixed import RATE, story, tensor
from benchmarks.speech import sentences
from tests.fixtures_model_plane import start_plane

MOST_ROWS = 32
REQUESTS_A_CALLER = 2
WINDOW_S = 9.0
RECORDING_S = 45.0
STEP_S = 2.3
TEXTS = 24


@dataclass(frozen=True, slots=True)
class Request:
    """Inputs, outputs asked for, and what is in them: seconds of audio or characters. None: the answer says it."""

    inputs: list[triton.InferInput]
    work: float | None


@dataclass(frozen=True, slots=True)
class Swept:
    """A model under test: its requests by number and rows, the unit of its work, whether a request has rows."""

    request: Callable[[int, int], Request]
    unit: str
    rows: bool = True


@dataclass(slots=True)
class Seen:
    """What the rounds of one point brought."""

    rows_per_s: list[float] = field(default_factory=list)
    work_per_s: list[float] = field(default_factory=list)
    rows_an_execution: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, order=True)
class Point:
    model: str
    batch: int
    concurrency: int

    def __str__(self) -> str:
        rows = f"{self.batch} row{'s' if self.batch > 1 else ''} each"
        return f"{self.model}, {self.concurrency} in flight, {rows}"


def swept() -> Mapping[str, Swept]:
    """Every model by name, its requests ever different but of one length where audio goes in."""
    whole, texts = story(), sentences(TEXTS)

    def audio(number: int, seconds: float) -> Any:
        at = int(number * STEP_S % (len(whole) / RATE - seconds) * RATE)
        return whole[at : at + int(seconds * RATE)]

    def hear(number: int, rows: int) -> Request:
        windows = [audio(number * rows + row, WINDOW_S) for row in range(rows)]
        languages = tensor("LANGUAGE", [["en"]] * rows, "BYTES")
        return Request([tensor("AUDIO", np.stack(windows), "FP32"), languages], WINDOW_S * rows)

    def translate(number: int, rows: int) -> Request:
        said = [texts[(number * rows + row) % len(texts)] for row in range(rows)]
        columns = (("TEXT", said), ("SOURCE", ["en"] * rows), ("TARGET", ["es"] * rows))
        inputs = [tensor(name, [[value] for value in values], "BYTES") for name, values in columns]
        return Request(inputs, float(sum(len(text) for text in said)))

    def speak(number: int, rows: int) -> Request:
        said = [texts[(number * rows + row) % len(texts)] for row in range(rows)]
        columns = (("TEXT", said), ("LANGUAGE", ["en"] * rows))
        return Request([tensor(name, [[value] for value in values], "BYTES") for name, values in columns], None)

    def find_speech(number: int, rows: int) -> Request:
        return Request([tensor("AUDIO", audio(number, RECORDING_S), "FP32")], RECORDING_S)

    return {
        "whisper": Swept(hear, "audio s/s"),
        "opus_mt": Swept(translate, "characters/s"),
        "coqui_tts": Swept(speak, "audio s/s"),
        "vad": Swept(find_speech, "audio s/s", rows=False),
    }


def points(models: list[str], concurrency: list[int], batch: list[int]) -> list[Point]:
    """All of them that have no more than MOST_ROWS rows in flight."""
    known = swept()
    every = (Point(model, rows, callers) for model, rows, callers in product(models, batch, concurrency))
    return [
        point
        for point in every
        if point.batch * point.concurrency <= MOST_ROWS and (known[point.model].rows or point.batch == 1)
    ]


async def trial(client: Any, point: Point, model: Swept, seconds: float) -> tuple[float, float, list[float]]:
    """Work, seconds and the latency of every request. A request that fails ends it: a refusal is no throughput."""
    taken, done = list[float](), 0.0
    began = time.perf_counter()
    number = 0

    async def caller() -> None:
        nonlocal number, done
        answered = 0
        while answered < REQUESTS_A_CALLER or time.perf_counter() - began < seconds:
            request = model.request(number, point.batch)
            number += 1
            sent = time.perf_counter()
            answer = await client.infer(point.model, request.inputs, client_timeout=300)
            taken.append(time.perf_counter() - sent)
            spoken = request.work if request.work is not None else float(answer.as_numpy("SECONDS").sum())
            done += spoken
            answered += 1

    async with asyncio.TaskGroup() as callers:
        for _ in range(point.concurrency):
            callers.create_task(caller())
    return done, time.perf_counter() - began, taken


async def executed(client: Any, model: str) -> tuple[int, int]:
    """Rows and executions of the model so far."""
    (seen,) = (await client.get_inference_statistics(model, as_json=True))["model_stats"]
    return int(seen.get("inference_count", 0)), int(seen.get("execution_count", 0))


async def measure(address: str, every: list[Point], seconds: float, rounds: int) -> dict[Point, Seen]:
    """All points, round by round."""
    models = swept()
    found = {point: Seen() for point in every}
    async with triton_aio.InferenceServerClient(address) as client:
        for point in every:
            await trial(client, Point(point.model, point.batch, 1), models[point.model], 0)  # warms up
        for _ in range(rounds):
            for point, seen in found.items():
                before = await executed(client, point.model)
                work, took, taken = await trial(client, point, models[point.model], seconds)
                rows, executions = (
                    after - earlier for after, earlier in zip(await executed(client, point.model), before, strict=True)
                )
                seen.rows_per_s.append(len(taken) * point.batch / took)
                seen.work_per_s.append(work / took)
                seen.latencies += taken
                if executions:
                    seen.rows_an_execution.append(rows / executions)
                print(f"{point}: {seen.rows_per_s[-1]:.2f} rows/s", flush=True)
    return found


def measurements(found: Mapping[Point, Seen]) -> list[Measurement]:
    """Throughput by round, latencies by request, and the batches that the server formed."""
    units = {name: model.unit for name, model in swept().items()}
    made = []
    for point, seen in found.items():
        at = {"table": point.model, "in flight": str(point.concurrency), "rows": str(point.batch)}
        figures = [("rows/s", seen.rows_per_s), (units[point.model], seen.work_per_s)]
        if seen.rows_an_execution:
            figures.append(("rows/execution", seen.rows_an_execution))
        made += [
            Measurement(
                name=f"{point}: {unit}",
                unit=unit,
                better="higher",
                values=tuple(values),
                section="models",
                at={**at, "figure": unit},
            )
            for unit, values in figures
        ]
        made += latencies(str(point), seen.latencies, "models", at)
    return made


def told(found: Mapping[Point, Seen]) -> None:
    """A line a point."""
    units = {name: model.unit for name, model in swept().items()}
    for point, seen in found.items():
        p50, p95, p99 = np.quantile(seen.latencies, [0.5, 0.95, 0.99]) * 1e3
        formed = f"{statistics.median(seen.rows_an_execution):.2f}" if seen.rows_an_execution else "?"
        print(
            f"{point!s:44} {statistics.median(seen.rows_per_s):7.2f} rows/s"
            f" {statistics.median(seen.work_per_s):9.1f} {units[point.model]:12}"
            f" p50 {p50:7.1f} p95 {p95:7.1f} p99 {p99:7.1f} ms, {formed} rows an execution"
        )
    print(machine())


@contextmanager
def plane(address: str | None) -> Iterator[str]:
    """The address of a plane that runs, or of one of its own for as long as it is needed."""
    if address:
        yield address
        return
    with tempfile.TemporaryDirectory() as folder:
        started = start_plane(Path(folder) / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()))
        try:
            yield started.address
        finally:
            started.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="whisper,opus_mt,coqui_tts,vad")
    parser.add_argument("--concurrency", default="1,2,4,8,16")
    parser.add_argument("--batch", default="1,4")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--address", help="of a model plane that runs; one of its own otherwise")
    add_json_option(parser)
    options = parser.parse_args()
    models = options.models.split(",")
    if unknown := set(models) - set(swept()):
        parser.error(f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(swept())}")
    concurrency, batch = ([int(each) for each in text.split(",")] for text in (options.concurrency, options.batch))
    with plane(options.address) as address:
        every = points(models, concurrency, batch)
        found = asyncio.run(measure(address, every, options.seconds, options.rounds))
    told(found)
    write(options.json, measurements(found))


if __name__ == "__main__":
    main()
