"""The clip a voice is cloned from: the cleanest 6 to 15 s of a speaker.

1. Only where nobody else speaks, in stretches of `PART_S` at least.
2. A stretch is as clean as its speech stands out: decibels between its loud frames (90th percentile) and its quiet ones
   (10th). Nearly silent stretches and clipped ones are left out.
3. The cleanest are taken until `WANTED_S` are together, a long one cut to what is missing; they are heard in the order
   of the recording. Under `SHORTEST_S` there is no clip.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from orchestrator.dubbing.timeline import Interval

SHORTEST_S = 6.0
WANTED_S = 15.0
PART_S = 1.5
LONGEST_PART_S = 15.0
FRAME_S = 0.02
QUIETEST_DB = -50.0
"""RMS of the loud frames relative to full scale: a softer stretch is no speech that could be cloned."""
CLIPPED = 0.99
CLIPPED_SHARE = 0.001

Samples = npt.NDArray[np.float32]


def choose(alone: Sequence[Interval], read: Callable[[Interval], Samples], rate: int) -> list[Interval]:
    """The parts of the clip in order; [] where less than `SHORTEST_S` will do.

    `alone`: where only this speaker is heard. `read` gives the sound there, [n] at `rate` Hz in [-1, 1].
    """
    rated = [(clarity(read(part), rate), part) for part in _parts(alone)]
    chosen: list[Interval] = []
    missing = WANTED_S
    for clear, part in sorted(rated, key=lambda each: (-each[0], each[1].start)):
        if clear <= 0 or missing < PART_S:
            break
        chosen.append(Interval(part.start, min(part.end, part.start + missing)))
        missing -= chosen[-1].end - chosen[-1].start
    if WANTED_S - missing < SHORTEST_S:
        return []
    return sorted(chosen, key=lambda each: each.start)


def clarity(samples: Samples, rate: int) -> float:
    """How far speech [n] stands out, in decibels; 0 for what is silent or clipped."""
    size = round(FRAME_S * rate)
    count = len(samples) // size
    if count == 0 or np.mean(np.abs(samples) >= CLIPPED) > CLIPPED_SHARE:
        return 0.0
    frames = samples[: count * size].reshape(count, size).astype(np.float64)
    levels = 10 * np.log10(np.maximum(np.mean(frames**2, axis=1), 1e-10))
    quiet, loud = np.percentile(levels, (10, 90))
    return float(loud - quiet) if loud > QUIETEST_DB else 0.0


def _parts(alone: Sequence[Interval]) -> list[Interval]:
    """The stretches that are long enough, long ones cut."""
    parts: list[Interval] = []
    for stretch in alone:
        start = stretch.start
        while stretch.end - start >= PART_S:
            parts.append(Interval(start, min(stretch.end, start + LONGEST_PART_S)))
            start = parts[-1].end
    return parts
