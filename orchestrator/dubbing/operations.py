"""What can be done to a transcript, as it is asked for."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.languages import Language

LONGEST_TEXT = 2_000
LONGEST_NAME = 100
MOST_OPERATIONS = 1_000
MOST_MERGED = 100

_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, halves of surrogate pairs, and separators of lines and paragraphs."""


def plain(text: str) -> str:
    """The text, composed (NFC) and without space around it. Raises ValueError where it is empty or holds what no text
    does: control characters but the end of a line, halves of characters."""
    refused = next((each for each in text if each != "\n" and unicodedata.category(each) in _REFUSED), None)
    if refused is not None:
        raise ValueError(f"a text cannot hold the character U+{ord(refused):04X}")
    text = unicodedata.normalize("NFC", text).strip()
    if not any(unicodedata.category(each)[0] not in "ZC" for each in text):
        raise ValueError("a text cannot be empty: delete the segment instead")
    return text


def one_line(text: str) -> str:
    """As `plain`, of one line."""
    if "\n" in text:
        raise ValueError("this is one line")
    return plain(text)


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(plain)]
Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(one_line)]
SegmentId = Annotated[int, Field(ge=0, lt=2**31)]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Operation(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChangeText(Operation):
    """Other words in the original's language. Its translations are made anew, unless `retranslate` is false."""

    op: Literal["text"]
    segment: SegmentId
    text: Text
    retranslate: bool = True


class ChangeTranslation(Operation):
    """Other words in a target language."""

    op: Literal["translation"]
    segment: SegmentId
    language: Language
    text: Text


class Retranslate(Operation):
    """Translate a segment anew at the next regenerate, into one target language or all."""

    op: Literal["retranslate"]
    segment: SegmentId
    language: Language | None = None


class ChangeTimes(Operation):
    """Another start, end or both, in seconds of the media."""

    op: Literal["times"]
    segment: SegmentId
    start: Seconds | None = None
    end: Seconds | None = None


class ChangeSpeaker(Operation):
    """Another speaker; null: not known."""

    op: Literal["speaker"]
    segment: SegmentId
    speaker: Name | None


class ChangeVoice(Operation):
    """Another voice in a target language; null: the one the job has."""

    op: Literal["voice"]
    segment: SegmentId
    language: Language
    voice: Name | None


class Merge(Operation):
    """Neighbours become one segment, which keeps the id, speaker and voices of the first."""

    op: Literal["merge"]
    segments: list[SegmentId] = Field(min_length=2, max_length=MOST_MERGED)


class Split(Operation):
    """One segment becomes two, parted before the word of this number (the first is 0) or at a time; the first keeps the
    id. `texts`: the two texts, where the segment has no words or they are to be others. `translations`: the same by
    target language; what is not given is translated anew."""

    op: Literal["split"]
    segment: SegmentId
    word: int | None = Field(default=None, ge=1)
    at: Seconds | None = None
    texts: tuple[Text, Text] | None = None
    translations: Mapping[Language, tuple[Text, Text]] = Field(default_factory=dict)


class Delete(Operation):
    """The segment is said no more."""

    op: Literal["delete"]
    segment: SegmentId


AnyOperation = Annotated[
    ChangeText | ChangeTranslation | Retranslate | ChangeTimes | ChangeSpeaker | ChangeVoice | Merge | Split | Delete,
    Field(discriminator="op"),
]
