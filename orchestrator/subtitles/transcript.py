"""What was said as a text to read: paragraphs, each by its speaker where that is known, without times."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from orchestrator.dubbing.sentences import is_unspaced

LONGEST_PARAGRAPH = 1_000
"""Characters after which a paragraph ends with its sentence, however long somebody speaks without a pause."""


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of a passage, and who says it."""

    text: str
    passage: int = 0
    speaker: str | None = None


def dumps(sentences: Iterable[Said], language: str | None = None) -> str:
    """The sentences as paragraphs parted by empty lines: a new one at each pause and for each speaker, who is named."""
    paragraphs: list[str] = []
    last: str | None = None
    for (_, speaker), group in groupby((each for each in sentences if each.text.strip()), key=_place):
        for text in _paragraphs([" ".join(each.text.split()) for each in group], language):
            name = " ".join((speaker or "").split())
            paragraphs.append(f"{name}: {text}" if name and name != last else text)
            last = name
    return "".join(f"{paragraph}\n\n" for paragraph in paragraphs).removesuffix("\n")


def _place(said: Said) -> tuple[int, str | None]:
    return said.passage, said.speaker


def _paragraphs(texts: list[str], language: str | None) -> Iterable[str]:
    space = "" if is_unspaced(language) else " "
    paragraph = ""
    for text in texts:
        if paragraph and len(paragraph) + len(text) > LONGEST_PARAGRAPH:
            yield paragraph
            paragraph = ""
        paragraph += (space if paragraph else "") + text
    yield paragraph
