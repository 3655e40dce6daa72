"""Why a figure is not in a report, in words. A report never has a number that was not measured."""

from collections.abc import Mapping
from typing import Literal

Reason = Literal[
    "not_asked",
    "regenerated",
    "not_installed",
    "unavailable",
    "nothing_spoken",
    "not_heard",
    "not_cloned",
    "texts_given",
    "own_sound",
]

WORDS: Mapping[Reason, str] = {
    "not_asked": "it was not asked for",
    "regenerated": "it is not measured again when a dub is regenerated",
    "not_installed": "no model for it is installed",
    "unavailable": "its model did not answer",
    "nothing_spoken": "nothing is spoken",
    "not_heard": "no model understands this language",
    "not_cloned": "no voice was cloned",
    "texts_given": "the texts were given, not heard",
    "own_sound": "the original's sound was kept as it is",
}
