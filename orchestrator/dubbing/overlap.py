"""Long sound in windows that a model takes one by one, and their results joined without a seam.

Neighbours overlap; there one fades into the other in proportion, for both are about the same. Memory is that of a
window.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """Samples `start` to `stop`; the result is taken from `joint` on, where it fades in."""

    start: int
    stop: int
    joint: int


def windows(total: int, size: int, overlap: int) -> Iterator[Window]:
    """Windows of `size` samples over `total`, each `overlap` into the next. All are as long, the last reaches back for
    it, unless the whole is shorter than one.
    """
    if not 0 < overlap < size:
        raise ValueError(f"an overlap of {overlap} samples does not fit windows of {size}")
    joint = 0
    while joint < total:
        stop = min(joint + size, total)
        yield Window(max(0, stop - size), stop, joint)
        if stop == total:
            return
        joint = stop - overlap


class Joined:
    """The results of windows, given in order, as one."""

    def __init__(self, total: int, overlap: int) -> None:
        self._total = total
        self._overlap = overlap
        self._tail: Samples | None = None

    def add(self, window: Window, result: Samples) -> Samples:
        """The samples [m, channels] that no later window changes, of a window's result [stop - start, channels]."""
        fresh = result[window.joint - window.start :].astype(np.float32)
        if self._tail is not None:
            shared = len(self._tail)
            rising = ((np.arange(shared, dtype=np.float32) + 0.5) / shared)[:, None]
            fresh[:shared] = self._tail * (1 - rising) + fresh[:shared] * rising
        if window.stop == self._total:
            return fresh
        self._tail = fresh[-self._overlap :]
        return fresh[: -self._overlap]
