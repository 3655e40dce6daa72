"""A file's name as its sender wrote it, made fit to show: never used as a path."""

import unicodedata
from pathlib import PurePosixPath

LONGEST_NAME = 255
UNTITLED = "untitled"
_JOINERS = "\u200c\u200d"
"""Persian and emoji need them; every other control, format or unassigned character goes."""


def display_name(given: str) -> str:
    """The last part of a path, without control and bidirectional characters, at most 255 characters with its suffix."""
    name = unicodedata.normalize("NFC", given).replace("\\", "/").rpartition("/")[2]
    name = "".join(each for each in name if each in _JOINERS or not unicodedata.category(each).startswith("C"))
    name = " ".join(name.split())
    if not name.strip(". " + _JOINERS):
        return UNTITLED
    if len(name) <= LONGEST_NAME:
        return name
    suffix = PurePosixPath(name).suffix
    suffix = suffix if len(suffix) <= 16 else ""
    return name[: LONGEST_NAME - len(suffix)] + suffix
