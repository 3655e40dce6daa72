"""Models for tests of operation: they do as they are told."""

import time
import weakref
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serve.errors import invalid
from serve.models.base import Answer, Array, Tensors, WeightSet, bytes_column, numbers, texts
from serve.models.cloning import read_clips


class Obedient:
    """Sleeps the longest SECONDS of its batch. TASK tells what else: "fail", "hang", or "hog" (more than `memory_rows`
    of it do not fit into memory). LANE says who may share a batch; NAME is written to the file `diary`, a line a batch.
    """

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        del weights
        self._diary = Path(parameters["diary"])
        self._memory_rows = int(parameters.get("memory_rows", "2"))

    def load(self) -> None:
        self._diary.touch()

    def catalogue(self) -> list[dict[str, Any]]:
        return [{"name": "obedient"}]

    def lane(self, inputs: Tensors) -> Hashable:
        return texts(inputs, "LANE", len(inputs["SECONDS"]))[0]

    def size(self, inputs: Tensors) -> int:
        return len(inputs["SECONDS"])

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        tasks = [texts(each, "TASK", len(each["SECONDS"]))[0] for each in batch]
        if (
            sum(len(each["SECONDS"]) for each, task in zip(batch, tasks, strict=True) if task == "hog")
            > self._memory_rows
        ):
            raise RuntimeError("CUDA failed with error out of memory")
        with self._diary.open("a") as diary:
            diary.write(" ".join(texts(each, "NAME", 1, "?")[0] for each in batch) + "\n")
        time.sleep(max(float(each["SECONDS"].max()) for each in batch))
        while "hang" in tasks:
            time.sleep(0.1)
        if "fail" in tasks:
            raise KeyError("a model that fails")
        return [{"ROWS": np.full((len(each["SECONDS"]), 1), len(batch), np.int32)} for each in batch]


class Opened:
    """What a key of Many stands for."""

    def __init__(self, number: int) -> None:
        self.number = number


class Many:
    """Answers with the number of opened keys that X names, which are forgotten once nobody holds them."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        del weights
        self._keys = parameters["keys"].split(",")
        self.opened: weakref.WeakValueDictionary[str, Opened] = weakref.WeakValueDictionary()

    def load(self) -> None:
        """There is nothing to load before a key is opened."""

    def catalogue(self) -> list[dict[str, Any]]:
        return []

    def open(self, key: str) -> object:
        return self.opened.setdefault(key, Opened(self._keys.index(key)))

    def keys(self) -> Sequence[str]:
        return self._keys

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return [
            {"Y": np.array([[self.opened[key].number] for key in texts(each, "X", len(each["X"]))], np.int32)}
            for each in batch
        ]


class Listed:
    """Has a catalogue and does nothing else."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        del parameters
        self._weights = weights

    def load(self) -> None:
        pass

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(each.facts) for each in self._weights]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return [invalid("this model is for its catalogue alone") for _ in batch]


class MidSide(Listed):
    """Takes voices out by the rule that they are in the middle: what both sides have in common."""

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        middle = [np.repeat(each["AUDIO"].mean(axis=0, keepdims=True), 2, axis=0) for each in batch]
        return [
            {"VOCALS": each, "BACKGROUND": request["AUDIO"] - each} for request, each in zip(batch, middle, strict=True)
        ]


class ByLoudness(Listed):
    """Tells two speakers apart by the rule that one is loud and the other soft, wherever it is quiet between them.

    `loud` is the least peak of a loud turn; `sleep_s` is how long it takes for a recording, and in the file `diary` it
    writes a line when it begins with one.
    """

    RATE, BLOCK, QUIET, APART = 16_000, 800, 0.01, 12  # a turn ends with 12 quiet blocks of 50 ms

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        super().__init__(parameters, weights)
        self._loud = float(parameters.get("loud", "0.25"))
        self._sleep_s = float(parameters.get("sleep_s", "0"))
        self._diary = Path(parameters.get("diary", "/dev/null"))

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        with self._diary.open("a") as diary:
            diary.write("begun\n")
        time.sleep(self._sleep_s)
        return [self._answer(request) for request in batch]

    def _answer(self, request: Tensors) -> Answer:
        turns = self._turns(request["AUDIO"])
        names: dict[bool, str] = {}
        said = [names.setdefault(is_loud, f"SPEAKER_{len(names):02d}") for _, _, is_loud in turns]
        if "NUM_SPEAKERS" in request and int(request["NUM_SPEAKERS"][0]) > max(1, len(names)):
            return invalid("NUM_SPEAKERS: too little is said to tell so many speakers apart")
        return {
            "TURNS": np.array([turn[:2] for turn in turns], np.float32).reshape(-1, 2),
            "SPEAKERS": bytes_column(said).ravel(),
            "SEGMENTS": bytes_column(["[]"]).ravel(),
        }

    def _turns(self, audio: Array) -> list[tuple[float, float, bool]]:
        """Start and end in seconds, and whether it is loud."""
        blocks = np.pad(audio, (0, -len(audio) % self.BLOCK)).reshape(-1, self.BLOCK)
        peaks = np.abs(blocks).max(axis=1)
        sounding = np.flatnonzero(peaks > self.QUIET)
        if not len(sounding):
            return []
        parts = np.split(sounding, np.flatnonzero(np.diff(sounding) > self.APART) + 1)
        step = self.BLOCK / self.RATE
        return [(part[0] * step, (part[-1] + 1) * step, bool(peaks[part].max() >= self._loud)) for part in parts]


class Whistles:
    """Voices that whistle, each its own note, 15 characters a second; one that clones whistles the clip's note."""

    RATE = 22_050
    VOICES: Mapping[str, Mapping[str, Any]] = {
        "hugo": {"note": 500, "gender": "male"},
        "inge": {"note": 700, "gender": "female"},
        "jill": {"note": 900, "gender": "female"},
        "choir": {"note": 1100, "gender": "unknown", "speakers": ["alto", "bass"]},
        "parrot": {"note": 2000, "gender": "unknown", "language": "fr", "languages": ["fr", "it"], "cloning": "xtts"},
    }

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        del parameters, weights

    def load(self) -> None:
        pass

    def keys(self) -> list[str]:
        return [f"{name}," for name in self.VOICES]

    def open(self, key: str) -> object:
        del key
        return self

    def catalogue(self) -> list[dict[str, Any]]:
        common = {"language": "de", "licence": "CC0-1.0", "paid_use": True, "characters_per_second": 15.0}
        common |= {"speeds": [0.5, 2.0], "speakers": [], "cloning": None, "sample_rate": self.RATE}
        return [{"name": name, **common, **facts} for name, facts in self.VOICES.items()]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        return [self._answer(*each) for each in zip(batch, requested, strict=True)]

    def _answer(self, request: Tensors, requested: set[str]) -> Answer:
        said = texts(request, "TEXT", rows := len(request["TEXT"]))
        voices, speeds = texts(request, "VOICE", rows), numbers(request, "SPEED", rows, 1.0)
        counts = [round(len(text) / 15 / speed * self.RATE) for text, speed in zip(said, speeds, strict=True)]
        answer: Tensors = {
            "NUM_SAMPLES": np.array(counts, np.int32)[:, None],
            "SAMPLE_RATE": np.full((rows, 1), self.RATE, np.int32),
            "SECONDS": np.array(counts, np.float32)[:, None] / self.RATE,
        }
        if "AUDIO" in requested:
            answer["AUDIO"] = audio = np.zeros((rows, max(counts)), np.float32)
            for row, clip in enumerate(read_clips(request, rows)):
                note = self._note(voices[row]) if clip is None else note_of(clip.samples, clip.rate)
                clock = np.arange(counts[row]) / self.RATE
                audio[row, : counts[row]] = 0.3 * np.sin(2 * np.pi * note * clock)
        return answer

    def _note(self, voice: str) -> float:
        name, _, speaker = voice.partition("/")
        facts = self.VOICES[name]
        return float(facts["note"]) + 100 * (facts["speakers"].index(speaker) if speaker else 0)


def note_of(samples: Array, rate: int) -> float:
    """The strongest frequency of a sound [n], in Hz."""
    strength = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(strength) * rate / len(samples))
