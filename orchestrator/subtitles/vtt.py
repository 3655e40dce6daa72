"""WebVTT files (W3C WebVTT: The Web Video Text Tracks Format)."""

import html
import re
from collections.abc import Iterable

from orchestrator.subtitles import clock
from orchestrator.subtitles.cues import Cue, words_by_line
from orchestrator.subtitles.direction import marked
from orchestrator.subtitles.srt import SubtitleFormatError

_TIMING = re.compile(r"^[ \t]*([\d:.]+)[ \t]+-->[ \t]+([\d:.]+)(?:[ \t].*)?$")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|</>")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)>")


def dumps(cues: Iterable[Cue], language: str | None = None, *, word_times: bool = False) -> str:
    """The cues as WebVTT; `&`, `<` and `>` are escaped, which also keeps arrows out of the text.

    A cue with a speaker begins with its voice tag. `word_times`: each word but a cue's first has the time before it at
    which it is said, where that is known and within the cue's own.
    """
    blocks = [
        f"{clock.write(cue.start, '.')} --> {clock.write(cue.end, '.')}\n{_said(cue, language, word_times)}\n"
        for cue in cues
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _said(cue: Cue, language: str | None, word_times: bool) -> str:
    lines = _timed_lines(cue) if word_times and cue.words else [_escaped(line) for line in cue.lines]
    text = "\n".join(marked(line, language) for line in lines if line.strip())
    speaker = " ".join((cue.speaker or "").split())
    return f"<v {_escaped(speaker)}>{text}" if speaker else text


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _timed_lines(cue: Cue) -> list[str]:
    """The lines with times between their words, each later than the one before it."""
    written: list[str] = []
    words = list(words_by_line(cue))
    last = round(cue.start * 1000)
    for number, line in enumerate(words):
        text = ""
        for at, word in enumerate(line):
            time = round(word.start * 1000)
            tag = ""
            if (number or at) and last < time < round(cue.end * 1000):
                tag, last = f"<{clock.write(time / 1000, '.')}>", time
            space = " " if at and word.text[:1].isspace() else ""
            text += space + tag + _escaped(word.text.strip())
        written.append(text)
    return written


def loads(text: str) -> list[Cue]:
    """The cues of a WebVTT text with their speakers, without other tags, settings, notes and styles.

    Raises SubtitleFormatError.
    """
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
        body, voice = [], None
        while at < len(lines) and lines[at].strip() and "-->" not in lines[at]:
            voice = voice or _VOICE.search(lines[at])
            body.append(html.unescape(_TAG.sub("", lines[at])))
            at += 1
        cues.append(Cue(*times, tuple(body), html.unescape(voice[1]).strip() if voice else None))
    return cues


def _times(match: re.Match[str], line: int) -> tuple[float, float]:
    try:
        return clock.read(match[1]), clock.read(match[2])
    except ValueError as error:
        raise SubtitleFormatError(f"line {line}: {error}") from error
