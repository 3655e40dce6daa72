"""Cues as JSON, for programs: with speakers, and with words, their times and how sure their hearing is.

{"type": "octavia.cues", "version": 1, "language": "en", "profile": "netflix", "broken_rules": [{"index": 0, "rule":
"reading_speed", "value": 23.1, "limit": 20.0}], "cues": [{"start": 1.0, "end": 2.5, "speaker": null, "lines": ["One
line,", "another."], "words": [{"text": "One", "start": 1.02, "end": 1.2, "confidence": 0.98, "space": true}]}]}.
Seconds; `index` counts the cues from 0; `space`: one stands before the word; `words` is empty where nobody knows when
each is said.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.dubbing.timeline import Word
from orchestrator.subtitles.check import Violation
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.srt import SubtitleFormatError

TYPE = "octavia.cues"
VERSION = 1
SIGN = re.compile(rf'\s*\{{\s*"type"\s*:\s*"{re.escape(TYPE)}"')
"""How every file of this kind begins."""
MOST_S = 1e7


def dumps(
    cues: Iterable[Cue], language: str | None = None, *, profile: str | None = None, left: Iterable[Violation] = ()
) -> str:
    """The cues as JSON, with the profile they were made by and the rules of it they still break."""
    head = {"type": TYPE, "version": VERSION, "language": language, "profile": profile}
    broken = [{**asdict(each), "value": round(each.value, 3), "limit": round(each.limit, 3)} for each in left]
    content = {**head, "broken_rules": broken, "cues": [_cue(cue) for cue in cues]}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _cue(cue: Cue) -> dict[str, Any]:
    words = [
        {
            "text": word.text.strip(),
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": round(word.probability, 3),
            "space": word.text[:1].isspace(),
        }
        for word in cue.words
    ]
    times = {"start": round(cue.start, 3), "end": round(cue.end, 3)}
    return {**times, "speaker": cue.speaker, "lines": list(cue.lines), "words": words}


def loads(text: str) -> list[Cue]:
    """The cues of such a text, their words too. Raises SubtitleFormatError, which names the cue, for any other JSON."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SubtitleFormatError(f"it is not valid JSON ({str(error)[:100]})") from error
    if not isinstance(content, dict) or content.get("type") != TYPE:
        raise SubtitleFormatError(f"the JSON is not of the type '{TYPE}'; only what we have written ourselves is read")
    if content.get("version") != VERSION:
        raise SubtitleFormatError(f"its version is not {VERSION}, the only one we know")
    cues = content.get("cues")
    if not isinstance(cues, list):
        raise SubtitleFormatError("'cues' is not a list")
    return [_read(number, cue) for number, cue in enumerate(cues, 1)]


def _read(number: int, cue: Any) -> Cue:
    try:
        return _of(cue)
    except (KeyError, TypeError, ValueError) as error:
        raise SubtitleFormatError(f"cue {number}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)[:100]


def _of(cue: Mapping[str, Any]) -> Cue:
    if not isinstance(cue, dict):
        raise TypeError("it is no object")
    words = tuple(_word(word) for word in _list(cue.get("words", []), "words"))
    speaker = cue.get("speaker")
    lines = tuple(_text(line, "lines") for line in _list(cue["lines"], "lines"))
    said = words[0].start if words else None
    return Cue(
        _seconds(cue["start"]), _seconds(cue["end"]), lines, _text(speaker, "speaker") if speaker else None, words, said
    )


def _word(word: Any) -> Word:
    if not isinstance(word, dict):
        raise TypeError("a word is no object")
    text = (" " if word.get("space", True) else "") + _text(word["text"], "text")
    return Word(text, _seconds(word["start"]), _seconds(word["end"]), _seconds(word.get("confidence", 1.0)))


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise TypeError(f"'{name}' is not a list")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"'{name}' is not text")
    return value


def _seconds(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or abs(value) > MOST_S
    ):
        raise ValueError(f"{str(value)[:20]!r} is no number of seconds")
    return float(value)
