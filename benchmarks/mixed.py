"""Mixed requests to all models, as a day's work would bring them, reproducible by their number."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tritonclient.grpc as triton

CLIPS = Path(__file__).parents[1] / "tests" / "data" / "librivox"
SPOKEN = (
    "the house was quiet and nobody had expected her to return before the winter came over hills that she had known "
    "since childhood while a letter lay unopened on the table beside an old lamp"
)
WORDS = SPOKEN.split()
RATE = 16_000
KINDS = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}


def tensor(name: str, values: Any, kind: str) -> triton.InferInput:
    """An input tensor from a nested list or an array, strings for BYTES."""
    if kind == "BYTES":
        array = np.array([[text.encode() for text in row] for row in values], dtype=np.object_)
    else:
        array = np.asarray(values, KINDS[kind])
    made = triton.InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array)
    return made


def story() -> Any:
    """All the LibriVox clips in a row, twice: samples [n] at 16 kHz."""
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted(CLIPS.glob("*.flac"))]
    return np.concatenate([piece for clip in clips * 2 for piece in (clip, np.zeros(RATE // 3, np.float32))])


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the model and its inputs."""

    model: str
    inputs: list[triton.InferInput]


class Mixture:
    """A third each of hearing, translating and speaking, and voice activity in between, of ever different lengths."""

    def __init__(self) -> None:
        self._story = story()

    def call(self, number: int) -> Call:
        """The request of that number, always the same."""
        chance = random.Random(number)
        model = ("whisper", "opus_mt", "coqui_tts", "opus_mt", "vad")[number % 5]
        if model in {"whisper", "vad"}:
            seconds = chance.uniform(1.0, 9.0)
            at = int(chance.uniform(0, len(self._story) / RATE - seconds) * RATE)
            audio = self._story[at : at + int(seconds * RATE)]
            return Call(model, [tensor("AUDIO", audio if model == "vad" else [audio], "FP32")])
        text = self._sentence(chance)
        if model == "coqui_tts":
            return Call(model, [tensor("TEXT", [[text]], "BYTES"), tensor("LANGUAGE", [["en"]], "BYTES")])
        target = chance.choice(("es", "de"))
        row = (("TEXT", text), ("SOURCE", "en"), ("TARGET", target))
        return Call(model, [tensor(name, [[value]], "BYTES") for name, value in row])

    @staticmethod
    def _sentence(chance: random.Random) -> str:
        words = chance.sample(WORDS, chance.randint(3, 14))
        return " ".join(words).capitalize() + "."
