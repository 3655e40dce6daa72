"""What is wrong with cues by a set of rules."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.dubbing.sentences import is_unspaced
from orchestrator.subtitles.cues import Cue, characters
from orchestrator.subtitles.lines import NO_LINE_END, NO_LINE_START, is_bad_break
from orchestrator.subtitles.measure import width
from orchestrator.subtitles.rules import Rules

TOLERANCE_S = 0.0015
"""Files hold milliseconds."""
ROUNDED = 1e-6
ON_GRID_S = 0.01
"""Cues are planned in whole hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Cue `index` breaks `rule`: it has `value` where `limit` holds."""

    index: int
    rule: str
    value: float
    limit: float


def check(cues: Sequence[Cue], rules: Rules) -> list[Violation]:
    """All violations in order of the cues.

    Of text: line_length, lines, empty, line_break (a line ends with a word that belongs to the next), kinsoku (it
    begins or ends with a mark it must not). Of time: backwards, too_short, too_long, reading_speed (characters a
    second) or reading_words (words a minute), early and late (against the first word), overlap, gap, and open_gap: one
    that should have been closed.
    """
    found: list[Violation] = []
    for index, cue in enumerate(cues):
        found += _of_text(index, cue, rules)
        found += _of_time(index, cue, rules)
        if index + 1 < len(cues):
            found += _of_gap(index, cue, cues[index + 1], rules)
    return found


def count(violations: Sequence[Violation]) -> dict[str, int]:
    """How often each rule is broken."""
    return dict(Counter(violation.rule for violation in violations))


def _of_text(index: int, cue: Cue, rules: Rules) -> list[Violation]:
    sizes = [width(line, rules.widths) for line in cue.lines]
    found = [
        Violation(index, "line_length", size, rules.line_length) for size in sizes if size > rules.line_length + ROUNDED
    ]
    if len(cue.lines) > rules.lines:
        found.append(Violation(index, "lines", len(cue.lines), rules.lines))
    if not any(line.strip() for line in cue.lines):
        return [*found, Violation(index, "empty", 0, 1)]
    if rules.breaks:
        poor = sum(is_bad_break((line.split() or [""])[-1], rules.language) for line in cue.lines[:-1])
        found += [Violation(index, "line_break", poor, 0)] if poor else []
    if is_unspaced(rules.language):
        wrong = sum(line[:1] in NO_LINE_START or line[-1:] in NO_LINE_END for line in cue.lines if line)
        found += [Violation(index, "kinsoku", wrong, 0)] if wrong else []
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
    found += _of_reading(index, cue, seconds + TOLERANCE_S, rules)
    if cue.said is not None:
        if cue.said - cue.start > rules.early + ON_GRID_S:
            found.append(Violation(index, "early", cue.said - cue.start, rules.early))
        if cue.start - cue.said > rules.late + ON_GRID_S:
            found.append(Violation(index, "late", cue.start - cue.said, rules.late))
    return found


def _of_reading(index: int, cue: Cue, seconds: float, rules: Rules) -> list[Violation]:
    size, words = characters(cue, rules), len(cue.text.split())
    if rules.reading_time(size, words) <= seconds:
        return []
    if rules.words_per_minute and rules.spaced:
        return [Violation(index, "reading_words", words * 60 / seconds, rules.words_per_minute)]
    return [Violation(index, "reading_speed", size / seconds, rules.reading_speed)]


def _of_gap(index: int, cue: Cue, following: Cue, rules: Rules) -> list[Violation]:
    gap = following.start - cue.end
    if gap < -TOLERANCE_S:
        return [Violation(index, "overlap", gap, 0.0)]
    if gap < rules.gap - TOLERANCE_S:
        return [Violation(index, "gap", gap, rules.gap)]
    closable = following.start - rules.gap - cue.start <= rules.longest
    if rules.gaps_are_closed and closable and rules.gap + ON_GRID_S < gap < rules.chain - TOLERANCE_S:
        return [Violation(index, "open_gap", gap, rules.chain)]
    return []
