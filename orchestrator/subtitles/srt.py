"""SubRip files."""

import re
from collections.abc import Iterable

from orchestrator.subtitles import clock
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.direction import marked

_TIMING = re.compile(r"^[ \t]*([\d:.,]+)[ \t]*-->[ \t]*([\d:.,]+).*$")


class SubtitleFormatError(ValueError):
    """The text is not what its format demands; the message names the line."""


def dumps(cues: Iterable[Cue], language: str | None = None) -> str:
    """The cues as SubRip. A text line that looks like a cue's timing is written so that no reader takes it for one."""
    return "\n".join(
        f"{number}\n{clock.write(cue.start, ',')} --> {clock.write(cue.end, ',')}\n{_text(cue, language)}\n"
        for number, cue in enumerate(cues, 1)
    )


def _text(cue: Cue, language: str | None) -> str:
    """No empty lines, which would end the cue; the arrow as a character of its own."""
    return "\n".join(marked(line.replace("-->", "→"), language) for line in cue.lines if line.strip())


def loads(text: str) -> list[Cue]:
    """The cues of a SubRip text, numbers ignored; byte order mark, CRLF and missing numbers are fine.

    Raises SubtitleFormatError when there is text but no timing, or a timing cannot be read.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    marks = [(at, match) for at, line in enumerate(lines) if (match := _TIMING.match(line))]
    if not marks and text.strip("\ufeff \t\r\n"):
        raise SubtitleFormatError("no line with a cue's times ('00:00:01,000 --> 00:00:02,000') was found")
    cues = []
    for which, (at, match) in enumerate(marks):
        stop = marks[which + 1][0] if which + 1 < len(marks) else len(lines)
        body = lines[at + 1 : stop]
        if which + 1 < len(marks) and body and body[-1].strip().isdigit() and (len(body) < 2 or not body[-2].strip()):
            body = body[:-1]
        cues.append(Cue(*_times(match, at), tuple(line for line in body if line.strip())))
    return cues


def _times(match: re.Match[str], at: int) -> tuple[float, float]:
    try:
        return clock.read(match[1]), clock.read(match[2])
    except ValueError as error:
        raise SubtitleFormatError(f"line {at + 1}: {error}") from error
