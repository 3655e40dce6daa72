"""Whether a translation can be one: it doesn't repeat itself, and is about as long as its source. Pure functions.

Every rule compares with the source, so who says a thing four times may be translated four times.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from serve.models.translation_text import IDEOGRAM

UNIT = re.compile(rf"{IDEOGRAM.pattern}|[^\W_]+")
"""What may repeat: a word, or in scripts without spaces a character."""

LONGEST_PERIOD = 16
LOOPS = ((20.0, 2), (6.0, 3), (0.0, 4))
"""Extent of what repeats -> times in a row from which it is a loop."""

STUTTER = re.compile(r"(\S{1,3}?|\S )\1{9,}")
"""A character or a few, ten times in a row."""

LONGEST, LONGEST_EXTRA = 3.0, 25.0
SHORTEST, SHORTEST_EXTRA = 0.25, 4.0
"""A translation's extent may be 3 times its source's and 25 more, and a quarter of it and 4 less."""

WEIGHTS = ((0x3040, 0x30FF, 1.5), (0x3400, 0x9FFF, 3.0), (0xAC00, 0xD7AF, 2.0), (0xF900, 0xFAFF, 3.0))
"""Letters of an alphabet that say as much as one character of these blocks."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """What is said `times` times in a row; `end` is the index of the character after its first time."""

    times: int
    end: int


def extent(text: str) -> float:
    """How much a text says, in letters of an alphabet."""
    return sum(_weight(ord(character)) for character in text if not character.isspace())


def _weight(code: int) -> float:
    return next((weight for first, last, weight in WEIGHTS if first <= code <= last), 1.0)


def repetition(text: str) -> Repetition | None:
    """The loop in a text that comes first, or None. Says nothing of whether its source has it too."""
    stutter = STUTTER.search(text)
    loops = [Repetition(len(stutter[0]) // len(stutter[1]), stutter.end(1))] if stutter else []
    units = list(UNIT.finditer(text))
    words = [unit[0].casefold() for unit in units]
    for period in range(1, min(LONGEST_PERIOD, len(words) // 2) + 1):
        loops += _loops(text, units, words, period)
    return min(loops, key=lambda loop: loop.end, default=None)


def _loops(text: str, units: Sequence[re.Match[str]], words: Sequence[str], period: int) -> list[Repetition]:
    found: list[Repetition] = []
    start = 0
    while start + period < len(words):
        run = 0
        while start + period + run < len(words) and words[start + run] == words[start + period + run]:
            run += 1
        times = run // period + 1
        end = units[start + period - 1].end()
        if times >= _needed(extent(text[units[start].start() : end])):
            found.append(Repetition(times, end))
        start += max(run, 1)
    return found


def _needed(size: float) -> int:
    return next(times for least, times in LOOPS if size >= least)


def said(text: str) -> int:
    """How often a text says the same thing in a row at the most."""
    words = [unit[0].casefold() for unit in UNIT.finditer(text)]
    most = 1
    for period in range(1, min(LONGEST_PERIOD, len(words) // 2) + 1):
        run = 0
        for one, other in zip(words, words[period:], strict=False):
            run = run + 1 if one == other else 0
            most = max(most, run // period + 1)
    stutter = STUTTER.search(text)
    return max(most, len(stutter[0]) // len(stutter[1])) if stutter else most


def loops(source: str, translation: str) -> bool:
    """Whether the translation repeats itself more often than its source does."""
    loop = repetition(translation)
    return loop is not None and said(translation) > said(source)


def fits(source: str, translation: str) -> bool:
    """Whether the translation's length can be that of its source."""
    given, made = extent(source), extent(translation)
    words = any(character.isalnum() for character in translation)
    return words and SHORTEST * given - SHORTEST_EXTRA <= made <= LONGEST * given + LONGEST_EXTRA


def sound(source: str, translation: str) -> bool:
    """Whether a translation passes every guard."""
    return fits(source, translation) and not loops(source, translation)


def mended(source: str, translation: str) -> str:
    """The translation up to where it begins to repeat itself, with the mark that ends it."""
    loop = repetition(translation)
    if loop is None or not loops(source, translation):
        return translation
    closing = translation.rstrip()[-1:]
    return translation[: loop.end] + (closing if closing in ".!?…。！？" else "")


def badness(source: str, translation: str) -> float:
    """How far a translation's length is from its source's, as the ratio's logarithm; infinite for nothing at all."""
    made = extent(translation)
    return abs(math.log(made / max(extent(source), 1.0))) if made else math.inf
