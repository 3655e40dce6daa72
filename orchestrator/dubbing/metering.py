"""What an EBU R128 meter reads from moment to moment, and what follows for the whole (Tech 3341, 3342). Pure.

Kept beside a dub, so that where a sentence of it is changed only what lies around that is metered again.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from orchestrator.dubbing.loudness import SILENT_LUFS, Loudness

PER_SECOND = 10
"""The meter is read so often."""
SHORT_TERM_STEPS = 30
"""Short-term loudness is that of the last 3 s, momentary of the last 0.4."""
OFFSET_LU = 0.691
"""Of a loudness over the power it stands for (ITU-R BS.1770)."""
GATE_LU, RANGE_GATE_LU = -10.0, -20.0
"""Below the ungated loudness: what is quieter does not count for the integrated loudness, or for the range."""
RANGE_PERCENTILES = (10.0, 95.0)

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Rows [n, 3] of a meter, every 0.1 s from the track's beginning: momentary and short-term loudness in LUFS, and
    the true peak of that tenth of a second in dBTP. -inf or very low where it is silent or not enough was heard yet."""

    rows: Doubles

    @classmethod
    def of(cls, rows: Iterable[Sequence[float]]) -> Self:
        return cls(np.array(list(rows), np.float64).reshape(-1, 3))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def short_term(self) -> list[float]:
        return [float(value) for value in self.rows[:, 1]]

    def loudness(self) -> Loudness:
        """Integrated loudness, true peak and range of the whole."""
        momentary, short_term, peaks = self.rows.T
        integrated = _gated(momentary, GATE_LU)
        if not len(integrated):
            return Loudness(-math.inf, float(max(peaks, default=-math.inf)))
        heard = _gated(short_term, RANGE_GATE_LU)
        low, high = np.percentile(heard, RANGE_PERCENTILES) if len(heard) else (0.0, 0.0)
        return Loudness(_mean(integrated), float(peaks.max()), float(high - low))

    def with_part(self, first: int, part: "Readings") -> "Readings":
        """These with those of another track from row `first` on; what it has beyond the end is left out."""
        rows = self.rows.copy()
        there = part.rows[: max(0, len(rows) - first)]
        rows[first : first + len(there)] = there
        return Readings(rows)

    def thinned(self, most: int) -> tuple[float, list[float | None]]:
        """At most so many values of the short-term loudness, each the loudest of its stretch, and how many seconds a
        stretch lasts, which is one at least; silence is None."""
        values = self.short_term
        size = max(PER_SECOND, math.ceil(len(values) / most))
        loudest = [max(values[at : at + size]) for at in range(0, len(values), size)]
        return size / PER_SECOND, [round(each, 1) if each > SILENT_LUFS else None for each in loudest]


def _gated(values: Doubles, gate: float) -> Doubles:
    """Those that count: louder than silence, and than `gate` LU below the loudness of all that are."""
    heard = values[values > SILENT_LUFS]
    return heard[heard > _mean(heard) + gate] if len(heard) else heard


def _mean(lufs: Doubles) -> float:
    """The loudness of the mean power."""
    return float(10 * np.log10(np.mean(10 ** ((lufs + OFFSET_LU) / 10))) - OFFSET_LU)
