"""How long a text is to the eye: in characters as people see them, not as Unicode stores them.

A character is an extended grapheme cluster (UAX 29): letters with their accents and vowel signs, flags, emoji with skin
colour or joined to families are one each. What takes two columns is told by its East Asian width (UAX 11).
"""

import unicodedata
from functools import lru_cache

import regex

Widths = tuple[float, float]
"""What a narrow and a wide character count."""

EACH_ONE: Widths = (1.0, 1.0)
COLUMNS: Widths = (1.0, 2.0)
FULL_WIDTH: Widths = (0.5, 1.0)
"""As CJK style guides count: Latin letters, digits and spaces are halves."""

_CLUSTER = regex.compile(r"\X")
_UNSEEN = regex.compile(r"[\p{Cf}\p{Mn}\p{Me}\p{Cc}]+")
_EMOJI_STYLE = "\ufe0f"


def clusters(text: str) -> list[str]:
    """The characters a reader sees."""
    found: list[str] = _CLUSTER.findall(text)
    return found


@lru_cache(maxsize=65_536)
def width(text: str, widths: Widths = EACH_ONE) -> float:
    """How much of a line a text takes; marks of direction and stray accents take nothing."""
    if text.isascii():
        return widths[0] * len(text)
    return sum(_width(cluster, widths) for cluster in clusters(text))


def _width(cluster: str, widths: Widths) -> float:
    if _UNSEEN.fullmatch(cluster):
        return 0.0
    wide = _EMOJI_STYLE in cluster or any(unicodedata.east_asian_width(each) in "WF" for each in cluster)
    flag = len(cluster) == 2 and all("\U0001f1e6" <= each <= "\U0001f1ff" for each in cluster)
    return widths[1] if wide or flag else widths[0]


def pieces(text: str, longest: float, widths: Widths = EACH_ONE) -> list[str]:
    """The text cut into pieces none of which is wider than `longest`, but for a single character that is."""
    if width(text, widths) <= longest:
        return [text]
    found, room = [""], longest
    for cluster in clusters(text):
        taken = _width(cluster, widths)
        if taken > room and found[-1]:
            found.append("")
            room = longest
        found[-1] += cluster
        room -= taken
    return found
