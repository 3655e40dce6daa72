import math

import numpy as np
import pytest

from orchestrator.dubbing.ducking import DRIVE_DB, RATIO, STEP, THRESHOLD_DB, Ducker, Samples
from orchestrator.dubbing.mix import RATE


def tone(seconds: float, level_db: float) -> Samples:
    """A sine of that RMS level."""
    clock = np.arange(round(seconds * RATE)) / RATE
    sine: Samples = (math.sqrt(2) * 10 ** (level_db / 20) * np.sin(2 * np.pi * 1000 * clock)).astype(np.float32)
    return sine


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def decibels(gain: float) -> float:
    return 20 * math.log10(gain)


@pytest.mark.parametrize("level_db", [-50.0, -37.0, -36.0, -28.0, -16.0, -6.0])
def test_what_stands_above_the_threshold_is_taken_down_by_all_but_an_eighth(level_db: float) -> None:
    above = max(0.0, level_db + DRIVE_DB - THRESHOLD_DB)
    assert decibels(Ducker().gain(tone(1.0, level_db))[-1]) == pytest.approx(-above * (1 - 1 / RATIO), abs=0.1)


def test_where_the_dub_is_silent_the_gain_is_exactly_one() -> None:
    dub = np.concatenate([silence(1.0), tone(1.0, -16.0), silence(2.0)])
    gain = Ducker().gain(dub)
    assert (gain[: RATE + 1] == 1).all()
    assert (gain[round(2.5 * RATE) :] == 1).all()
    assert gain[round(1.5 * RATE)] < 0.3


def test_it_goes_down_within_milliseconds_and_comes_back_over_some_tenths_of_a_second() -> None:
    gain = Ducker().gain(np.concatenate([tone(1.0, -16.0), silence(1.0)]))
    assert decibels(gain[round(0.015 * RATE)]) < -10
    back = [decibels(gain[RATE + round(after * RATE)]) for after in (0.0, 0.1, 0.2, 0.5)]
    assert back == sorted(back)
    assert back[1] < -6
    assert back[3] == 0


def test_the_gain_has_no_steps_that_click() -> None:
    gain = Ducker().gain(np.concatenate([silence(0.1), tone(0.5, -6.0), silence(0.5)]))
    assert np.abs(np.diff(gain)).max() < 0.02


@pytest.mark.parametrize("block", [STEP, 7 * STEP, RATE, 10 * RATE])
def test_the_gain_does_not_depend_on_the_blocks(block: int) -> None:
    dub = np.concatenate([silence(0.3), tone(0.7, -16.0), silence(0.33), tone(0.1234, -20.0)])
    ducker = Ducker()
    parts = [ducker.gain(dub[at : at + block]) for at in range(0, len(dub), block)]
    assert np.array_equal(np.concatenate(parts), Ducker().gain(dub))
    assert len(ducker.gain(dub[:0])) == 0
