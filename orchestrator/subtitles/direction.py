"""Text that runs from right to left, told to players that would lay it out from left to right.

A player that takes a line for left-to-right puts its full stop, dash or question mark on the wrong side and its parts
in the wrong order (Unicode's bidirectional algorithm, UAX 9).
"""

import unicodedata
from collections import Counter

from orchestrator.subtitles.markup import DIRECTION, RIGHT_TO_LEFT

RLE, PDF, RLM = "\u202b", "\u202c", "\u200f"
"""Right-to-left embedding, its end, and the mark that makes what follows begin right-to-left."""


def runs_right_to_left(text: str, language: str | None = None) -> bool:
    """Whether a text is laid out from the right: by its language where it has such letters, else by most letters."""
    directions = Counter(_direction(character) for character in text)
    if language is not None:
        return directions["R"] > 0 and language.split("-")[0].lower() in RIGHT_TO_LEFT
    return directions["R"] > directions["L"]


def embedded(line: str, language: str | None = None) -> str:
    """The line as a right-to-left embedding, for ASS: its renderers take every line for left-to-right."""
    bare = DIRECTION.sub("", line)
    return f"{RLE}{bare}{PDF}" if runs_right_to_left(bare, language) else line


def marked(line: str, language: str | None = None) -> str:
    """The line with a mark where a player that goes by its first letter would be wrong, for SubRip and WebVTT."""
    first = next((direction for direction in map(_direction, line) if direction), "")
    return RLM + line if first != "R" and runs_right_to_left(line, language) else line


def directed(text: str, format_: str, language: str) -> str:
    """A cue's text, lines parted by a newline, as a player of the format lays it out from the right."""
    told = {"ass": embedded, "ssa": embedded, "srt": marked, "vtt": marked}.get(format_)
    return "\n".join(told(line, language) for line in text.split("\n")) if told else text


def _direction(character: str) -> str:
    """ "L", "R", or nothing for what has no direction of its own."""
    kind = unicodedata.bidirectional(character)
    return "R" if kind in ("R", "AL") else "L" if kind == "L" else ""
