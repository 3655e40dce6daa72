"""Where a sentence ends, and how words become its text."""

import re
from collections.abc import Sequence

from orchestrator.dubbing.timeline import Word

UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my", "bo"})
"""Languages written without spaces between words."""

STOPS = ".…"
"""Marks that end a sentence unless what follows says otherwise."""
ENDINGS = "!?。！？｡؟۔।॥։።။។" + STOPS
"""Marks that may end a sentence: Latin, CJK, Arabic, Urdu, Devanagari, Armenian, Ethiopic, Burmese, Khmer."""
CLAUSES = ",;:–—、，；：،؛"
CLOSERS = "\"'”’»›)]}」』】）〉》"
OPENERS = "\"'“‘«‹([{「『【（〈《¿¡$€£#"

TITLES = re.compile(
    "mr|mrs|ms|dr|prof|rev|hon|gen|col|capt|lt|sgt|st|mt|gov|sen|rep|jr|vs|approx"  # en
    "|sra?|srta|d|dña|uds?|vd"  # es
    "|mm?e?|mlle|mgr"  # fr
    "|hr|fr|bzw|ing|evtl|ggf|inkl|sog|vgl"  # de
    "|dott|sig|avv"  # it
)
"""Abbreviations that a name or another word follows."""
BEFORE_NUMBERS = re.compile(
    "nos?|nrs?|núms?|n|figs?|pp?|vol|ch|cap|kap|art|abs|sec|ca?|bd|s|jan|feb|mar|apr|aug|sept?|oct|nov|dec"
)
"""Words that are abbreviations when a number follows."""
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+", re.UNICODE)

ABBREVIATION_PAUSE_S = 0.3
"""After initials ("U.S.", "J.") a pause this long ends the sentence all the same."""
LONG_PAUSE_S = 0.8
"""A pause over this ends a sentence whatever its punctuation."""


def is_unspaced(language: str | None) -> bool:
    return language is not None and language.split("-")[0] in UNSPACED


def ends_sentence(word: Word, following: Word | None, pause: float) -> bool:
    """Whether a sentence ends after `word`, `pause` seconds before `following`.

    Without `following` the pause is what is known of it so far, and the answer is True only where no later word could
    change it.
    """
    if pause > LONG_PAUSE_S:
        return True
    if following is None:
        return False
    if is_glued(word, following):
        return False
    if word.language != following.language:
        return True
    text = word.text.strip()
    bare = text.rstrip(CLOSERS)
    if not bare or bare[-1] not in _endings(word.language):
        return False
    return bare[-1] not in STOPS or _stop_ends(bare, following, pause)


def _endings(language: str | None) -> str:
    return ENDINGS + ";" if language == "el" else ENDINGS


def _stop_ends(bare: str, following: Word, pause: float) -> bool:
    """Whether a full stop or ellipsis ends the sentence: not after abbreviations, not before lower case."""
    after = following.text.strip().lstrip(OPENERS)
    stem = bare.lstrip(OPENERS).rstrip(STOPS).lower()
    if after[:1].islower() or TITLES.fullmatch(stem):
        return False
    if BEFORE_NUMBERS.fullmatch(stem) and after[:1].isdigit():
        return False
    if _INITIALS.fullmatch(bare.lstrip(OPENERS)):
        return pause >= ABBREVIATION_PAUSE_S
    return not (stem.isdigit() and after[:1].isdigit() and bare.endswith(".") and pause < ABBREVIATION_PAUSE_S)


def ends_clause(word: Word) -> bool:
    bare = word.text.strip().rstrip(CLOSERS)
    return bool(bare) and bare[-1] in CLAUSES + ENDINGS


def is_glued(word: Word, following: Word) -> bool:
    """Whether both are parts of one written word or number (" 3" ".5" "%"), never to be parted."""
    if following.text[:1].isspace() or not following.text or word.text[-1:].isspace():
        return False
    if not any(character.isalnum() for character in following.text):
        return following.text[:1] not in OPENERS
    if is_unspaced(word.language) or is_unspaced(following.language):
        return False
    if not following.text[:1].isalnum():
        return following.text[:1] not in OPENERS
    if following.text[:1].isupper() and word.text[-1:].islower():
        return False
    return word.text[:1].isspace() and word.text.strip(CLOSERS + " ")[-1:] not in ENDINGS + CLAUSES


def join(words: Sequence[Word]) -> str:
    """The words as text: as the recogniser spaced them, else spaced as their language is."""
    parts: list[str] = []
    for at, word in enumerate(words):
        previous = words[at - 1] if at else None
        if (
            previous
            and not is_glued(previous, word)
            and not (is_unspaced(previous.language) and is_unspaced(word.language))
        ):
            parts.append(" ")
        parts.append(word.text)
    return " ".join("".join(parts).split())
