"""Cues that break rules made to keep them: split, joined, shown longer, moved a little, broken into other lines.

No word is lost, said twice or moved past another. What is left is what the words do not allow otherwise: most of it is
said faster than can be read, for nothing is condensed here.

1. Cues are taken in the order of their times, and what they overlap is given to them one after the other.
2. Cues between pauses so long that nothing before them matters to what comes after are an island. One without a broken
   rule stays as it is.
3. Any other is cut anew from its words (see `plan`), by their own times where they are known, else by their share of
   their cue's; the cuts that are there already are preferred.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.subtitles.check import Violation, check
from orchestrator.subtitles.cues import Cue, Line, Stretch, cues_of_stretches, stretch_of_line, stretch_of_words
from orchestrator.subtitles.rules import Rules


@dataclass(frozen=True, slots=True)
class Repaired:
    """The cues, and every rule they still break."""

    cues: list[Cue]
    left: list[Violation]


def repair(cues: Sequence[Cue], rules: Rules) -> Repaired:
    """The cues with as few broken rules as their words allow; those that say nothing are left out."""
    repaired: list[Cue] = []
    for island in _islands(_one_after_the_other(cues), rules):
        if check(island, rules):
            sentences = [_stretch(cue, rules) for cue in island]
            repaired += cues_of_stretches(sentences, frozenset(range(len(sentences))))
        else:
            repaired += island
    return Repaired(repaired, check(repaired, rules))


def _one_after_the_other(cues: Sequence[Cue]) -> list[Cue]:
    said = sorted((cue for cue in cues if cue.text.strip()), key=lambda cue: cue.start)
    starts = [cue.start for cue in said]
    return [
        replace(cue, end=max(cue.start, min(cue.end, following)))
        for cue, following in zip(said, [*starts[1:], float("inf")], strict=False)
    ]


def _islands(cues: Sequence[Cue], rules: Rules) -> list[list[Cue]]:
    """Runs of cues: whatever is made of one, its last cue has all the time it can use before the next begins."""
    apart = rules.longest + rules.gap + rules.early + rules.late
    islands: list[list[Cue]] = []
    for cue in cues:
        if islands and cue.start - max(islands[-1][-1].start, islands[-1][-1].end) < apart:
            islands[-1].append(cue)
        else:
            islands.append([cue])
    return islands


def _stretch(cue: Cue, rules: Rules) -> Stretch:
    if cue.words:
        return stretch_of_words(cue.text, cue.words, rules, cue.speaker)
    start = cue.start if cue.said is None else cue.said
    return stretch_of_line(Line(start, max(start, cue.end), cue.text, cue.speaker), rules)
