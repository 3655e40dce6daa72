import math

import numpy as np
import pyloudnorm
import pytest

from orchestrator.dubbing.limiter import RATE, Leveller, Samples, true_peaks
from orchestrator.dubbing.loudness import Gain, Loudness, plan


def decibels(value: float) -> float:
    return 20 * math.log10(value)


def voice(seconds: float, peak: float, seed: int = 0) -> Samples:
    """Bursts of noise with sharp peaks, [n, 1]."""
    clock = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.2, len(clock)) ** 3
    shaped = noise * (np.sin(2 * np.pi * 1.5 * clock) > 0)
    scaled: Samples = (shaped / np.abs(shaped).max() * peak).astype(np.float32)[:, None]
    return scaled


def levelled(samples: Samples, gain: Gain, block: int) -> Samples:
    leveller = Leveller(gain, samples.shape[1])
    parts = [leveller.process(samples[at : at + block]) for at in range(0, len(samples), block)]
    return np.concatenate([*parts, leveller.flush()])


def test_a_quiet_track_is_turned_up_without_a_limiter() -> None:
    assert plan(Loudness(-30.0, -20.0)) == Gain(14.0, None)


def test_a_loud_track_is_turned_down() -> None:
    assert plan(Loudness(-10.0, -0.5)) == Gain(-6.0, None)


def test_peaks_that_would_pass_the_ceiling_are_limited_with_headroom() -> None:
    assert plan(Loudness(-25.0, -8.0)) == Gain(9.0, -1.5)


@pytest.mark.parametrize("integrated", [-70.0, -math.inf, math.nan])
def test_silence_is_left_alone(integrated: float) -> None:
    assert plan(Loudness(integrated, -math.inf)) == Gain(0.0, None)


def test_other_targets_can_be_asked_for() -> None:
    assert plan(Loudness(-23.0, -10.0), target=-14.0, ceiling=-2.0) == Gain(9.0, -2.0)


def test_a_sine_between_its_samples_is_seen() -> None:
    clock = np.arange(RATE) / RATE
    samples = np.sin(2 * np.pi * RATE / 4 * clock + np.pi / 4).astype(np.float32)[:, None]
    assert decibels(np.abs(samples).max()) == pytest.approx(-3.0, abs=0.02)
    assert decibels(true_peaks(samples)[1000:-1000].max()) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_limit_holds_between_samples_too(channels: int) -> None:
    samples = np.tile(voice(3.0, 0.7), (1, channels))
    result = levelled(samples, Gain(12.0, -1.5), RATE)
    assert result.shape == samples.shape
    assert decibels(true_peaks(result).max()) <= -1.4


def test_the_limiter_takes_no_more_than_it_must() -> None:
    samples = voice(3.0, 0.7)
    result = levelled(samples, Gain(12.0, -1.5), RATE)
    assert decibels(true_peaks(result).max()) >= -1.7
    before = pyloudnorm.Meter(RATE).integrated_loudness(samples.astype(np.float64)) + 12.0
    after = pyloudnorm.Meter(RATE).integrated_loudness(result.astype(np.float64))
    assert before - after < 6.0


def test_limiting_neither_delays_nor_shifts() -> None:
    samples = np.zeros((RATE, 1), np.float32)
    samples[20_000] = 0.9
    result = levelled(samples, Gain(6.0, -3.0), 10_000)
    assert len(result) == len(samples)
    assert np.argmax(np.abs(result)) == 20_000


@pytest.mark.parametrize("block", [1000, 7777, 48_000, 480_000])
def test_the_result_does_not_depend_on_the_blocks(block: int) -> None:
    samples = voice(2.0, 0.9)
    assert np.allclose(levelled(samples, Gain(6.0, -1.5), block), levelled(samples, Gain(6.0, -1.5), 10**6), atol=2e-4)


def test_gain_alone_is_exact() -> None:
    samples = voice(0.5, 0.3)
    assert np.allclose(levelled(samples, Gain(6.0, None), 777), samples * 10 ** (6 / 20))


def test_quiet_stretches_are_only_turned_up() -> None:
    samples = np.concatenate([voice(1.0, 0.05), voice(1.0, 0.9, seed=1)])
    result = levelled(samples, Gain(6.0, -1.5), 480_000)
    assert np.allclose(result[: RATE - 5000], samples[: RATE - 5000] * 10 ** (6 / 20), atol=1e-6)


def test_an_empty_track_stays_empty() -> None:
    assert levelled(np.zeros((0, 1), np.float32), Gain(6.0, -1.5), 100).shape == (0, 1)
