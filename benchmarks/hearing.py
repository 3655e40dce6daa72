"""Whisper through the plane against our own class in process, and against what a user would pick instead.

Thirty-two clips of known text, spoken by the starter set's English voice, one by one and joined into one recording with
pauses of 0.7 s. Every round runs every contender once, in turn; both cores are everybody's. Word error rates are over
all clips, through Whisper's own normaliser.

    python -m benchmarks.hearing [--rounds 3] [--clips 32] [--json FILE]
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import numpy.typing as npt
import soxr
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from whisper_normalizer.english import EnglishTextNormalizer

from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, times_faster, write
from benchmarks.mixed import RATE, tensor
from orchestrator.dubbing.timeline import Interval
from orchestrator.dubbing.windows import cut_windows
from serve.models.whisper import Whisper
from serve.published import weight_set
from serve.repository import read_model
from serve.settings import CHECKOUT, ServeSettings
from serve.weights import ensure, selection
from tests.fixtures_model_plane import start_plane

TEXT = Path(__file__).parents[1] / "tests" / "data" / "five_minutes.txt"
PAUSE_S = 0.7
IN_FLIGHT = 32
WARM_UP = 4
THREADS = 2
RATIOS = (
    ("octavia, in process, clips", "octavia, gRPC, clips"),
    ("faster-whisper, clips", "octavia, gRPC, clips"),
    ("faster-whisper, clips, beam 1, en", "octavia, gRPC, clips"),
    ("faster-whisper batched, joined", "octavia, gRPC, joined"),
    ("whisperx, joined", "octavia, gRPC, joined, text only"),
)
"""Who is compared with whom: how many times as long the first takes."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Speech:
    """Clips at 16 kHz with their words, and all of them in one recording."""

    clips: list[Samples]
    texts: list[str]

    @property
    def joined(self) -> Samples:
        pause = np.zeros(int(PAUSE_S * RATE), np.float32)
        return np.concatenate([piece for clip in self.clips for piece in (clip, pause)])

    @property
    def seconds(self) -> float:
        return sum(len(clip) for clip in self.clips) / RATE


def spoken(address: str, count: int) -> Speech:
    """The first sentences of the five minutes, by the plane's own voice."""
    sentences = [line.strip() for line in TEXT.read_text(encoding="utf-8").splitlines() if len(line.split()) > 5][
        :count
    ]
    clips = []
    with triton.InferenceServerClient(address) as client:
        for sentence in sentences[:count]:
            inputs = [tensor("TEXT", [[sentence]], "BYTES"), tensor("LANGUAGE", [["en"]], "BYTES")]
            answer = client.infer("coqui_tts", inputs)
            samples, rate = answer.as_numpy("AUDIO")[0], int(answer.as_numpy("SAMPLE_RATE").item())
            clips.append(soxr.resample(samples, rate, RATE).astype(np.float32))
    return Speech(clips, sentences[:count])


def through_the_plane(address: str, windows: Sequence[Samples], *, timed: bool = True) -> list[str]:
    """The text of each window, IN_FLIGHT at a time; with word times unless told otherwise."""
    outputs = None if timed else [triton.InferRequestedOutput("TEXT")]

    async def run() -> list[str]:
        gate = asyncio.Semaphore(IN_FLIGHT)
        async with triton_aio.InferenceServerClient(address) as client:

            async def one(audio: Samples) -> str:
                async with gate:
                    answer = await client.infer("whisper", [tensor("AUDIO", [audio], "FP32"), EN], outputs=outputs)
                    return str(answer.as_numpy("TEXT").item().decode())

            return list(await asyncio.gather(*(one(audio) for audio in windows)))

    return asyncio.run(run())


EN = tensor("LANGUAGE", [["en"]], "BYTES")


def cut_and_heard(address: str, audio: Samples, *, timed: bool = True) -> list[str]:
    """A long recording as the orchestrator hears it: voice activity, windows cut at silences, all through the plane."""
    with triton.InferenceServerClient(address) as client:
        answer = client.infer("vad", [tensor("AUDIO", audio, "FP32")])
    speech = [Interval(float(start), float(end)) for start, end in answer.as_numpy("SPEECH")]
    cut = cut_windows(speech, answer.as_numpy("PROBABILITY"), len(audio) / RATE)
    windows = [audio[int(w.start * RATE) : int(w.end * RATE)] for w in cut]
    return through_the_plane(address, windows, timed=timed)


def contenders(address: str) -> dict[str, Callable[[Speech], list[str]]]:
    """Every contender by name, models loaded."""
    import whisperx  # noqa: PLC0415 - five seconds, and only here
    from faster_whisper import BatchedInferencePipeline, WhisperModel  # noqa: PLC0415

    settings = ServeSettings(weights="starter")
    entry = next(entry for entry in selection(settings) if entry.model == "whisper")
    weights = weight_set(ensure(entry, settings))
    folder = str(weights.folder)
    own = Whisper(read_model(CHECKOUT / "model_repo" / "whisper").parameters, [weights])
    own.load()
    peer = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=THREADS, local_files_only=True)
    batched = BatchedInferencePipeline(peer)
    x = whisperx.load_model(folder, "cpu", compute_type="int8", threads=THREADS, language="en")

    def in_process(speech: Speech) -> list[str]:
        requests = [{"AUDIO": clip[None], "LANGUAGE": np.array([[b"en"]], np.object_)} for clip in speech.clips]
        answers = own.infer(requests, [set()] * len(requests))
        return [answer["TEXT"].item().decode() for answer in answers if isinstance(answer, dict)]

    def transcribed(clip: Samples, **options: Any) -> str:
        return " ".join(segment.text for segment in peer.transcribe(clip, **options)[0])

    lean = {"language": "en", "beam_size": 1, "word_timestamps": True}

    def clip_by_clip(**options: Any) -> Callable[[Speech], list[str]]:
        return lambda speech: [transcribed(clip, **options) for clip in speech.clips]

    return {
        "octavia, gRPC, clips": lambda speech: through_the_plane(address, speech.clips),
        "octavia, in process, clips": in_process,
        "faster-whisper, clips": clip_by_clip(),
        "faster-whisper, clips, beam 1, en": clip_by_clip(**lean),
        "octavia, gRPC, joined": lambda speech: cut_and_heard(address, speech.joined),
        "octavia, gRPC, joined, text only": lambda speech: cut_and_heard(address, speech.joined, timed=False),
        "faster-whisper batched, joined": lambda speech: [
            segment.text for segment in batched.transcribe(speech.joined, batch_size=8, **lean)[0]
        ],
        "whisperx, joined": lambda speech: [
            each["text"] for each in x.transcribe(speech.joined, batch_size=8)["segments"]
        ],
    }


def error_rate(speech: Speech, heard: Sequence[str]) -> float:
    """Of everything heard, as one text: clips and windows need not coincide."""
    normalise = EnglishTextNormalizer()
    return float(jiwer.wer(normalise(" ".join(speech.texts)), normalise(" ".join(heard))))


def ratios(times: dict[str, list[float]], slow: str, fast: str) -> str:
    """How many times faster, round by round."""
    each = [a / b for a, b in zip(times[slow], times[fast], strict=True)]
    return f"{statistics.median(each):5.2f} ({min(each):.2f}-{max(each):.2f})  {slow} / {fast}"


def measurements(
    times: dict[str, list[float]], speech_s: float, compared: Sequence[tuple[str, str]]
) -> list[Measurement]:
    """Seconds of speech per second of every contender, and the ratios of those compared."""
    rates = [
        Measurement(
            name=name,
            unit="audio s/s",
            better="higher",
            values=tuple(speech_s / each for each in seconds),
            section="peers",
        )
        for name, seconds in times.items()
    ]
    return rates + [times_faster(f"{fast} against {slow}", times[slow], times[fast]) for slow, fast in compared]


def main() -> None:
    """Prints seconds, real time factor and word error rate of each contender, and the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=32)
    add_json_option(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        plane = start_plane(Path(folder) / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()))
        try:
            speech = spoken(plane.address, options.clips)
            every = contenders(plane.address)
            for run in every.values():
                run(Speech(speech.clips[:WARM_UP], speech.texts[:WARM_UP]))
            times: dict[str, list[float]] = {name: [] for name in every}
            heard: dict[str, list[str]] = {}
            for _ in range(options.rounds):
                for name, run in every.items():
                    began = time.perf_counter()
                    heard[name] = run(speech)
                    times[name].append(time.perf_counter() - began)
        finally:
            plane.stop()
    print(f"{len(speech.clips)} clips, {speech.seconds:.0f} s of speech; {options.rounds} rounds; {machine()}")
    errors = {name: error_rate(speech, each) for name, each in heard.items()}
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:36} {median:7.2f} s  real time factor {median / speech.seconds:.3f}  WER {errors[name]:.3f}")
    for slow, fast in RATIOS:
        print(ratios(times, slow, fast))
    write(
        options.json,
        [
            each.model_copy(update={"note": f"word error rate {errors[each.name]:.3f}"})
            if each.name in errors
            else each
            for each in measurements(times, speech.seconds, RATIOS)
        ],
    )


if __name__ == "__main__":
    main()
