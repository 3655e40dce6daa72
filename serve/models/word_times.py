"""What is pure in forced alignment: which words there are, and sane times for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from serve.models.segments import Segment

FRAME = 320
RECEPTIVE = 400
"""wav2vec2 gives a frame every 20 ms of 16 kHz audio, and sees 25 ms for the first."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds, and how sure the model is of them (0 to 1; 0: interpolated)."""

    start: float
    end: float
    score: float


def frames(samples: int) -> int:
    """Frames of wav2vec2 for that many samples. A text with more characters cannot be aligned to them."""
    return max(0, (samples - RECEPTIVE) // FRAME + 1)


def words_of(segment: Segment, *, spaced: bool) -> list[dict[str, Any]]:
    """A segment's words: its own, or those of its text, written as Whisper does with the space before them. In a
    language without spaces each character is one.
    """
    if segment.get("words"):
        return [dict(word) for word in segment["words"]]
    if spaced:
        return [{"word": f" {word}"} for word in segment["text"].split()]
    return [{"word": character} for character in segment["text"] if not character.isspace()]


def fill(found: Sequence[Timed | None], start: float, end: float) -> list[Timed]:
    """Times for all words, monotone and within [start, end]. Words that were not found share the time between their
    neighbours evenly.
    """
    known = _within(found, start, end)
    filled: list[Timed] = []
    for missing, group in groupby(range(len(known)), key=lambda index: known[index] is None):
        indices = list(group)
        if not missing:
            filled += [timed for index in indices if (timed := known[index]) is not None]
            continue
        left = filled[-1].end if filled else start
        following = known[indices[-1] + 1] if indices[-1] + 1 < len(known) else None
        step = ((following.start if following else end) - left) / len(indices)
        filled += [Timed(left + step * n, left + step * (n + 1), 0.0) for n in range(len(indices))]
    return filled


def _within(found: Sequence[Timed | None], start: float, end: float) -> list[Timed | None]:
    known: list[Timed | None] = []
    before = start
    for timed in found:
        if timed is None:
            known.append(None)
            continue
        begin = min(max(timed.start, before), end)
        before = min(max(timed.end, begin), end)
        known.append(Timed(begin, before, timed.score))
    return known


def with_times(segment: Segment, words: Sequence[dict[str, Any]], times: Sequence[Timed]) -> Segment:
    """The segment from its first word's start to its last one's end, each word with start, end and score."""
    timed = [
        word | {"start": round(t.start, 3), "end": round(t.end, 3), "score": round(t.score, 3)}
        for word, t in zip(words, times, strict=True)
    ]
    if not timed:
        return segment | {"words": []}
    return segment | {"start": timed[0]["start"], "end": timed[-1]["end"], "words": timed}
