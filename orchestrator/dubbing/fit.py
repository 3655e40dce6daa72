"""What is said in each slot of a passage, how fast, and where it lies.

1. A slot runs from the segment's onset to `GUARD_S` before the next onset, at least over the original speech itself;
   the last one runs to the end of the media. Whatever fits it needs no hurry: the pause is absorbed first.
2. Of the n-best translations those within `MARGIN` of the best score may be said. How long the voice takes for one is
   known before it is spoken.
3. Every way to say a passage (a translation and a speed for each segment) has a cost, the sum of `Costs`:
   a. speech past its slot costs the most, then speed over `FAST`, up to `FASTEST`: paid only where no other
      translation and no pause helps;
   b. then speeds that jump by more than `STEP` between neighbours, the more the shorter the silence between them
      (none over `APART_S`);
   c. then silence where the original still speaks, a worse translation, and speeds other than the voice's own.
   The cheapest way is found exactly, by dynamic programming over speeds `GRID` apart (see `pace`).
4. Speech that still runs into the next segment delays it by just that, and the rest of the passage is planned anew
   with the slot it has left. What overflows is reported, never cut.
5. Onsets are absolute. Only behind an overflow does a segment start later; where there is a pause again, the next is
   on time again.

Limits: 1.2 passes unnoticed, 0.85 is the slowest that peers allow (VoiceStudio, VideoLingo, pyVideoTrans agree); at
1.4 speech reads back as well as at 1, above it does not.
"""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from orchestrator.dubbing.pace import COSTS, FAST, FASTEST, GRID, SLOWEST, Costs, closeness, smoothest, speeds
from orchestrator.dubbing.timeline import Fit, Placement, Slot

__all__ = [
    "FAST",
    "FASTEST",
    "GRID",
    "SLOWEST",
    "Candidate",
    "Choice",
    "Fit",
    "Placement",
    "Slot",
    "fit",
    "needs_others",
    "past",
    "place",
    "plan",
    "slot_of",
    "slot_of_cue",
    "slots",
]

GUARD_S = 0.05
FULL = 0.95
"""Speech that fills this share of the original speech's time leaves no silence that anybody hears."""
MARGIN = 0.25
"""Log-probability per token a translation may be worse by than the best."""
EASY = 1.1
"""Where the best translation is spoken faster than this, or `EMPTY` of the original's time stays silent, others are
worth measuring."""
EMPTY = 0.2

Floats = npt.NDArray[np.float64]

_TOUCH_S = 1e-9
_SHORTEST_S = 0.1
"""Shorter speech leaves no more silence than this: the cost of silence stays finite."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A translation, its log-probability per token, and how long the voice takes for it at its own rate."""

    text: str
    score: float
    natural_seconds: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What is said, how fast, and the slot it was planned for: later than the segment's own behind an overflow."""

    candidate: Candidate
    fit: Fit
    slot: Slot


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


def plan(
    slots: Sequence[Slot],
    candidates: Sequence[Sequence[Candidate]],
    turns: Container[int] = (),
    costs: Costs = COSTS,
) -> list[Choice]:
    """What is said in each slot of a passage, in order. `turns`: segments spoken by another than the one before.

    Raises ValueError where a segment has no candidate or one of impossible length.
    """
    allowed = [_allowed(each) for each in candidates]
    left = list(slots)
    while True:
        chosen = _cheapest(left, allowed, turns, costs)
        late = next((at for at, pair in enumerate(pairwise(chosen), 1) if _runs_into(*pair)), None)
        if late is None:
            return chosen
        left[late] = _shifted(left[late], chosen[late - 1])


def fit(natural_seconds: float, slot: Slot) -> Fit:
    """How speech that takes `natural_seconds` at speed 1 is spoken in a slot with no neighbours.

    Raises ValueError for a negative or endless length.
    """
    return plan([slot], [[Candidate("", 0.0, natural_seconds)]])[0].fit


def needs_others(choice: Choice) -> bool:
    """Whether another translation than this one, the best-scored, may be worth measuring."""
    empty = choice.slot.own - choice.fit.seconds
    return choice.fit.overflow > 0 or choice.fit.speed > EASY or empty > EMPTY * choice.slot.own


def place(onsets: Sequence[float], seconds: Sequence[float], duration: float) -> list[Placement]:
    """Where speech of these lengths lies, in order of onset and without overlap, in a media of `duration` seconds."""
    placed: list[Placement] = []
    for onset, length in zip(onsets, seconds, strict=True):
        start = max(onset, placed[-1].end) if placed else onset
        end = start + length
        placed.append(Placement(start, end, start - onset, max(0.0, end - duration)))
    return placed


def past(placement: Placement, slot: Slot) -> float:
    """Seconds by which speech that lies there runs past its slot, also where it was only begun too late for it."""
    overflow = placement.end - slot.end
    return overflow if overflow > _TOUCH_S else 0.0


def _allowed(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that may be said, best first."""
    for each in candidates:
        if not 0 <= each.natural_seconds < math.inf:
            raise ValueError(f"speech cannot last {each.natural_seconds} s")
    if not candidates:
        raise ValueError("there is no translation to choose from")
    ranked = sorted(candidates, key=lambda each: -each.score)
    return [
        each
        for at, each in enumerate(ranked)
        if at == 0 or (each.text.strip() and math.isfinite(each.score) and each.score >= ranked[0].score - MARGIN)
    ]


def _cheapest(
    slots: Sequence[Slot], candidates: Sequence[Sequence[Candidate]], turns: Container[int], costs: Costs
) -> list[Choice]:
    tables = [_costs(slot, each, costs) for slot, each in zip(slots, candidates, strict=True)]
    pairs = pairwise(zip(slots, candidates, strict=True))
    near = [0.0 if at in turns else closeness(_silence(*pair)) for at, pair in enumerate(pairs, 1)]
    path = smoothest([table.min(axis=0) for table in tables], near, costs)
    return [
        _choice(slot, each[int(table[:, at].argmin())], float(speeds()[at]))
        for slot, each, table, at in zip(slots, candidates, tables, path, strict=True)
    ]


def _costs(slot: Slot, candidates: Sequence[Candidate], costs: Costs) -> Floats:
    """What each candidate costs at each speed, [candidates, speeds]."""
    natural = np.array([[each.natural_seconds] for each in candidates])
    worse = np.array([[0.0], *([candidates[0].score - each.score] for each in candidates[1:])])
    seconds = natural / speeds()
    overflow = np.maximum(0.0, seconds - slot.seconds - _TOUCH_S)
    empty = np.log(np.maximum(1.0, FULL * slot.own / np.maximum(seconds, _SHORTEST_S)))
    found: Floats = costs.overflow * overflow + costs.empty * empty + costs.worse * worse + costs.of_speed()
    return found


def _choice(slot: Slot, candidate: Candidate, speed: float) -> Choice:
    seconds = candidate.natural_seconds / speed
    overflow = seconds - slot.seconds
    return Choice(candidate, Fit(speed, seconds, overflow if overflow > _TOUCH_S else 0.0), slot)


def _silence(one: tuple[Slot, Sequence[Candidate]], following: tuple[Slot, Sequence[Candidate]]) -> float:
    """The silence to the next segment that a listener hears when this one is spoken at the voice's own rate."""
    slot, candidates = one
    spoken = min(candidates[0].natural_seconds, slot.seconds)
    return following[0].onset - slot.onset - spoken


def _runs_into(one: Choice, following: Choice) -> bool:
    return one.slot.onset + one.fit.seconds > following.slot.onset + _TOUCH_S


def _shifted(slot: Slot, behind: Choice) -> Slot:
    """What is left of a slot behind speech that runs into it."""
    onset = behind.slot.onset + behind.fit.seconds
    return replace(slot, onset=onset, speech_end=max(onset, slot.speech_end), end=max(onset, slot.end))
