"""A subtitle file as it is: its text with the places where cues say something.

A translated file is the same file with other words in those places. So whatever else is in it, known to us or not,
stays as it was to the letter: timings, numbers, settings, positions, styles, notes, line ends. (pysubs2 and its like
read a file into a model of their own and write that: WebVTT's settings, notes, styles and regions do not survive it.)
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.subtitles.remarks import Remark

MOST_CUES = 100_000
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True, slots=True)
class FileCue:
    """A cue of a file. `start` and `end` in seconds as written, also where they make no sense.

    `raw` is what it says, tags and all, in lines parted by a newline; it lies from `begin` to `end_at` in the file.
    `voice` tells cues of one speaker or style from others; a `fixed` cue shows no words (a drawing) and stays.
    """

    line: int
    start: float
    end: float
    raw: str
    begin: int
    end_at: int
    voice: str = ""
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A file of `format` "srt", "vtt", "ass", "ssa" or "json", its cues in the order they stand in."""

    format: str
    text: str
    cues: tuple[FileCue, ...]
    remarks: tuple[Remark, ...]

    @property
    def newline(self) -> str:
        """How its lines end."""
        found = re.search(r"\r\n|\r|\n", self.text)
        return found[0] if found else "\n"

    @property
    def seconds(self) -> float:
        """When the last cue ends."""
        return max((max(cue.start, cue.end) for cue in self.cues), default=0.0)

    def saying(self, raws: Mapping[int, str]) -> str:
        """The file's text in which the cues with these indices say something else."""
        pieces, at = [], 0
        for index, cue in enumerate(self.cues):
            if index in raws:
                pieces += [self.text[at : cue.begin], raws[index].replace("\n", self.newline)]
                at = cue.end_at
        return "".join([*pieces, self.text[at:]])


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line without its end. It lies at `begin` to `end` in the file's text; `number` counts from 1."""

    number: int
    text: str
    begin: int

    @property
    def end(self) -> int:
        return self.begin + len(self.text)

    @property
    def is_blank(self) -> bool:
        return not self.text.strip()


def lines_of(text: str) -> list[TextLine]:
    return list(_lines(text))


def _lines(text: str) -> Iterator[TextLine]:
    for number, match in enumerate(LINE.finditer(text), 1):
        yield TextLine(number, match[0].rstrip("\r\n"), match.start())


def said_in(lines: Sequence[TextLine], empty_at: int) -> tuple[str, int, int]:
    """What lines say, those without a word at their ends left out, and where that lies; at `empty_at` if nothing."""
    filled = [at for at, line in enumerate(lines) if not line.is_blank]
    if not filled:
        return "", empty_at, empty_at
    lines = lines[filled[0] : filled[-1] + 1]
    return "\n".join(line.text for line in lines if not line.is_blank), lines[0].begin, lines[-1].end


def remarks_on_times(cues: Sequence[FileCue]) -> list[Remark]:
    """Times that cannot be meant as they stand. They are kept all the same."""
    found = []
    for cue in cues:
        if min(cue.start, cue.end) < 0:
            reason = "the time is negative. It is kept in the file; where it is spoken, it counts as the beginning."
            found.append(Remark("negative_time", cue.line, reason))
        if cue.end < cue.start:
            found.append(Remark("backwards", cue.line, "the cue ends before it begins. Its times are kept."))
        if not cue.raw.strip():
            found.append(Remark("empty_cue", cue.line, "the cue says nothing. It is kept."))
    for before, after in pairwise(cues):
        if after.start < before.start:
            reason = "the cue begins before the one above it. Its place is kept; it is read in the order of the times."
            found.append(Remark("out_of_order", after.line, reason))
        elif before.start <= before.end and after.start < before.end - 0.001 and before.voice == after.voice:
            reason = "the cue begins before the one above it has ended. The times are kept."
            found.append(Remark("overlap", after.line, reason))
    return found
