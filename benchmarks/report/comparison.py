"""Two reports side by side: what became better or worse, and what cannot be told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.measurements import Measurement
from benchmarks.report.intervals import Estimate, estimate, ratio
from benchmarks.report.results import Report

Verdict = Literal["better", "worse", "unclear", "no interval"]
Key = tuple[str, str]
"""Of a measurement: its part's name and its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """One measurement in both reports; `ratio` is new over old."""

    part: str
    measurement: Measurement
    old: Estimate
    new: Estimate
    ratio: Estimate
    verdict: Verdict
    same_command: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    old: Report
    changes: tuple[Change, ...]
    only_old: tuple[Key, ...]
    only_new: tuple[Key, ...]
    differences: Mapping[str, tuple[str, str]]
    """What differs in device, system, versions, variables or revision: old and new."""
    other_machine: bool


def compare(old: Report, new: Report) -> Comparison:
    """Every measurement of both, by part and name."""
    before = {(part, each.name): each for part, each in old.measured()}
    after = {(part, each.name): each for part, each in new.measured()}
    return Comparison(
        old=old,
        changes=tuple(
            _change(part, before[part, name], after[part, name]) for part, name in after if (part, name) in before
        ),
        only_old=tuple(key for key in before if key not in after),
        only_new=tuple(key for key in after if key not in before),
        differences=_differences(old, new),
        other_machine=old.environment.device != new.environment.device,
    )


def judged(better: Literal["higher", "lower"], found: Estimate) -> Verdict:
    """Better or worse only where the interval of new over old leaves 1 out."""
    if found.interval is None:
        return "no interval"
    if not found.interval.excludes(1):
        return "unclear"
    return "better" if (found.value > 1) == (better == "higher") else "worse"


def _change(part: str, old: Measurement, new: Measurement) -> Change:
    if (old.unit, old.statistic, old.better) != (new.unit, new.statistic, new.better):
        found = Estimate(float("nan"), None, f"was {old.statistic} in {old.unit}")
    else:
        found = ratio(old, new)
    verdict = judged(new.better, found)
    return Change(part, new, estimate(old), estimate(new), found, verdict, old.command == new.command)


def _differences(old: Report, new: Report) -> dict[str, tuple[str, str]]:
    before, after = _flat(old), _flat(new)
    names = [*after, *(name for name in before if name not in after)]
    pairs = {name: (before.get(name, "not said"), after.get(name, "not said")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(report: Report) -> dict[str, str]:
    own = report.environment
    return {**own.device, **own.system, **own.versions, **own.variables, "revision": own.revision}
