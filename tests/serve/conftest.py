"""Speech with known words, and how far what was heard is from it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from whisper_normalizer.english import EnglishTextNormalizer

from benchmarks.mixed import tensor as wire_tensor
from serve.models.base import WeightSet
from serve.published import weight_set
from serve.settings import ServeSettings
from serve.weights import ensure, selection

LIBRIVOX = Path(__file__).parents[1] / "data" / "librivox"

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SpokenClip:
    """A recording at 16 kHz and the words in it."""

    name: str
    audio: Samples
    words: str


@pytest.fixture(scope="session")
def librivox() -> list[SpokenClip]:
    """Five clips of a LibriVox reading of Sense and Sensibility (public domain)."""
    clips = []
    for line in (LIBRIVOX / "transcription.txt").read_text().splitlines():
        words, name = line.rstrip(")").rsplit(" (", 1)
        audio, rate = soundfile.read(LIBRIVOX / f"{name}.flac", dtype="float32")
        assert rate == 16_000
        clips.append(SpokenClip(name, audio, words.removeprefix("<s>").removesuffix("</s>").strip()))
    return clips


@pytest.fixture(scope="session")
def word_error_rate() -> Callable[[Sequence[str], Sequence[str]], float]:
    """(references, hypotheses) -> WER over all of them, both through Whisper's own normaliser."""
    normalise = EnglishTextNormalizer()

    def rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
        return float(jiwer.wer([normalise(r) for r in references], [normalise(h) for h in hypotheses]))

    return rate


@pytest.fixture(scope="session")
def make_tensor() -> Callable[[str, Any, str], triton.InferInput]:
    """Builds an input tensor: (name, nested values, datatype)."""
    return wire_tensor


Infer = Callable[..., dict[str, npt.NDArray[Any]]]


@pytest.fixture(scope="session")
def infer(triton_client: triton.InferenceServerClient) -> Infer:
    """infer(model, [(name, values, datatype), …], outputs=None) -> arrays by name, through the suite's plane."""

    def call(
        model: str, inputs: Sequence[tuple[str, Any, str]], outputs: Sequence[str] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        requested = None if outputs is None else [triton.InferRequestedOutput(name) for name in outputs]
        answer = triton_client.infer(model, [wire_tensor(*each) for each in inputs], outputs=requested)
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}

    return call


@pytest.fixture(scope="session")
def infer_together(model_plane: str) -> Callable[..., list[dict[str, npt.NDArray[Any]]]]:
    """infer_together(model, [[(name, values, datatype), …], …]): many calls at the same time, answers in order."""

    async def all_at_once(model: str, calls: Sequence[Sequence[tuple[str, Any, str]]]) -> list[Any]:
        async with triton_aio.InferenceServerClient(model_plane) as client:

            async def one(inputs: Sequence[tuple[str, Any, str]]) -> dict[str, npt.NDArray[Any]]:
                answer = await client.infer(model, [wire_tensor(*each) for each in inputs])
                return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}

            waiting: list[Awaitable[Any]] = [one(inputs) for inputs in calls]
            return await asyncio.gather(*waiting)

    return lambda model, calls: asyncio.run(all_at_once(model, calls))


@dataclass(frozen=True)
class HeardWindow:
    """What whisper answered for one window."""

    text: str
    language: str
    probability: float
    segments: list[dict[str, Any]]


@pytest.fixture(scope="session")
def hear(infer: Infer) -> Callable[..., HeardWindow]:
    """hear(audio, language="", task="") -> what the plane's Whisper hears in one window."""

    def one(audio: Samples, language: str = "", task: str = "") -> HeardWindow:
        options = [("LANGUAGE", [[language]], "BYTES"), ("TASK", [[task]], "BYTES")]
        answer = infer("whisper", [("AUDIO", [audio], "FP32"), *options])
        return HeardWindow(
            answer["TEXT"][0, 0].decode(),
            answer["LANGUAGE"][0, 0].decode(),
            float(answer["LANGUAGE_PROBABILITY"][0, 0]),
            json.loads(answer["SEGMENTS"][0, 0]),
        )

    return one


@pytest.fixture(scope="session")
def speak(infer: Infer) -> Callable[..., tuple[Samples, int]]:
    """speak(text, speed=1.0, seed=0) -> samples and their rate, by the starter set's English voice."""

    def one(text: str, speed: float = 1.0, seed: int = 0) -> tuple[Samples, int]:
        inputs = [("TEXT", [[text]], "BYTES"), ("SPEED", [[speed]], "FP32"), ("SEED", [[seed]], "INT64")]
        answer = infer("coqui_tts", [*inputs, ("LANGUAGE", [["en"]], "BYTES")])
        return answer["AUDIO"][0], int(answer["SAMPLE_RATE"][0, 0])

    return one


@pytest.fixture(scope="session")
def at_16_khz() -> Callable[[Samples, int], Samples]:
    """(samples, rate) -> the same sound at Whisper's rate."""
    return lambda samples, rate: soxr.resample(samples, rate, 16_000).astype(np.float32)


@pytest.fixture(scope="session")
def starter_weights() -> Callable[[str], list[WeightSet]]:
    """model name -> its weights of the starter set, fetched once into the shared weights folder."""

    def load(model: str) -> list[WeightSet]:
        settings = ServeSettings(weights="starter")
        entries = [entry for entry in selection(settings) if entry.model == model]
        return [weight_set(ensure(entry, settings)) for entry in entries]

    return load
