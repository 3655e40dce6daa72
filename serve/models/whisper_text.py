"""What is pure in hearing: buckets, loop guards, and turning an alignment into sane word times."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

RATE = 16_000
BUCKETS_S = (8, 14, 22, 30)
"""Encoder windows. A window's own length alone decides its bucket, so its neighbours don't matter. Fewer make fuller
batches, more make less padding: of sixteen callers 2.0 shared a batch on average with eight sizes, 2.3 with these four.
"""

MARGIN_S = 2.0
"""Silence after the speech. With less, the decoder says the sentence again until it is cut off."""

LANGUAGE_SPEECH_S = 3.0
"""A language is told from this much speech on: of shorter pieces one in thirty was taken for another."""

TOKENS_PER_S = 12
TOKENS_FLOOR = 20
COMPRESSION_MAX = 2.4
NO_SPEECH_MAX = 0.6
LOGPROB_MIN = -1.0
REPEATED_WORDS = 5
SENTENCE_ENDS = ".。!！?？"
LONGEST_WORD_S = 1.4


@dataclass(slots=True)
class Word:
    """A word as Whisper writes it (with its leading space), seconds from the start of the window."""

    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Decoded:
    """One window's decoding: text tokens and the figures the guards look at."""

    tokens: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    capped: bool


def bucket_s(seconds: float, buckets: Sequence[int] = BUCKETS_S) -> int:
    """The encoder window for audio of that length: the first of the rising `buckets` that leaves MARGIN_S."""
    return next((bucket for bucket in buckets if seconds + MARGIN_S <= bucket), buckets[-1])


def token_cap(seconds: float) -> int:
    """More tokens than anybody says in that time."""
    return TOKENS_FLOOR + int(TOKENS_PER_S * seconds)


def compression_ratio(text: str) -> float:
    """Length of the text over that of its zlib form: high when it repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def first_repetition(text: str) -> int | None:
    """Index of the word at which five words said before begin again, or None."""
    words = [word.strip(".,!?;:\"'").lower() for word in text.split()]
    seen: set[tuple[str, ...]] = set()
    for index in range(len(words) - REPEATED_WORDS + 1):
        group = tuple(words[index : index + REPEATED_WORDS])
        if group in seen:
            return index
        seen.add(group)
    return None


def is_loop(decoded: Decoded) -> bool:
    """Whether the decoder ran away: cut off by the cap, too compressible, or five words repeated."""
    return runs_away(decoded) or first_repetition(decoded.text) is not None


def runs_away(decoded: Decoded) -> bool:
    """The unmistakable part of `is_loop`: nobody speaks like this."""
    return decoded.capped or decoded.compression_ratio > COMPRESSION_MAX


def is_speech(decoded: Decoded) -> bool:
    """Whether Whisper heard words rather than made them up from noise."""
    return bool(decoded.text) and decoded.no_speech_prob <= NO_SPEECH_MAX and decoded.avg_logprob >= LOGPROB_MIN


def shorten_stretched(words: Sequence[Word]) -> None:
    """Alignment spreads pauses over the words beside them; a word beside a sentence's end or first in the window is
    held to twice the median length. In place, before punctuation is merged into words (as in faster-whisper).
    """
    lengths = sorted(word.end - word.start for word in words if word.end > word.start)
    if not lengths:
        return
    longest = 2 * min(LONGEST_WORD_S / 2, lengths[len(lengths) // 2])
    for index, word in enumerate(words):
        if word.end - word.start <= longest:
            continue
        if word.word.strip() in SENTENCE_ENDS and index:
            word.end = word.start + longest
        elif index == 0 or words[index - 1].word.strip() in SENTENCE_ENDS:
            word.start = word.end - longest


def tidy(words: Sequence[Word], seconds: float) -> list[Word]:
    """Words without empty ones, their times monotone and within [0, seconds]."""
    tidied: list[Word] = []
    before = 0.0
    for word in words:
        if not word.word.strip():
            continue
        start = min(max(word.start, before), seconds)
        end = min(max(word.end, start), seconds)
        tidied.append(Word(word.word, round(start, 3), round(end, 3), round(word.probability, 4)))
        before = end
    return tidied
