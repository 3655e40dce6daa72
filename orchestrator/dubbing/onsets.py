"""When words really begin and end: the recogniser's times, held against where voice activity was found.

Whisper lets the first word after a pause begin up to half a second early, in the silence. A dub that starts there comes
before the lips move.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.dubbing.timeline import Interval, Word

LEAD_S = 0.03
"""Voice activity is found a frame after it begins."""


def snap(words: Sequence[Word], speech: Sequence[Interval]) -> list[Word]:
    """The words with those ends that lie in silence moved to the speech they overlap; a word in pure silence stays.

    `speech` are stretches in order that do not overlap, in the words' own time (absolute, or the window's).
    """
    starts = [each.start - LEAD_S for each in speech]
    return [_snapped(word, speech, starts) for word in words]


def _snapped(word: Word, speech: Sequence[Interval], starts: Sequence[float]) -> Word:
    """Stretches that overlap the word lie from `first` to `last`; NaN times overlap none."""
    last = bisect_right(starts, word.end) - 1
    first = bisect_right(starts, word.start) - 1
    if first < 0 or speech[first].end + LEAD_S <= word.start:
        first += 1
    if not word.start <= word.end or first > last:
        return word
    start = max(word.start, starts[first])
    return replace(word, start=start, end=max(start, min(word.end, speech[last].end + LEAD_S)))
