"""The quality report of one dub: how it fits, how loud it is, what the listener should know."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.dubbing.loudness import Loudness
from orchestrator.dubbing.timeline import Placement

TIGHT_S = 0.02
"""Speech that runs past its slot by less than one video frame at 50 fps counts as inside."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One segment as it was placed. `overflow` is the seconds past its slot, by its real length."""

    index: int
    speed: float
    seconds: float
    overflow: float
    placement: Placement


def quality_report(
    spoken: Sequence[Spoken],
    *,
    loudness: Loudness | None,
    media_seconds: float,
    output_seconds: float,
    subtitle_violations: Mapping[str, int],
    flags: Sequence[str] = (),
) -> dict[str, Any]:
    """The report as JSON-ready data; times in seconds rounded to milliseconds.

    `loudness` is that of the finished track (None: it was taken over untouched); `subtitle_violations` counts by rule;
    `flags` are such as "toy_translation" or "stand_in_voice".
    """
    return {
        "segments": [_segment(each) for each in spoken],
        "fit": _fit(spoken),
        "loudness": None if loudness is None else _loudness(loudness),
        "duration": {
            "media_s": round(media_seconds, 3),
            "output_s": round(output_seconds, 3),
            "difference_s": round(output_seconds - media_seconds, 3),
        },
        "subtitle_violations": {"total": sum(subtitle_violations.values()), **subtitle_violations},
        "flags": list(flags),
    }


def _segment(each: Spoken) -> dict[str, Any]:
    return {
        "index": each.index,
        "onset_error_s": round(each.placement.delay, 3),
        "speed": round(each.speed, 3),
        "seconds": round(each.seconds, 3),
        "overflow_s": round(each.overflow, 3),
        "beyond_end_s": round(each.placement.beyond, 3),
    }


def _fit(spoken: Sequence[Spoken]) -> dict[str, Any]:
    inside = sum(each.overflow < TIGHT_S for each in spoken)
    delays = sorted(each.placement.delay for each in spoken)
    return {
        "segments": len(spoken),
        "inside_slot_percent": round(100 * inside / len(spoken), 1) if spoken else None,
        "max_speed": round(max((each.speed for each in spoken), default=1.0), 3),
        "min_speed": round(min((each.speed for each in spoken), default=1.0), 3),
        "overflow_s": round(sum(each.overflow for each in spoken), 3),
        "max_onset_error_s": round(delays[-1], 3) if delays else 0.0,
        "p95_onset_error_s": round(delays[math.ceil(0.95 * len(delays)) - 1], 3) if delays else 0.0,
        "beyond_end_s": round(max((each.placement.beyond for each in spoken), default=0.0), 3),
    }


def _loudness(measured: Loudness) -> dict[str, Any]:
    """JSON knows no infinity: silence is None."""
    if measured.is_silent:
        return {"integrated_lufs": None, "true_peak_dbtp": None, "range_lu": None, "silent": True}
    return {
        "integrated_lufs": round(measured.integrated, 2),
        "true_peak_dbtp": round(measured.true_peak, 2),
        "range_lu": round(measured.range, 2),
        "silent": False,
    }
