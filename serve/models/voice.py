"""What every kind of voice offers: length before sound, and timbres of its own or from a clip."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

Samples = npt.NDArray[np.float32]
Value = TypeVar("Value")

_draws = Lock()


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording to speak like: mono samples [n] in [-1, 1] at `rate` Hz. `digest` tells clips apart."""

    samples: Samples
    rate: int
    digest: str


@dataclass(frozen=True, slots=True)
class Timbre:
    """How somebody sounds, as a voice's own model has it. `key` tells timbres of one voice apart."""

    key: str
    conditioning: Any = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How a text is spoken. `speed` is real speed, 1 the voice's own; `language` may be empty."""

    timbre: Timbre
    language: str
    speed: float
    seed: int


class Plan(Protocol):
    """A text whose length is settled: `samples` are what it takes, `natural_s` what it would take at speed 1."""

    @property
    def samples(self) -> int: ...

    @property
    def natural_s(self) -> float: ...


class Voice(Protocol):
    """A loaded voice. Not thread-safe: its owner serialises calls."""

    sample_rate: int

    def limit(self, language: str) -> int | None:
        """The most characters the model speaks at once, or None where it has no limit of its own."""

    def own(self, speaker: str) -> Timbre:
        """The timbre of one of its own speakers, "" for the first. ModelError when there is none."""

    def like(self, clip: Clip) -> Timbre:
        """The timbre of a clip; only asked of voices that can clone."""

    def plan(self, text: str, manner: Manner) -> Any:
        """The `Plan` of a text, a function of its arguments."""

    def speak(self, plan: Any) -> Samples:
        """Exactly plan.samples samples at `sample_rate`."""


class Recent(Generic[Value]):
    """The last `size` results by key. Holds nothing but them, so that its owner is freed with its last reference."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was made for this key, or made now."""
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def fold_weight_norm(*nets: torch.nn.Module) -> None:
    """Weight norm folded into the weights, so that it is not computed anew at each call."""
    for net in nets:
        for module in net.modules():
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight")


@contextmanager
def drawing(seed: int | None = None) -> Iterator[None]:
    """torch's global generator for this thread alone, seeded when a seed is given. Models draw from it while they
    speak and while they are built, and whoever draws in between would change what is said.
    """
    with _draws:
        if seed is not None:
            torch.manual_seed(seed)
        yield
