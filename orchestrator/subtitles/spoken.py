"""What of a cue is said aloud: its words, not what it tells of sounds."""

import re

_ASIDE = re.compile(r"\[[^\[\]]*\]|［[^［］]*］|【[^【】]*】")
_WHOLE_LINE = re.compile(r"[\s\-–—‐]*[(（][^()（）]*[)）][\s.]*")
_MARKS = re.compile(r"^[\s\-–—‐]+|[♪♫#*]+", re.MULTILINE)


def spoken(text: str) -> str:
    """The text on one line without [sounds], lines that are (asides) as a whole, note signs and the dashes of speakers.

    Empty where nothing is left to say.
    """
    lines = _ASIDE.sub(" ", text).split("\n")
    said = " ".join(_MARKS.sub("", line) for line in lines if not _WHOLE_LINE.fullmatch(line))
    said = " ".join(said.split())
    return said if any(character.isalnum() for character in said) else ""
