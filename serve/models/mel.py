"""Mel spectrograms as librosa computes them, in numpy alone: librosa would add 300 MB to a small replica."""

from functools import cache

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

LINEAR_HZ = 1000.0
HZ_PER_MEL = 200 / 3
LOG_STEP = np.log(6.4) / 27
"""Slaney's scale: linear below 1 kHz, above it 27 mels to a factor of 6.4."""
TINY = 1e-10
RANGE_DB = 80.0


def mel_power(audio: Samples, rate: int, size: int, hop: int, bands: int) -> npt.NDArray[np.float32]:
    """Power [frames, bands] of audio [n], in frames of `size` samples around every hop-th one (Hann window)."""
    padded = np.pad(audio, (size // 2, size // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return np.asarray(power @ _filters(rate, size, bands).T, np.float32)


def decibels(power: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The power in dB below its loudest, at least -80."""
    level = 10 * np.log10(np.maximum(power, TINY)) - 10 * np.log10(max(float(power.max()), TINY))
    return np.asarray(np.maximum(level, -RANGE_DB), np.float32)


@cache
def _filters(rate: int, size: int, bands: int) -> npt.NDArray[np.float64]:
    """Triangles [bands, size // 2 + 1] of equal area, from 0 to half the rate."""
    corners = _hertz(np.linspace(0.0, _mel(rate / 2), bands + 2))
    bins = np.fft.rfftfreq(size, 1 / rate)
    rise = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    area = 2.0 / (corners[2:] - corners[:-2])
    return np.asarray(np.maximum(0.0, np.minimum(rise, fall)) * area[:, None])


def _mel(hertz: float) -> float:
    linear = LINEAR_HZ / HZ_PER_MEL
    return hertz / HZ_PER_MEL if hertz < LINEAR_HZ else linear + float(np.log(hertz / LINEAR_HZ)) / LOG_STEP


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = LINEAR_HZ / HZ_PER_MEL
    return np.where(mels < linear, mels * HZ_PER_MEL, LINEAR_HZ * np.exp(LOG_STEP * (mels - linear)))
