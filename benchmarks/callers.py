"""Sixteen callers share Whisper's batches: what each hears is what it would hear alone, in a fraction of the time.

python -m benchmarks.callers [--callers 16] [--windows 2] [--rounds 1] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, write
from benchmarks.mixed import RATE, story, tensor
from tests.fixtures_model_plane import start_plane

SHORTEST_S, LONGEST_S = 3.0, 28.0
STEP_S = 5.3

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds and mean rows a batch, and the largest differences between alone and together."""

    speech_s: float
    alone_s: float
    together_s: float
    mean_batch: float
    texts_differ: int
    times_differ_s: float
    probabilities_differ: float


def windows(callers: int, each: int, longest_s: float = LONGEST_S) -> list[list[Samples]]:
    """For each caller its windows, of evenly spread lengths, cut anywhere in the story."""
    whole = np.concatenate([story()] * 2)
    lengths = np.linspace(SHORTEST_S, longest_s, callers * each)
    cut = []
    for number, seconds in enumerate(np.random.default_rng(0).permutation(lengths)):
        at = number * STEP_S % (len(whole) / RATE - longest_s)
        cut.append(whole[int(at * RATE) : int((at + seconds) * RATE)])
    return [cut[caller::callers] for caller in range(callers)]


async def heard(client: Any, audio: Samples) -> list[dict[str, Any]]:
    """Segments with words of one window."""
    answer = await client.infer("whisper", [tensor("AUDIO", [audio], "FP32"), tensor("LANGUAGE", [["en"]], "BYTES")])
    return list(json.loads(answer.as_numpy("SEGMENTS").item()))


async def one_after_another(address: str, work: Sequence[Sequence[Samples]]) -> list[list[Any]]:
    """Every window by itself."""
    async with triton_aio.InferenceServerClient(address) as client:
        return [[await heard(client, audio) for audio in mine] for mine in work]


async def together(address: str, work: Sequence[Sequence[Samples]]) -> list[list[Any]]:
    """All callers at once; each sends its next window when it has been answered."""

    async def caller(client: Any, mine: Sequence[Samples]) -> list[Any]:
        return [await heard(client, audio) for audio in mine]

    async with triton_aio.InferenceServerClient(address) as client:
        return list(await asyncio.gather(*(caller(client, mine) for mine in work)))


def executions(address: str) -> tuple[int, int]:
    """Rows and batches of Whisper so far."""
    with triton.InferenceServerClient(address) as client:
        (seen,) = client.get_inference_statistics("whisper", as_json=True)["model_stats"]
    return int(seen.get("inference_count", 0)), int(seen.get("execution_count", 0))


def compared(address: str, work: Sequence[Sequence[Samples]]) -> Compared:
    """Both ways, and the differences."""
    began = time.perf_counter()
    alone = asyncio.run(one_after_another(address, work))
    middle = time.perf_counter()
    before = executions(address)
    shared = asyncio.run(together(address, work))
    end = time.perf_counter()
    rows, batches = (after - earlier for after, earlier in zip(executions(address), before, strict=True))
    pairs = [(a, b) for x, y in zip(alone, shared, strict=True) for a, b in zip(x, y, strict=True)]
    texts = [("".join(s["text"] for s in a), "".join(s["text"] for s in b)) for a, b in pairs]
    words = [
        (one, other)
        for a, b in pairs
        for first, second in zip(a, b, strict=False)
        for one, other in zip(first["words"], second["words"], strict=False)
    ]
    return Compared(
        speech_s=sum(len(audio) for mine in work for audio in mine) / RATE,
        alone_s=middle - began,
        together_s=end - middle,
        mean_batch=rows / batches,
        texts_differ=sum(a != b for a, b in texts),
        times_differ_s=max(abs(one[edge] - other[edge]) for one, other in words for edge in ("start", "end")),
        probabilities_differ=max(abs(one["probability"] - other["probability"]) for one, other in words),
    )


def measurements(rounds: Sequence[Compared]) -> list[Measurement]:
    """Both ways by round, and what together changes."""
    alone, together = ([seen.speech_s / seconds(seen) for seen in rounds] for seconds in (_alone, _together))
    differ = max(seen.texts_differ for seen in rounds), max(seen.times_differ_s for seen in rounds)
    note = f"texts that differ: {differ[0]}; word times by {differ[1]:.3f} s at most"
    figures = (
        ("one after another", "audio s/s", alone, ""),
        ("together", "audio s/s", together, note),
        (
            "together against one after another",
            "times faster",
            [a / b for a, b in zip(together, alone, strict=True)],
            "",
        ),
        ("rows a batch", "rows/execution", [seen.mean_batch for seen in rounds], ""),
    )
    return [
        Measurement(name=name, unit=unit, better="higher", values=tuple(values), note=said)
        for name, unit, values, said in figures
    ]


def _alone(seen: Compared) -> float:
    return seen.alone_s


def _together(seen: Compared) -> float:
    return seen.together_s


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plane = start_plane(Path(folder) / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()))
        try:
            work = windows(options.callers, options.windows)
            rounds = [compared(plane.address, work) for _ in range(options.rounds)]
        finally:
            plane.stop()
    for seen in rounds:
        told(options, seen)
    write(options.json, measurements(rounds))


def told(options: argparse.Namespace, seen: Compared) -> None:
    """Prints one round."""
    print(f"{options.callers} callers with {options.windows} windows each, {seen.speech_s:.0f} s; {machine()}")
    print(f"one after another {seen.alone_s:.2f} s, real time factor {seen.alone_s / seen.speech_s:.3f}")
    print(f"together {seen.together_s:.2f} s, real time factor {seen.together_s / seen.speech_s:.3f}, ", end="")
    print(f"{seen.alone_s / seen.together_s:.2f} times faster; {seen.mean_batch:.2f} rows a batch")
    print(f"texts that differ: {seen.texts_differ}; word times by {seen.times_differ_s:.3f} s, ", end="")
    print(f"probabilities by {seen.probabilities_differ:.4f} at most")


if __name__ == "__main__":
    main()
