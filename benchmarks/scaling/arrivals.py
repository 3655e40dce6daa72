"""Seeded arrivals with bursts and silence: a Poisson process whose rate is constant in each phase."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Phase:
    """`rate` requests a second for so many seconds."""

    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request: when it comes, in seconds from the start, and how long it would compute alone on one replica."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Windows:
    """Service times of windows of speech, as cut for Whisper: lengths by a gamma distribution, clipped.

    mean_s and deviation_s are of the length before it is clipped to shortest_s … longest_s; a window computes alone for
    its length divided by `realtime`.
    """

    realtime: float
    mean_s: float = 9.0
    deviation_s: float = 4.0
    shortest_s: float = 1.0
    longest_s: float = 28.0

    def draw(self, source: random.Random) -> float:
        """Seconds that one window computes."""
        shape = (self.mean_s / self.deviation_s) ** 2
        length = source.gammavariate(shape, self.mean_s / shape)
        return min(self.longest_s, max(self.shortest_s, length)) / self.realtime


BURSTY: Sequence[Phase] = (
    Phase(60, 0),
    Phase(180, 0.8),
    Phase(90, 12),  # a burst on top of a little work
    Phase(150, 0.8),
    Phase(120, 0),
    Phase(90, 8),  # a burst out of silence
    Phase(150, 1.5),
    Phase(30, 16),  # short and steep
    Phase(150, 0.8),
    Phase(180, 0),
)
"""Twenty minutes."""


def length(phases: Sequence[Phase]) -> float:
    """Seconds of all phases together."""
    return sum(phase.seconds for phase in phases)


def compressed(phases: Sequence[Phase], factor: float) -> list[Phase]:
    """The same rates for times shorter by `factor`: fewer requests, as close together."""
    return [replace(phase, seconds=phase.seconds / factor) for phase in phases]


def arrivals(phases: Sequence[Phase], sizes: Windows, seed: int) -> list[Arrival]:
    """The arrivals in order. The same seed gives the same.

    Within a phase gaps are exponential; a gap that reaches over its end is drawn anew from there, which is the same
    process, for it has no memory.
    """
    source = random.Random(seed)
    found: list[Arrival] = []
    begins = 0.0
    for phase in phases:
        ends = begins + phase.seconds
        at = begins
        while phase.rate > 0 and (at := at + source.expovariate(phase.rate)) < ends:
            found.append(Arrival(at, sizes.draw(source)))
        begins = ends
    return found
