"""One recording a call: what a model that rates or compares sound is given."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from serve.errors import ModelError, invalid
from serve.models.base import Answer, Tensors

RATE = 16_000
SHORTEST_S = 0.1

Samples = npt.NDArray[np.float32]


def answers(batch: Sequence[Tensors], longest_s: float, compute: Callable[[Samples], Tensors]) -> list[Answer]:
    """What `compute` makes of the AUDIO of each request, 16 kHz and finite; refusals stand in for answers."""
    return [_answer(request["AUDIO"], longest_s, compute) for request in batch]


def _answer(audio: Samples, longest_s: float, compute: Callable[[Samples], Tensors]) -> Answer:
    seconds = len(audio) / RATE
    if not SHORTEST_S <= seconds <= longest_s:
        return invalid(f"AUDIO: {seconds:.2f} s of 16 kHz audio, expected {SHORTEST_S:g} to {longest_s:g} s")
    if not np.isfinite(audio).all():
        return invalid("AUDIO: expected numbers in [-1, 1], got some that are none")
    try:
        return compute(np.clip(np.asarray(audio, np.float32), -1.0, 1.0))
    except ModelError as error:
        return error
