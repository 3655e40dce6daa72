"""Loudness and edges of one spoken piece: functions of its own samples alone."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from serve.models.voice import Samples

LOUDNESS_LUFS = -23.0
"""Of the speech in every piece (the programme loudness of EBU R128)."""

GAIN_DB = (-15.0, 15.0)
"""Beyond it the piece is hardly speech, and more gain would only raise noise."""

BLOCK_S, STEP_S = 0.4, 0.1
GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0
"""Blocks and gates of ITU-R BS.1770-4: pauses between words do not count."""

EDGE_S = 0.004
"""Raised-cosine fades at both ends of a piece, so that no join clicks."""

KNEE, CEILING = 0.7, 0.95
"""Amplitudes above the knee are bent smoothly to stay under the ceiling."""


def loudness(samples: Samples, rate: int) -> float:
    """Gated loudness in LUFS of mono samples (ITU-R BS.1770-4); -inf for silence. What is shorter than a block of 0.4 s
    is one block.
    """
    block, step = round(BLOCK_S * rate), round(STEP_S * rate)
    weighted = _weighted(np.pad(samples, (0, max(0, block - len(samples)))), rate)
    total = np.concatenate([[0.0], np.cumsum(weighted**2)])
    starts = np.arange(0, len(weighted) - block + 1, step)
    power = (total[starts + block] - total[starts]) / block
    for gate in (GATE_LUFS, RELATIVE_GATE_LU):
        relative = _lufs(power.mean()) if gate == RELATIVE_GATE_LU else 0.0
        power = power[power > 10 ** ((gate + relative + 0.691) / 10)]
        if not len(power):
            return float("-inf")
    return _lufs(float(power.mean()))


def _lufs(power: float) -> float:
    return float(-0.691 + 10 * np.log10(power))


def _weighted(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """K-weighted samples. The filter is applied to the spectrum, with room for its tail, which changes phases only."""
    size = len(samples)
    room = 1 << (size + rate // 10).bit_length()
    weighted: npt.NDArray[np.float64] = np.fft.irfft(np.fft.rfft(samples, room) * _k_weighting(room, rate), room)[:size]
    return weighted


@lru_cache(maxsize=8)
def _k_weighting(size: int, rate: int) -> npt.NDArray[np.float64]:
    """|H| of BS.1770's two filters at the frequencies of an rfft of `size`: a shelf for the head, a high-pass. Their
    analogue parameters, for any rate, are those of libebur128.
    """
    frequencies = np.arange(size // 2 + 1) / size
    shelf_gain = 10 ** (3.999843853973347 / 20)
    middle_gain = shelf_gain**0.4996667741545416
    shelf = _biquad(frequencies, 1681.974450955533 / rate, 0.7071752369554196, (shelf_gain, middle_gain, 1.0))
    high_pass = _biquad(frequencies, 38.13547087602444 / rate, 0.5003270373238773, (1.0, 0.0, 0.0))
    return shelf * high_pass


def _biquad(
    frequencies: npt.NDArray[np.float64], corner: float, quality: float, gains: tuple[float, float, float]
) -> npt.NDArray[np.float64]:
    """|H| of a second-order filter made by the bilinear transform; gains at high, middle and low frequencies."""
    k = np.tan(np.pi * corner)
    high, middle, low = gains
    numerator = [
        high + middle * k / quality + low * k * k,
        2 * (low * k * k - high),
        high - middle * k / quality + low * k * k,
    ]
    denominator = [1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k]
    z = np.exp(-2j * np.pi * frequencies)
    above, below = (c[0] + c[1] * z + c[2] * z * z for c in (numerator, denominator))
    magnitude: npt.NDArray[np.float64] = np.abs(above / below)
    return magnitude


def levelled(samples: Samples, rate: int) -> Samples:
    """The piece at the reference loudness, without offset, its peaks under the ceiling."""
    samples = samples - samples.mean(dtype=np.float64).astype(np.float32)
    found = loudness(samples, rate)
    if found == float("-inf"):
        return samples
    gain_db = min(max(LOUDNESS_LUFS - found, GAIN_DB[0]), GAIN_DB[1])
    return limited(samples * np.float32(10 ** (gain_db / 20)))


def limited(samples: Samples) -> Samples:
    """Samples with amplitudes above the knee bent towards the ceiling, which they never pass."""
    size = np.abs(samples)
    if size.max(initial=0.0) <= KNEE:
        return samples
    bent = KNEE + (CEILING - KNEE) * np.tanh((size - KNEE) / (CEILING - KNEE))
    return np.where(size > KNEE, np.sign(samples) * bent, samples).astype(np.float32)


def faded(samples: Samples, rate: int) -> Samples:
    """The piece with both ends faded; as long as before."""
    size = min(round(EDGE_S * rate), len(samples) // 2)
    edge = (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(size, 1))).astype(np.float32)
    faded_in = samples.copy()
    faded_in[:size] *= edge
    faded_in[len(samples) - size :] *= edge[::-1]
    return faded_in
