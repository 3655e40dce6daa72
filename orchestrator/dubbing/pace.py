"""How fast neighbours are spoken, so that speed does not jump; and what a voice is asked for to reach a speed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

SLOWEST = 0.85
FAST = 1.2
"""The fastest speed that passes unnoticed."""
FASTEST = 1.4
"""The fastest there is, where nothing else helps."""
GRID = 0.01
STEP = 0.1
"""Neighbours' speeds differ by at most this where their slots allow it."""
APART_S = 1.0
"""Behind a silence this long a listener has no speed in the ear."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """What is bad about a way to speak a passage, in one unit: a twentieth of a log-probability per token.

    `overflow` per second; `fast` and `faster` for any speed over `FAST` and per unit of it; `jump` and `step` for
    neighbours without a silence between, per unit over `STEP` and per squared unit; `empty` for speech shorter than the
    original's, per logarithm of their ratio; `worse` per log-probability per token; `quick` and `slow` for speeds over
    and under the voice's own, per squared logarithm.
    """

    overflow: float = 1000.0
    fast: float = 10.0
    faster: float = 100.0
    jump: float = 40.0
    step: float = 30.0
    empty: float = 5.0
    worse: float = 20.0
    quick: float = 30.0
    slow: float = 15.0

    def of_speed(self) -> Floats:
        """[speeds]: what each costs by itself."""
        over = np.maximum(0.0, speeds() - FAST)
        own = np.where(speeds() > 1, self.quick, self.slow) * np.log(speeds()) ** 2
        found: Floats = own + self.fast * (over > 0) + self.faster * over
        return found

    def of_step(self) -> Floats:
        """[speeds, speeds]: what a change from one to the other costs without a silence between."""
        change = np.abs(speeds()[:, None] - speeds()[None, :])
        found: Floats = self.step * change**2 + self.jump * np.maximum(0.0, change - STEP)
        return found


COSTS = Costs()


@cache
def speeds() -> Floats:
    """The speeds planned with, [speeds], slowest first."""
    return np.round(np.arange(round(SLOWEST / GRID), round(FASTEST / GRID) + 1) * GRID, 2)


def closeness(silence: float) -> float:
    """How much of a change in speed is heard across `silence` seconds: 1 without any, 0 from `APART_S` on."""
    return min(1.0, max(0.0, 1.0 - silence / APART_S))


def smoothest(own: Sequence[Floats], near: Sequence[float], costs: Costs = COSTS) -> list[int]:
    """The cheapest path through [speeds] costs of each segment, as indices; `near` are closenesses of neighbours."""
    if not own:
        return []
    total, back = own[0], []
    for cost, close in zip(own[1:], near, strict=True):
        ways = total[:, None] + close * costs.of_step()
        back.append(ways.argmin(axis=0))
        total = ways.min(axis=0) + cost
    path = [int(total.argmin())]
    for before in reversed(back):
        path.append(int(before[path[-1]]))
    return path[::-1]


@dataclass(frozen=True, slots=True)
class VoiceSpeeds:
    """The real speeds a voice reaches by itself.

    `curve` are measured pairs (speed asked for, real speed), both rising, of a voice that does not hit a real speed
    by itself; empty for one that does.
    """

    slowest: float
    fastest: float
    curve: tuple[tuple[float, float], ...] = ()

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        """From what `kept` gave."""
        return cls(kept["slowest"], kept["fastest"], tuple((asked, real) for asked, real in kept["curve"]))

    def kept(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {"slowest": self.slowest, "fastest": self.fastest, "curve": [list(pair) for pair in self.curve]}

    def reached(self, speed: float) -> float:
        """The real speed nearest to `speed` that the voice has."""
        low, high = self.slowest, self.fastest
        if self.curve:
            low, high = max(low, self.curve[0][1]), min(high, self.curve[-1][1])
        return max(low, min(high, speed))

    def asked(self, speed: float) -> float:
        """What to ask the voice for so that it speaks at real speed `speed`, by the inverse of its curve."""
        if not self.curve:
            return self.reached(speed)
        asked, real = zip(*self.curve, strict=True)
        return float(np.interp(self.reached(speed), real, asked))

    def within(self, other: "VoiceSpeeds") -> "VoiceSpeeds":
        """These speeds without those that `other` does not reach."""
        return VoiceSpeeds(other.reached(self.slowest), other.reached(self.fastest), self.curve)


ALL_SPEEDS = VoiceSpeeds(SLOWEST, FASTEST)
"""Of a voice that does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Seconds that speech is planned to take: `whole` with the quiet around it, `audible` without; and the `room` it
    has before the next begins.
    """

    whole: float
    audible: float
    room: float


NEAR_S = 0.02
"""Speech this near to its plan is left as it is spoken."""


def tempo(real: float, audible: float, spoken: float, planned: Planned) -> float:
    """By how much speech is sped up to be as planned; 1.0 where it is well as it is.

    It takes `real` seconds with the quiet around it, `audible` without, and was spoken at real speed `spoken`. Together
    with that it is not brought beyond SLOWEST to FASTEST.
    """
    if audible <= 0:
        return 1.0
    found = real / planned.whole if abs(real - planned.whole) > NEAR_S + 1e-9 else 1.0
    longest = max(planned.audible, planned.room)
    found = max(found, audible / longest) if longest > 0 else found
    found = max(SLOWEST / spoken, min(FASTEST / spoken, found))
    return 1.0 if math.isclose(found, 1.0, abs_tol=1e-6) else found
