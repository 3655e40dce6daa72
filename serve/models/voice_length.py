"""Whether speech is as long as its text: a model gone astray drawls, loops or swallows words."""

import math
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from serve.models.voice import Plan

CHARACTERS_PER_S = 15.0
"""Of a voice that was not measured, in letters of an alphabet."""

TOLERANCE = 2.5
"""How many times longer or shorter than expected speech may be."""

SLACK_S = 0.6
"""And this much more or less: short words begin and end with silence."""

DIGIT_LETTERS = 5.0
"""How many letters a digit is worth: it is read out as a word."""

SYLLABIC = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")
SYLLABLE_LETTERS = 3.0
"""Of scripts that write syllables or words. A voice measured in one of them is measured in its characters."""

OTHER_SEED = 0x2545F4914F6CDD1D
"""Added to the seed for the second attempt (the multiplier of xorshift64*: far from any other seed in use)."""

SEEDS = 2**63

Planned = TypeVar("Planned", bound=Plan)


def expected_s(text: str, characters_per_s: float | None) -> float:
    """Seconds a text should take at speed 1, of a voice measured to speak so many characters a second, or not."""
    if characters_per_s is not None:
        return sum(DIGIT_LETTERS if each.isdigit() else 1.0 for each in text) / characters_per_s
    return sum(_letters(each) for each in text) / CHARACTERS_PER_S


def _letters(character: str) -> float:
    if character.isdigit():
        return DIGIT_LETTERS
    return SYLLABLE_LETTERS if unicodedata.name(character, "").startswith(SYLLABIC) else 1.0


def deviation(seconds: float, expected: float) -> float:
    """How far a length is from the expected one: the logarithm of their ratio, 0 within the slack."""
    low, high = max(expected - SLACK_S, 0.0), expected + SLACK_S
    if low <= seconds <= high:
        return 0.0
    nearest = high if seconds > high else low
    return abs(math.log(max(seconds, 1e-3) / nearest))


def sound_plan(
    plan: Callable[[int], Planned], seed: int, text: str, characters_per_s: float | None, tolerance: float = TOLERANCE
) -> Planned:
    """plan(seed) when its length fits the text, else the better of it and one second attempt with another seed.

    The length at speed 1 decides, so a text is spoken with the same seed at every speed.
    """
    expected = expected_s(text, characters_per_s)
    first = plan(seed)
    if deviation(first.natural_s, expected) <= math.log(tolerance):
        return first
    second = plan((seed + OTHER_SEED) % SEEDS)
    return min(first, second, key=lambda each: deviation(each.natural_s, expected))
