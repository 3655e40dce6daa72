"""How fast a segment's dub is spoken, where it lies, and which translation is taken.

1. A slot runs from the segment's onset to `GUARD_S` before the next onset, at least over the original speech itself;
   the last one runs to the end of the media.
2. The pause is absorbed first: what fits the slot is spoken at the voice's own rate.
3. What does not is spoken faster, just enough to fit, at most `FASTEST`. What still overflows is reported, never cut.
4. Speech that fills less than `FULL` of the original speech's time is slowed to fill it, not below `SLOWEST`.
5. Onsets are absolute. Only behind an overflow does a segment start later, as far as it must to avoid overlap; where
   there is a pause again, the next is on time again.
6. Among translations the best-scored is taken, unless it overflows and another within `MARGIN` of its score
   overflows less.

Limits: 1.2 passes unnoticed, 0.85 is the slowest that peers allow (VoiceStudio, VideoLingo, pyVideoTrans agree).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.dubbing.timeline import Fit, Placement, Slot

__all__ = ["Candidate", "Fit", "Placement", "Slot", "choose", "fit", "place", "slot_of", "slot_of_cue", "slots"]

GUARD_S = 0.05
FASTEST = 1.2
SLOWEST = 0.85
FULL = 0.95
MARGIN = 0.25
"""Log-probability per token a shorter translation may be worse by."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A translation, its log-probability per token, and how long the voice takes for it at its own rate."""

    text: str
    score: float
    natural_seconds: float


def slot_of(start: float, end: float, next_onset: float, guard: float = GUARD_S) -> Slot:
    """The slot of speech from `start` to `end` seconds, when the next begins at `next_onset`."""
    end = max(start, end)
    return Slot(start, end, max(end, next_onset - guard))


def slot_of_cue(start: float, end: float, next_onset: float, guard: float = GUARD_S) -> Slot:
    """The slot of a cue that is read aloud. It is shown for longer than its words take: none are drawn out to that."""
    return Slot(start, start, slot_of(start, end, next_onset, guard).end)


def slots(starts: Sequence[float], ends: Sequence[float], duration: float) -> list[Slot]:
    """The slots of all segments of a media of `duration` seconds, in order."""
    onsets = [*starts[1:], duration + GUARD_S][: len(starts)]
    return [slot_of(start, end, onset) for start, end, onset in zip(starts, ends, onsets, strict=True)]


def fit(natural_seconds: float, slot: Slot) -> Fit:
    """The speed for speech that takes `natural_seconds` at speed 1. Raises ValueError for a negative or endless one."""
    if not 0 <= natural_seconds < float("inf"):
        raise ValueError(f"speech cannot last {natural_seconds} s")
    speed = _speed(natural_seconds, slot)
    seconds = natural_seconds / speed
    overflow = seconds - slot.seconds
    return Fit(speed, seconds, overflow if overflow > 1e-9 else 0.0)


def _speed(natural: float, slot: Slot) -> float:
    if natural > slot.seconds:
        return min(FASTEST, natural / slot.seconds) if slot.seconds > 0 else FASTEST
    if 0 < natural < FULL * slot.own:
        return max(SLOWEST, natural / slot.own)
    return 1.0


def choose(candidates: Sequence[Candidate], slot: Slot) -> Candidate:
    """The candidate to speak. Raises ValueError when there is none."""
    if not candidates:
        raise ValueError("there is no translation to choose from")
    best = max(candidates, key=lambda each: each.score)
    if fit(best.natural_seconds, slot).overflow == 0:
        return best
    near = [each for each in candidates if each.text.strip() and each.score >= best.score - MARGIN]
    return min(near, key=lambda each: (fit(each.natural_seconds, slot).overflow, -each.score), default=best)


def place(onsets: Sequence[float], seconds: Sequence[float], duration: float) -> list[Placement]:
    """Where speech of these lengths lies, in order of onset and without overlap, in a media of `duration` seconds."""
    placed: list[Placement] = []
    for onset, length in zip(onsets, seconds, strict=True):
        start = max(onset, placed[-1].end) if placed else onset
        end = start + length
        placed.append(Placement(start, end, start - onset, max(0.0, end - duration)))
    return placed
