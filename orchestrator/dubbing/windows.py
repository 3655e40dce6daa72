"""Windows of hearing: stretches of sound cut at silences.

1. Stretches of speech longer than `LONGEST_S` are cut where speech is least probable.
2. Neighbours are packed into windows by dynamic programming: a window costs the square of its relative distance from
   `AIM_S`, a cut costs the more the shorter the silence it lies in. Silences over `LONG_GAP_S` are always left out.
3. A window reaches up to `PADDING_S` into the silence on either side, at most half of it: windows never overlap.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from orchestrator.dubbing.timeline import Interval, Window

AIM_S = 9.0
LONGEST_S = 20.0
"""The longest window there is; Whisper could hear 30 s, and loses words towards the end of that."""
LONG_GAP_S = 3.0
PADDING_S = 0.4
FRAME_S = 0.032
TOUCHING_S = 0.1
SHORTEST_PIECE_S = 5.0
"""A cut inside uninterrupted speech leaves at least this much on either side."""

_CUT_COST = 0.5
_CUT_SCALE_S = 0.3

Probability = npt.NDArray[np.floating]


def merge_intervals(intervals: Iterable[Interval], gap: float = TOUCHING_S) -> list[Interval]:
    """Sorted intervals, those that overlap or lie at most `gap` seconds apart joined; empty ones are dropped."""
    merged: list[Interval] = []
    for interval in sorted(intervals, key=lambda each: (each.start, each.end)):
        if interval.end <= interval.start:
            continue
        if merged and interval.start - merged[-1].end <= gap:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return merged


def cut_windows(speech: Sequence[Interval], probability: Probability | None, duration: float) -> list[Window]:
    """Windows in order, none overlapping, together covering all speech within [0, `duration`] seconds.

    `speech` are stretches from voice activity detection; `probability` [frames] is the speech probability per 32 ms
    from the media's start, used to cut stretches that are too long (without it they are cut into equal parts).
    """
    clipped = (Interval(max(0.0, each.start), min(duration, each.end)) for each in speech)
    pieces = [piece for stretch in merge_intervals(clipped, 0.0) for piece in _cut_long(stretch, probability)]
    packed = [window for group in _split_at_gaps(pieces) for window in _pack(group)]
    return _padded([_window(index, window) for index, window in enumerate(packed)], duration)


def _window(index: int, pieces: Sequence[Interval]) -> Window:
    return Window(index, pieces[0].start, pieces[-1].end, sum(each.end - each.start for each in pieces))


def _cut_long(stretch: Interval, probability: Probability | None) -> list[Interval]:
    """A stretch in pieces of at most `LONGEST_S` minus its padding."""
    limit = LONGEST_S - 2 * PADDING_S
    if stretch.end - stretch.start <= limit:
        return [stretch]
    if probability is None:
        return _equal_parts(stretch, limit)
    pieces = []
    start = stretch.start
    while stretch.end - start > limit:
        latest = min(start + limit, stretch.end - SHORTEST_PIECE_S)
        cut = _least_probable(probability, start + SHORTEST_PIECE_S, latest)
        pieces.append(Interval(start, cut))
        start = cut
    return [*pieces, Interval(start, stretch.end)]


def _equal_parts(stretch: Interval, limit: float) -> list[Interval]:
    count = math.ceil((stretch.end - stretch.start) / limit)
    edges = np.linspace(stretch.start, stretch.end, count + 1).tolist()
    return [Interval(start, end) for start, end in pairwise(edges)]


def _least_probable(probability: Probability, earliest: float, latest: float) -> float:
    """The middle of the quietest three frames between two times; the time in the middle where no frame is known."""
    first, last = math.ceil(earliest / FRAME_S), math.floor(latest / FRAME_S) - 1
    frames = probability[first : last + 1]
    if len(frames) < 3:
        return (earliest + latest) / 2
    smooth = np.convolve(frames, np.ones(3) / 3, mode="valid")
    return (first + 1 + int(np.argmin(smooth)) + 0.5) * FRAME_S


def _split_at_gaps(pieces: Sequence[Interval]) -> list[list[Interval]]:
    groups: list[list[Interval]] = []
    for piece in pieces:
        if groups and piece.start - groups[-1][-1].end <= LONG_GAP_S:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _pack(pieces: Sequence[Interval]) -> list[Sequence[Interval]]:
    """The cheapest way to join neighbouring pieces into windows of at most `LONGEST_S`."""
    limit = LONGEST_S - 2 * PADDING_S + 1e-9
    best = [0.0] + [math.inf] * len(pieces)
    begins = [0] * (len(pieces) + 1)
    for stop in range(1, len(pieces) + 1):
        for first in range(stop - 1, -1, -1):
            length = pieces[stop - 1].end - pieces[first].start
            if length > limit and first < stop - 1:
                break
            gap = pieces[first].start - pieces[first - 1].end if first else math.inf
            cost = best[first] + (length / AIM_S - 1) ** 2 + _CUT_COST * math.exp(-gap / _CUT_SCALE_S)
            if cost < best[stop]:
                best[stop], begins[stop] = cost, first
    packed: list[Sequence[Interval]] = []
    stop = len(pieces)
    while stop:
        packed.append(pieces[begins[stop] : stop])
        stop = begins[stop]
    return packed[::-1]


def _padded(windows: Sequence[Window], duration: float) -> list[Window]:
    edges = [-math.inf, *(edge for window in windows for edge in (window.start, window.end)), math.inf]
    return [
        Window(
            window.index,
            max(0.0, window.start - min(PADDING_S, (window.start - edges[2 * at]) / 2)),
            min(duration, window.end + min(PADDING_S, (edges[2 * at + 3] - window.end) / 2)),
            window.speech,
        )
        for at, window in enumerate(windows)
    ]
