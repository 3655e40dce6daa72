"""How well a dub keeps the original's time, in numbers. Times in seconds."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.dubbing.timeline import Placement, Slot

NOTICED_S = 0.3
"""A length off by more than this is counted, as in IWSLT's dubbing track."""
BIN = 0.05
TOUCHING_S = 1e-6
"""Speech that ends this little after the next begins only touches it: less than a sample at any rate."""


@dataclass(frozen=True, slots=True)
class SpeedBin:
    """How many segments are spoken at a speed from `low` up to but not `high`."""

    low: float
    high: float
    count: int


def duration_compliance(pairs: Sequence[tuple[float, float]]) -> float:
    """Mean of min/max over (original, dubbed) lengths: 1.0 where all are alike or there are none.

    The duration measure of IWSLT's dubbing track. Two empty stretches are alike; an empty one and another are not at
    all. Raises ValueError for a negative or endless length.
    """
    return sum(_alike(*pair) for pair in pairs) / len(pairs) if pairs else 1.0


def share_off(pairs: Sequence[tuple[float, float]], seconds: float = NOTICED_S) -> float:
    """Share of the (original, dubbed) lengths, 0-1, that differ by more than `seconds`; 0.0 where there are none."""
    return sum(abs(ours - theirs) > seconds + 1e-9 for theirs, ours in pairs) / len(pairs) if pairs else 0.0


def speed_histogram(speeds: Sequence[float]) -> list[SpeedBin]:
    """Counts in bins `BIN` wide around multiples of it (so 1.0 lies in the middle of one), slowest first, none left
    out between the slowest and the fastest speed.
    """
    if not speeds:
        return []
    counts = Counter(math.floor(speed / BIN + 0.5 + 1e-9) for speed in speeds)
    return [
        SpeedBin(round((at - 0.5) * BIN, 3), round((at + 0.5) * BIN, 3), counts[at])
        for at in range(min(counts), max(counts) + 1)
    ]


def silence_added(slots: Sequence[Slot], placements: Sequence[Placement]) -> float:
    """Seconds in which somebody still speaks in the original and the dub has fallen silent, over all segments."""
    return sum(
        max(0.0, slot.speech_end - max(slot.onset, placed.end)) for slot, placed in zip(slots, placements, strict=True)
    )


def overlaps(placements: Sequence[Placement]) -> int:
    """How many segments, in order of onset, begin while an earlier one is still spoken."""
    count, until = 0, -math.inf
    for placed in placements:
        count += placed.onset < until - TOUCHING_S
        until = max(until, placed.end)
    return count


def _alike(theirs: float, ours: float) -> float:
    for length in (theirs, ours):
        if not 0 <= length < math.inf:
            raise ValueError(f"speech cannot last {length} s")
    return min(theirs, ours) / max(theirs, ours) if max(theirs, ours) > 0 else 1.0
