"""How much to turn a track up or down (EBU R128 measures; -16 LUFS where no other loudness is asked for)."""

import math
from dataclasses import dataclass
from typing import Literal

TARGET_LUFS = -16.0
Target = Literal[-16, -23, -14]
"""Loudness in LUFS that may be asked for: of online speech, of broadcasting (EBU R128), of music streaming."""
CEILING_DBTP = -1.0
HEADROOM_DB = 0.5
"""Kept below the ceiling before encoding: AAC and MP3 put back peaks of their own."""
LIMIT_DBTP = CEILING_DBTP - HEADROOM_DB
SILENT_LUFS = -70.0
"""R128's absolute gate: below it there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness in LUFS, true peak in dBTP (both -inf for silence), loudness range in LU."""

    integrated: float
    true_peak: float
    range: float = 0.0

    @property
    def is_silent(self) -> bool:
        return not self.integrated > SILENT_LUFS


@dataclass(frozen=True, slots=True)
class Gain:
    """A linear gain in dB, and the true peak in dBTP a limiter has to hold after it (None: it is not reached)."""

    db: float
    limit: float | None


def plan(measured: Loudness, target: float = TARGET_LUFS, ceiling: float = LIMIT_DBTP) -> Gain:
    """The gain that brings a track to `target` LUFS with its true peak under `ceiling` dBTP; silence is left alone."""
    if measured.is_silent or not math.isfinite(measured.integrated):
        return Gain(0.0, None)
    db = target - measured.integrated
    return Gain(db, ceiling if measured.true_peak + db > ceiling else None)


def held(db: float) -> Gain:
    """A gain that is given, under the same ceiling."""
    return Gain(db, LIMIT_DBTP)
