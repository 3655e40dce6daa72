"""When words really begin and end: the recogniser's times, held against voice activity and against the sound.

Whisper lets the first word after a pause begin up to half a second early, in the silence. A dub that starts there comes
before the lips move. Voice activity tells silence from speech, the sound itself where in it the voice sets in.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from orchestrator.dubbing.timeline import Interval, Word

LEAD_S = 0.03
"""Voice activity is found a frame after it begins."""

PAUSE_S = 0.1
"""A word that follows another sooner has no onset of its own."""
EARLIER_S = 0.1
LATER_S = 0.15
"""How far from the time it has a word's onset is looked for."""
FRAME_S = 0.005
LOUD = 0.1
"""Of the loudest in the word's first `PEAK_S` seconds: -20 dB, which breath before a word does not reach."""
PEAK_S = 0.5
STEADY = 8
"""Frames of which half must be loud: a click is no onset."""

Samples = npt.NDArray[np.float32]


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


def set_in(words: Sequence[Word], samples: Samples, rate: int) -> list[Word]:
    """The words that follow a pause, moved to where the voice sets in; those whose onset cannot be told stay.

    `samples` [n] at `rate` Hz in [-1, 1] begin at the words' time 0.
    """
    found, before = list[Word](), 0.0
    for word in words:
        follows = word.start - before >= PAUSE_S or not found
        found.append(_set_in(word, before, samples, rate) if follows else word)
        before = word.end
    return found


def _set_in(word: Word, before: float, samples: Samples, rate: int) -> Word:
    """NaN times are looked for nowhere."""
    if not word.start < word.end:
        return word
    first = max(0.0, before, word.start - EARLIER_S)
    frame = round(FRAME_S * rate)
    near = np.abs(samples[round(first * rate) : round(min(word.end, word.start + LATER_S) * rate)])
    envelope = near[: len(near) // frame * frame].reshape(-1, frame).max(axis=1)
    peak = np.abs(samples[round(word.start * rate) : round((word.start + PEAK_S) * rate)]).max(initial=0.0)
    loud = envelope >= max(LOUD * peak, np.finfo(np.float32).tiny)
    steady = [at for at in np.flatnonzero(loud) if loud[at : at + STEADY].mean() >= 1 / 2]
    if not steady or loud[0]:
        return word
    return replace(word, start=min(first + (int(steady[0]) - 1) * FRAME_S, word.end))
