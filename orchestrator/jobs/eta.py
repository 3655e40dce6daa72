"""How long a job still takes, judged by its own speed. Pure.

The work is measured in points, a hundred in all, shared among the stages by their weights. Between two reports so many
seconds brought so many points; they are put down to the stages that came further, to each in proportion to the points
it made and to what a point of it cost so far. What is left of a stage is multiplied by its own seconds per point, which
lean on those of the whole job while little of the stage is known. Old seconds and points fade, so that a job which
becomes slower is believed after a few points; a single long gap (a worker died, the models were away) is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Counts = Mapping[str, list[int]]
"""Done and expected units by stage: {"transcribing": [3, 12]}."""
Weights = Mapping[str, int]
"""Points by stage."""

HALF_LIFE = 10.0
HALF_LIFE_UNITS = 8
"""After so many points of a stage, and so many of its units, what was measured of it counts half."""
LEANING = 3.0
"""A stage's own speed counts as much as the whole job's when it was measured over so many points."""
BASE = 3.0
"""Points beyond the first stage that must be made before anything is said."""
STALL_S = 30.0
STALL_FACTOR = 4.0
"""A gap that is longer than this and than so many times what was expected counts no more than that."""
TOGETHER = 4
"""The first units of a stage count once there are so many, or all of them. Several begin at once, and the first one to
end would stand for the time of all."""

FIRST = "extracting"
PARALLEL = ("transcribing", "translating", "synthesizing")
BOUND_TO_HEARING = ("translating", "synthesizing")
"""How many of their units there are is known only as far as the file has become segments."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of a job's speed."""

    made: Mapping[str, float] = field(default_factory=dict)
    """By stage, the points made so far."""
    spent: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By stage, seconds and the points they brought, the older the less they count."""
    waited: float = 0.0
    """Seconds since points were last made."""
    is_sized: bool = False
    """Whether it is known how many units there are of any stage beyond the first."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        spent = {stage: (float(seconds), float(points)) for stage, (seconds, points) in data.get("spent", {}).items()}
        return cls(data.get("made", {}), spent, data.get("waited", 0.0), data.get("is_sized", False))

    def to_json(self) -> dict[str, Any]:
        return {
            "made": {stage: round(points, 4) for stage, points in self.made.items()},
            "spent": {stage: [round(value, 4) for value in pair] for stage, pair in self.spent.items()},
            "waited": round(self.waited, 4),
            "is_sized": self.is_sized,
        }

    def per_point(self, stage: str) -> float:
        """Seconds that a point of the stage costs; 1 where nothing was measured yet."""
        seconds = sum(pair[0] for pair in self.spent.values())
        points = sum(pair[1] for pair in self.spent.values())
        overall = seconds / points if points else 1.0
        own_seconds, own_points = self.spent.get(stage, (0.0, 0.0))
        return (own_seconds + LEANING * overall) / (own_points + LEANING)


def observe(pace: Pace, weights: Weights, counts: Counts, known: float, seconds: float) -> Pace:
    """The pace when, so many seconds after the last report, the counts are these.

    `known`: the share of the file, 0-1, that has become segments. What a stage is first reported with was there before
    and says nothing of its speed, nor does the time until then.
    """
    now = _points(weights, counts, known)
    made = {**now, **{stage: max(points, now.get(stage, 0.0)) for stage, points in pace.made.items()}}
    before = {FIRST: 0.0, **pace.made}
    gained = {stage: made[stage] - points for stage, points in before.items() if made.get(stage, 0.0) > points}
    has_begun = any(points > 0 and stage not in before for stage, points in now.items())
    waited = pace.waited + max(0.0, seconds)
    is_sized = any(expected for stage, (_, expected) in counts.items() if stage != FIRST)
    spent = dict(pace.spent)
    if gained:
        spent |= _spent(pace, gained, waited, {stage: _half_life(weights, counts, stage) for stage in gained})
        waited = 0.0
    elif is_sized and not pace.is_sized:  # finding out how much there is belongs to reading the file
        read, points = spent.get(FIRST, (0.0, 0.0))
        spent[FIRST] = (read + waited, points)
        waited = 0.0
    elif has_begun:
        waited = 0.0
    return Pace(made, spent, waited, is_sized)


def seconds_left(pace: Pace, weights: Weights) -> float | None:
    """Seconds until the job is done; None while too little of its speed is known."""
    measured = sum(points for stage, (_, points) in pace.spent.items() if stage != FIRST)
    if measured < BASE:
        return None
    left = {stage: max(0.0, weight - pace.made.get(stage, 0.0)) for stage, weight in weights.items()}
    return sum(points * pace.per_point(stage) for stage, points in left.items())


def _spent(
    pace: Pace, gained: Mapping[str, float], seconds: float, half_lives: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """The seconds put down to the stages that came further."""
    expected = {stage: points * pace.per_point(stage) for stage, points in gained.items()}
    if pace.spent:
        seconds = min(seconds, max(STALL_S, STALL_FACTOR * sum(expected.values())))
    if not all(expected.values()):  # what took no time so far
        expected = dict(gained)
    total = sum(expected.values())
    spent = {}
    for stage, points in gained.items():
        kept = 0.5 ** (points / half_lives[stage])
        old_seconds, old_points = pace.spent.get(stage, (0.0, 0.0))
        spent[stage] = (old_seconds * kept + seconds * expected[stage] / total, old_points * kept + points)
    return spent


def _half_life(weights: Weights, counts: Counts, stage: str) -> float:
    """In points of the stage."""
    _, expected = counts.get(stage, [0, 0])
    return max(HALF_LIFE, HALF_LIFE_UNITS * weights.get(stage, 0) / expected if expected else 0.0)


def _points(weights: Weights, counts: Counts, known: float) -> dict[str, float]:
    """Points made by stage."""
    return {
        stage: weights.get(stage, 0)
        * _share(count, TOGETHER if stage in PARALLEL else 0)
        * (known if stage in BOUND_TO_HEARING else 1.0)
        for stage, count in counts.items()
    }


def _share(count: list[int], together: int) -> float:
    done, expected = count
    return done / expected if expected and done >= min(together, expected) else 0.0
