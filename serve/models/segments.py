"""Segments as whisper's SEGMENTS tensor has them, read from a caller's JSON with errors that name the place."""

import json
from typing import Any

from serve.errors import invalid

Segment = dict[str, Any]

TOLERANCE_S = 0.05
"""Rounding and resampling let a segment end this much after its audio; it is cut there."""

MAX_SECONDS = 1e6
MAX_SEGMENTS = 2_000
OVERLAP = 4
"""Segments may together last this many times as long as the audio: several people speak at once, not hundreds."""


def read_segments(data: str, name: str, seconds: float) -> list[Segment]:
    """The segments of a JSON list of {start, end, text}, in seconds within the audio's; `words` may be there, each with
    `word` and perhaps times. Whatever else a segment has is kept. INVALID_ARGUMENT names tensor and place.
    """
    try:
        found = json.loads(data)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise invalid(f"{name}: not valid JSON ({error})") from None
    if not isinstance(found, list) or len(found) > MAX_SEGMENTS:
        raise invalid(f"{name}: expected a list of at most {MAX_SEGMENTS} segments with start, end and text")
    segments = [_segment(raw, f"{name} segment {index}", seconds) for index, raw in enumerate(found)]
    total = sum(segment["end"] - segment["start"] for segment in segments)
    if total > OVERLAP * seconds:
        raise invalid(f"{name}: segments of {total:.1f} s in all, AUDIO has {seconds:.2f} s: they overlap too much")
    return segments


def write_segments(segments: list[Segment]) -> str:
    """Segments as JSON."""
    return json.dumps(segments, ensure_ascii=False)


def _segment(raw: Any, place: str, seconds: float) -> Segment:
    if not isinstance(raw, dict):
        raise invalid(f"{place}: expected an object with start, end and text")
    start, end = _times(raw, place, seconds)
    if not isinstance(raw.get("text"), str):
        raise invalid(f"{place}: expected text as a string")
    segment = raw | {"start": start, "end": end}
    if "words" in raw:
        words = raw["words"]
        if not isinstance(words, list):
            raise invalid(f"{place}: expected words as a list")
        segment["words"] = [_word(word, f"{place} word {index}", seconds) for index, word in enumerate(words)]
    return segment


def _word(raw: Any, place: str, seconds: float) -> dict[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("word"), str):
        raise invalid(f"{place}: expected an object with the string word")
    if "start" not in raw and "end" not in raw:
        return dict(raw)
    start, end = _times(raw, place, seconds)
    return raw | {"start": start, "end": end}


def _times(raw: dict[str, Any], place: str, seconds: float) -> tuple[float, float]:
    for key in ("start", "end"):
        value: Any = raw.get(key)
        if type(value) not in (int, float) or not 0 <= value <= MAX_SECONDS:
            raise invalid(f"{place}: expected {key} as a number of seconds from 0")
    start, end = raw["start"], raw["end"]
    if not start <= end <= seconds + TOLERANCE_S:
        raise invalid(f"{place}: {start:g} to {end:g} s is outside the audio of {seconds:.2f} s or runs backwards")
    return min(float(start), seconds), min(float(end), seconds)
