"""Gain and true-peak limiting of a track that comes in blocks. The result is as long as the input and not delayed.

Where the signal, oversampled four times (ITU-R BS.1770-4 annex 2), would pass the ceiling, its gain dips just enough;
the dip is held and smoothed over `HOLD_S` on either side, longer than a period of any voice: it does not distort.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import resample_poly

from orchestrator.dubbing.loudness import Gain

RATE = 48_000
HOLD_S = 0.025
OVERSAMPLING = 4
QUIET = 0.5
"""Blocks whose samples stay below this share of the ceiling cannot pass it between samples."""

_HOLD = round(HOLD_S * RATE)
_CONTEXT = 2 * _HOLD + 64

Samples = npt.NDArray[np.float32]


class Leveller:
    """Applies a gain and holds its limit. Feed blocks [n, channels] to `process`, then take the rest by `flush`."""

    def __init__(self, gain: Gain, channels: int) -> None:
        self._factor = np.float32(10 ** (gain.db / 20))
        self._ceiling = None if gain.limit is None else 10 ** (gain.limit / 20)
        self._held = np.zeros((0, channels), np.float32)
        self._emitted = 0

    def process(self, block: Samples) -> Samples:
        """The samples that later input can no longer change, [m, channels]."""
        return self._take(block, 0 if self._ceiling is None else _CONTEXT)

    def flush(self) -> Samples:
        """What is still held back, at the end of the track."""
        return self._take(self._held[:0], 0)

    def _take(self, block: Samples, lookahead: int) -> Samples:
        """Emit all held samples but the last `lookahead`; those and as many before them stay as context."""
        held = np.concatenate([self._held, block * self._factor])
        stop = max(self._emitted, len(held) - lookahead)
        levelled: Samples = self._limited(held)[self._emitted : stop]
        kept = max(0, stop - lookahead)
        self._held, self._emitted = held[kept:], stop - kept
        return levelled

    def _limited(self, samples: Samples) -> Samples:
        if self._ceiling is None or not len(samples) or np.abs(samples).max() < QUIET * self._ceiling:
            return samples
        allowed = self._ceiling / np.maximum(true_peaks(samples), self._ceiling)
        gain = minimum_filter1d(allowed, 2 * _HOLD + 1)
        for _ in range(2):
            gain = uniform_filter1d(gain, _HOLD + 1)
        limited: Samples = samples * gain[:, None].astype(np.float32)
        return limited


def true_peaks(samples: Samples) -> npt.NDArray[np.float64]:
    """The largest magnitude near each sample, over channels and between samples, [n]."""
    peaks = np.zeros(len(samples))
    for channel in samples.T:
        oversampled = np.abs(resample_poly(channel, OVERSAMPLING, 1))
        np.maximum(peaks, oversampled.reshape(-1, OVERSAMPLING).max(axis=1), out=peaks)
    return peaks
