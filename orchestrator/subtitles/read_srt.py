"""Cues of SubRip files, however carelessly written: numbers may be missing, blank lines too, times have any mark."""

import re
from collections.abc import Sequence
from itertools import pairwise

from orchestrator.subtitles import clock
from orchestrator.subtitles.document import FileCue, TextLine, said_in
from orchestrator.subtitles.remarks import Remark

_TIMING = re.compile(r"[ \t]*([-+]?[\d:.,]+)[ \t]*-->[ \t]*([-+]?[\d:.,]+)(?:[ \t].*)?")
_MEANT = re.compile(r"[ \t]*(?:[-+]?\d+[:.,]\S*[ \t]*[-=–—]{1,3}[ \t]?>|\S+[ \t]+-->[ \t]*[-+]?\d+[:.,]\d)")
"""A line that is meant as a timing, right or wrong: words with an arrow among them are none."""


def read(lines: Sequence[TextLine]) -> tuple[list[FileCue], list[Remark]]:
    """The cues in order of the file, and what cannot be read: such a cue stays in the file as it is."""
    marks = [at for at, line in enumerate(lines) if _TIMING.fullmatch(line.text) or _MEANT.match(line.text)]
    cues: list[FileCue] = []
    remarks: list[Remark] = []
    for at, following in pairwise([*marks, len(lines)]):
        body = lines[at + 1 : following]
        if following < len(lines):
            body = _without_number(body, lines[at - 1].text if at else "")
        try:
            start, end = _times(lines[at].text)
        except ValueError as error:
            reason = f"{error}. The cue is left as it is, untranslated and unspoken."
            remarks.append(Remark("malformed_cue", lines[at].number, reason))
            continue
        raw, begin, stop = said_in(body, min(lines[at].end + 1, lines[-1].end))
        cues.append(FileCue(lines[at].number, start, end, raw, begin, stop))
    return cues, remarks


def _times(text: str) -> tuple[float, float]:
    match = _TIMING.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text.strip()[:60]}' is not a cue's times ('00:00:01,000 --> 00:00:02,000')")
    return clock.read_signed(match[1]), clock.read_signed(match[2])


def _without_number(body: Sequence[TextLine], number_before: str) -> Sequence[TextLine]:
    """The lines of a cue without the number of the next one at their end."""
    if not body or not body[-1].text.strip().isdecimal():
        return body
    parted = len(body) < 2 or body[-2].is_blank
    counted = number_before.strip().isdecimal() and int(body[-1].text) == int(number_before) + 1
    return body[:-1] if parted or counted else body
