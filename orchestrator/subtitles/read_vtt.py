"""Cues of WebVTT files (W3C WebVTT: The Web Video Text Tracks Format). Notes, styles and regions are no cues."""

import re
from collections.abc import Sequence
from itertools import pairwise

from orchestrator.subtitles import clock
from orchestrator.subtitles.document import FileCue, TextLine, said_in
from orchestrator.subtitles.remarks import Remark

_ASIDE = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t]|$)")
_TIMING = re.compile(r"[ \t]*([-+]?[\d:.,]+)[ \t]*-->[ \t]*([-+]?[\d:.,]+)(?:[ \t].*)?")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)>")


def read(lines: Sequence[TextLine]) -> tuple[list[FileCue], list[Remark]]:
    """The cues in order of the file, and what cannot be read: such a cue stays in the file as it is."""
    cues: list[FileCue] = []
    remarks: list[Remark] = []
    head = next((at for at, line in enumerate(lines) if line.is_blank or "-->" in line.text), len(lines))
    for block in _blocks(lines[head:]):
        if _ASIDE.match(block[0].text):
            continue
        marks = [at for at, line in enumerate(block) if "-->" in line.text]
        if not marks:
            reason = f"'{block[0].text.strip()[:60]}' stands without times. It is left as it is."
            remarks.append(Remark("malformed_cue", block[0].number, reason))
        for at, following in pairwise([*marks, len(block)]):
            try:
                start, end = _times(block[at].text)
            except ValueError as error:
                reason = f"{error}. The cue is left as it is, untranslated and unspoken."
                remarks.append(Remark("malformed_cue", block[at].number, reason))
                continue
            raw, begin, stop = said_in(block[at + 1 : following], min(block[at].end + 1, lines[-1].end))
            voice = _VOICE.search(raw)
            cues.append(FileCue(block[at].number, start, end, raw, begin, stop, voice[1] if voice else ""))
    return cues, remarks


def _blocks(lines: Sequence[TextLine]) -> list[Sequence[TextLine]]:
    """Lines that no empty line parts."""
    blocks: list[Sequence[TextLine]] = []
    start = 0
    for at in range(len(lines) + 1):
        if at == len(lines) or not lines[at].text.strip():
            if at > start:
                blocks.append(lines[start:at])
            start = at + 1
    return blocks


def _times(text: str) -> tuple[float, float]:
    match = _TIMING.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text.strip()[:60]}' is not a cue's times ('00:01.000 --> 00:02.000')")
    return clock.read_signed(match[1]), clock.read_signed(match[2])
