"""WebVTT files (W3C WebVTT: The Web Video Text Tracks Format)."""

import html
import re
from collections.abc import Iterable

from orchestrator.subtitles import clock
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.srt import SubtitleFormatError

_TIMING = re.compile(r"^[ \t]*([\d:.]+)[ \t]+-->[ \t]+([\d:.]+)(?:[ \t].*)?$")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|</>")


def dumps(cues: Iterable[Cue]) -> str:
    """The cues as WebVTT; `&`, `<` and `>` are escaped, which also keeps arrows out of the text."""
    blocks = [
        f"{clock.write(cue.start, '.')} --> {clock.write(cue.end, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines if line.strip())
        + "\n"
        for cue in cues
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def loads(text: str) -> list[Cue]:
    """The cues of a WebVTT text without tags, settings, notes and styles. Raises SubtitleFormatError."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not re.match(r"WEBVTT(?:[ \t]|$)", lines[0]):
        raise SubtitleFormatError("line 1: a WebVTT file begins with 'WEBVTT'")
    cues = []
    at = 1
    while at < len(lines):
        match = _TIMING.match(lines[at])
        at += 1
        if not match:
            continue
        times = _times(match, at)
        body = []
        while at < len(lines) and lines[at].strip() and "-->" not in lines[at]:
            body.append(html.unescape(_TAG.sub("", lines[at])))
            at += 1
        cues.append(Cue(*times, tuple(body)))
    return cues


def _times(match: re.Match[str], line: int) -> tuple[float, float]:
    try:
        return clock.read(match[1]), clock.read(match[2])
    except ValueError as error:
        raise SubtitleFormatError(f"line {line}: {error}") from error
