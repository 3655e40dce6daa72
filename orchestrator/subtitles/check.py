"""What is wrong with cues by a set of rules."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.subtitles.cues import Cue, characters
from orchestrator.subtitles.rules import Rules

TOLERANCE_S = 0.0015
"""Files hold milliseconds."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Cue `index` breaks `rule`: it has `value` where `limit` holds."""

    index: int
    rule: str
    value: float
    limit: float


def check(cues: Sequence[Cue], rules: Rules) -> list[Violation]:
    """All violations in order of the cues."""
    found: list[Violation] = []
    for index, cue in enumerate(cues):
        found += _of_text(index, cue, rules)
        found += _of_time(index, cue, rules)
        if index + 1 < len(cues):
            gap = cues[index + 1].start - cue.end
            if gap < -TOLERANCE_S:
                found.append(Violation(index, "overlap", gap, 0.0))
            elif gap < rules.gap - TOLERANCE_S:
                found.append(Violation(index, "gap", gap, rules.gap))
    return found


def count(violations: Sequence[Violation]) -> dict[str, int]:
    """How often each rule is broken."""
    return dict(Counter(violation.rule for violation in violations))


def _of_text(index: int, cue: Cue, rules: Rules) -> list[Violation]:
    found = [
        Violation(index, "line_length", len(line), rules.line_length)
        for line in cue.lines
        if len(line) > rules.line_length
    ]
    if len(cue.lines) > rules.lines:
        found.append(Violation(index, "lines", len(cue.lines), rules.lines))
    if not any(line.strip() for line in cue.lines):
        found.append(Violation(index, "empty", 0, 1))
    return found


def _of_time(index: int, cue: Cue, rules: Rules) -> list[Violation]:
    seconds = cue.end - cue.start
    if seconds <= 0:
        return [Violation(index, "backwards", seconds, 0.0)]
    found = []
    if seconds < rules.shortest - TOLERANCE_S:
        found.append(Violation(index, "too_short", seconds, rules.shortest))
    if seconds > rules.longest + TOLERANCE_S:
        found.append(Violation(index, "too_long", seconds, rules.longest))
    speed = characters(cue) / (seconds + TOLERANCE_S)
    if speed > rules.reading_speed:
        found.append(Violation(index, "reading_speed", speed, rules.reading_speed))
    return found
