"""Models for tests of operation: they do as they are told."""

import time
import weakref
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serve.models.base import Answer, Tensors, WeightSet, texts


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


class MidSide:
    """Takes voices out by the rule that they are in the middle: what both sides have in common."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        del parameters
        (self._weights,) = weights

    def load(self) -> None:
        pass

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(self._weights.facts)]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        middle = [np.repeat(each["AUDIO"].mean(axis=0, keepdims=True), 2, axis=0) for each in batch]
        return [
            {"VOCALS": each, "BACKGROUND": request["AUDIO"] - each} for request, each in zip(batch, middle, strict=True)
        ]
