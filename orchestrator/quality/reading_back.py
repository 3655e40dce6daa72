"""Reading a dub back: which of its segments a recogniser hears, and how far what it hears is from what was said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from orchestrator.capabilities import base

ReadBack = Literal["none", "sample", "full"]
Normaliser = Callable[[str], str]

LONGEST_S = 28.0
"""Longer speech does not fit into one window of Whisper's with silence after it, and is not read back."""
SHORTEST_S = 0.3
SAMPLE_SEGMENTS = 8
SAMPLE_S = 40.0
"""The most that a sample holds."""
WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
"""Languages written without spaces: their errors are counted in characters."""
BRACKETS = str.maketrans(dict.fromkeys("()[]<>（）［］【】", " "))
"""Whisper's normalisers delete what stands in brackets. A voice speaks it."""
WORST = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one segment said and what was heard, normalised; errors of `units` words (or characters) and characters."""

    index: int
    said: str
    heard: str
    errors: int
    units: int
    character_errors: int
    characters: int

    @property
    def rate(self) -> float:
        return self.errors / self.units


def unit_of(language: str) -> str:
    """In what the errors of a language are counted."""
    return "characters" if base(language) in WITHOUT_SPACES else "words"


def chosen(seconds: Sequence[float], how: ReadBack) -> list[int]:
    """Which of the segments of these lengths are read back, in order: all, or a sample spread evenly over the dub."""
    fit = [at for at, length in enumerate(seconds) if SHORTEST_S <= length <= LONGEST_S]
    if how == "none" or not fit:
        return []
    if how == "full":
        return fit
    for count in range(min(SAMPLE_SEGMENTS, len(fit)), 1, -1):
        sample = [fit[(2 * at + 1) * len(fit) // (2 * count)] for at in range(count)]
        if sum(seconds[at] for at in sample) <= SAMPLE_S:
            return sample
    return [fit[len(fit) // 2]]


def compared(index: int, said: str, heard: str, language: str) -> Comparison | None:
    """How far what was heard is from what was said; None where what was said has nothing to be heard, such as "♪"."""
    normalise = _normaliser(base(language))
    said, heard = normalise(said.translate(BRACKETS)).strip(), normalise(heard.translate(BRACKETS)).strip()
    if not said:
        return None
    words = jiwer.process_words(said, heard)
    letters = jiwer.process_characters(said, heard)
    return Comparison(index, said, heard, *_counted(words), *_counted(letters))


def summed(comparisons: Sequence[Comparison], of: int, seconds: float, language: str) -> dict[str, Any] | None:
    """The report's part: over all comparisons, and each; None where there are none.

    `of`: how many segments the dub has; `seconds`: of speech that was heard.
    """
    if not comparisons:
        return None
    characters = sum(each.characters for each in comparisons)
    worst = sorted(comparisons, key=lambda each: (-each.rate, each.index))[:WORST]
    return {
        "unit": unit_of(language),
        "error_percent": _percent(sum(each.errors for each in comparisons), sum(each.units for each in comparisons)),
        "character_error_percent": _percent(sum(each.character_errors for each in comparisons), characters),
        "segments": len(comparisons),
        "of_segments": of,
        "seconds": round(seconds, 1),
        "by_segment": [
            {"index": each.index, "error_percent": _percent(each.errors, each.units)} for each in comparisons
        ],
        "worst": [
            {
                "index": each.index,
                "error_percent": _percent(each.errors, each.units),
                "said": each.said,
                "heard": each.heard,
            }
            for each in worst
            if each.errors
        ],
    }


def _percent(errors: int, units: int) -> float:
    return round(100 * errors / units, 1)


def _counted(found: jiwer.WordOutput | jiwer.CharacterOutput) -> tuple[int, int]:
    """Errors, at most as many as there is to be said (a recogniser may repeat itself without end), and that length."""
    said = found.substitutions + found.deletions + found.hits
    return min(said, found.substitutions + found.deletions + found.insertions), said


@cache
def _normaliser(language: str) -> Normaliser:
    """Whisper's own, which takes case, punctuation and, in English, spelling and numbers out of the comparison.

    Vowel signs and the like stay: without them words of Hindi or Thai would fall into pieces.
    """
    if language == "en":
        english: Normaliser = EnglishTextNormalizer()
        return english
    other: Normaliser = BasicTextNormalizer(split_letters=language in WITHOUT_SPACES, preserve_marks=True)
    return other
