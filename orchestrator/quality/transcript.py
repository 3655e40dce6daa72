"""How sure the recogniser was of what it heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LOW = 0.5
"""Below this a word is about as likely wrong as right (Whisper's word probabilities)."""
LOWEST = 5
SHORTEST_WORDS = 2


@dataclass(frozen=True, slots=True)
class HeardSegment:
    """A segment's text and the probability of each of its words, 0-1."""

    index: int
    text: str
    probabilities: Sequence[float]

    @property
    def mean(self) -> float:
        return sum(self.probabilities) / len(self.probabilities)


def confidence(segments: Sequence[HeardSegment]) -> dict[str, Any] | None:
    """The report's part on the transcript; None where no word was heard."""
    heard = [each for each in segments if each.probabilities]
    words = [probability for each in heard for probability in each.probabilities]
    if not words:
        return None
    sentences = [each for each in heard if len(each.probabilities) >= SHORTEST_WORDS] or heard
    lowest = sorted(sentences, key=lambda each: (each.mean, each.index))[:LOWEST]
    return {
        "words": len(words),
        "mean_probability": round(sum(words) / len(words), 3),
        "low_words_percent": round(100 * sum(each < LOW for each in words) / len(words), 1),
        "lowest": [{"index": each.index, "probability": round(each.mean, 3), "text": each.text} for each in lowest],
    }
