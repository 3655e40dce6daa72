"""Coqui through the plane against our own class in process, and against Coqui's own TTS.api in a loop.

The same sentences by the same voice on two cores: the plane has two replicas, our class runs in two processes, and
TTS.api runs in one with torch's threads. What was spoken is read back by Whisper, so speed is not bought with words.

    python -m benchmarks.speech [--rounds 3] [--sentences 24] [--json FILE]
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import tritonclient.grpc.aio as triton_aio

from benchmarks.hearing import TEXT, Samples, Speech, error_rate, measurements, ratios, through_the_plane
from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, write
from benchmarks.mixed import RATE, tensor
from serve.published import weight_set
from serve.repository import read_model
from serve.settings import CHECKOUT, ServeSettings
from serve.weights import ensure, selection
from tests.fixtures_model_plane import start_plane

IN_FLIGHT = 6
PROCESSES = 2
RATIOS = (("octavia, in process", "octavia, gRPC"), ("TTS.api in a loop", "octavia, gRPC"))
"""Who is compared with whom: how many times as long the first takes."""
LOOP = """
import sys, time, warnings
warnings.simplefilter("ignore")
from TTS.api import TTS
folder, *texts = sys.argv[1:]
tts = TTS(model_path=f"{folder}/model.pth", config_path=f"{folder}/config.json", progress_bar=False)
tts.tts("Warm up.")
print("loaded", flush=True)
for line in sys.stdin:
    for text in texts:
        tts.tts(text)
    print("done", flush=True)
"""
_voice: Any = None


def sentences(count: int) -> list[str]:
    """The first sentences of the five minutes."""
    lines = [line.strip() for line in TEXT.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if len(line.split()) > 5][:count]


def through_grpc(address: str, texts: list[str]) -> list[Samples]:
    """Samples of each text, IN_FLIGHT at a time."""

    async def run() -> list[Samples]:
        gate = asyncio.Semaphore(IN_FLIGHT)
        async with triton_aio.InferenceServerClient(address) as client:

            async def one(text: str) -> Samples:
                async with gate:
                    inputs = [tensor("TEXT", [[text]], "BYTES"), tensor("LANGUAGE", [["en"]], "BYTES")]
                    answer = await client.infer("coqui_tts", inputs)
                    samples, rate = answer.as_numpy("AUDIO")[0], int(answer.as_numpy("SAMPLE_RATE").item())
                    return np.asarray(soxr.resample(samples, rate, RATE), np.float32)

            return list(await asyncio.gather(*(one(text) for text in texts)))

    return asyncio.run(run())


def load() -> None:
    """Our class in this process, its voice opened."""
    global _voice  # noqa: PLW0603 - one a process, as a pool's initialiser must
    from serve.models.coqui_tts import CoquiTts  # noqa: PLC0415 - imports torch

    settings = ServeSettings(weights="starter")
    entries = [entry for entry in selection(settings) if entry.model == "coqui_tts"]
    weights = [weight_set(ensure(entry, settings)) for entry in entries]
    model = CoquiTts(read_model(CHECKOUT / "model_repo" / "coqui_tts").parameters, weights)
    model.load()
    keys = model.keys()
    _voice = model, [model.open(key) for key in keys]


def speak(text: str) -> int:
    """Samples of one text, spoken by this process's class."""
    column = np.array([[text.encode()]], np.object_)
    (answer,) = _voice[0].infer([{"TEXT": column, "LANGUAGE": np.array([[b"en"]], np.object_)}], [set()])
    return int(answer["NUM_SAMPLES"].item())


class Loop:
    """TTS.api in a process of its own, with the threads torch takes by itself."""

    def __init__(self, texts: list[str]) -> None:
        settings = ServeSettings(weights="starter")
        entry = next(entry for entry in selection(settings) if entry.model == "coqui_tts")
        folder = ensure(entry, settings).folder
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(folder), *texts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._answered("loaded")

    def __call__(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self._answered("done")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _answered(self, word: str) -> None:
        assert self._process.stdout
        while (line := self._process.stdout.readline()) and line.strip() != word:
            pass  # TTS prints what it does
        assert line, "TTS.api ended"


def main() -> None:
    """Prints seconds of each contender, the ratios, and the word error rate of what the plane spoke."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=24)
    add_json_option(parser)
    options = parser.parse_args()
    texts = sentences(options.sentences)
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(PROCESSES, initializer=load) as pool,
    ):
        plane = start_plane(Path(folder) / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()))
        loop = Loop(texts)
        try:
            every: dict[str, Callable[[], Any]] = {
                "octavia, gRPC": lambda: through_grpc(plane.address, texts),
                "octavia, in process": lambda: pool.map(speak, texts, chunksize=1),
                "TTS.api in a loop": loop,
            }
            clips = through_grpc(plane.address, texts)
            for run in every.values():
                run()
            times: dict[str, list[float]] = {name: [] for name in every}
            for _ in range(options.rounds):
                for name, run in every.items():
                    began = time.perf_counter()
                    run()
                    times[name].append(time.perf_counter() - began)
            heard = through_the_plane(plane.address, clips)
        finally:
            loop.close()
            plane.stop()
    speech = Speech(clips, texts)
    print(f"{len(texts)} sentences, {speech.seconds:.0f} s of speech; {options.rounds} rounds; {machine()}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:24} {median:6.2f} s  real time factor {median / speech.seconds:.3f}")
    for slow, fast in RATIOS:
        print(ratios(times, slow, fast))
    wrong = error_rate(speech, heard)
    print(f"read back by Whisper: WER {wrong:.3f}")
    read_back = Measurement(name="word error rate, read back by Whisper", unit="", better="lower", values=(wrong,))
    write(options.json, [*measurements(times, speech.seconds, RATIOS), read_back])


if __name__ == "__main__":
    main()
