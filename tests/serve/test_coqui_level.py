"""Loudness, edges and plausible length of a piece of speech: pure functions."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.models.voice_length import OTHER_SEED, deviation, expected_s, sound_plan
from serve.models.voice_level import CEILING, LOUDNESS_LUFS, faded, levelled, limited, loudness

Samples = npt.NDArray[np.float32]


def syllables(rate: int, seconds: float = 3.0, level: float = 0.1, seed: int = 0) -> Samples:
    """Noise that comes and goes, with a pause in the middle."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate)) * level
    time = np.arange(len(noise)) / rate
    return (noise * np.abs(np.sin(2 * np.pi * 2 * time)) * (np.abs(time - seconds / 2) > 0.3)).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 48_000])
@pytest.mark.parametrize("level", [0.003, 0.1, 0.9])
def test_loudness_is_that_of_an_independent_meter(rate: int, level: float) -> None:
    sound = syllables(rate, level=level)
    assert loudness(sound, rate) == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(sound), abs=0.05)


def test_silence_has_no_loudness_and_stays_silent() -> None:
    silence = np.zeros(4410, np.float32)
    assert loudness(silence, 22_050) == -math.inf
    assert not levelled(silence, 22_050).any()


@pytest.mark.parametrize("level", [0.02, 0.05, 0.1, 0.3])
def test_loud_and_soft_pieces_come_out_equally_loud(level: float) -> None:
    brought = levelled(syllables(22_050, level=level), 22_050)
    assert pyloudnorm.Meter(22_050).integrated_loudness(brought) == pytest.approx(LOUDNESS_LUFS, abs=0.15)


def test_an_offset_is_taken_away_and_does_not_count() -> None:
    sound = syllables(22_050)
    np.testing.assert_allclose(levelled(sound + np.float32(0.4), 22_050), levelled(sound, 22_050), atol=1e-3)


def test_hiss_is_not_made_speech() -> None:
    hiss = np.random.default_rng(1).standard_normal(22_050).astype(np.float32) * 1e-3
    assert np.abs(levelled(hiss, 22_050)).max() < 0.05


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=50))
def test_peaks_stay_under_the_ceiling_and_keep_their_order(amplitudes: list[float]) -> None:
    sound = np.sort(np.array(amplitudes, np.float32))
    bent = limited(sound)
    assert np.abs(bent).max() <= CEILING + 1e-6
    assert (np.diff(bent) >= 0).all()
    np.testing.assert_array_equal(bent[np.abs(sound) <= 0.7], sound[np.abs(sound) <= 0.7])


@pytest.mark.parametrize("length", [0, 1, 2, 50, 5000])
def test_ends_are_faded_and_nothing_is_longer_or_shorter(length: int) -> None:
    sound = np.ones(length, np.float32)
    ends = faded(sound, 22_050)
    assert len(ends) == length
    assert (sound == 1).all()
    if length == 5000:
        assert max(ends[0], ends[-1]) < 0.001
        assert (ends[100:-100] == 1).all()


@dataclass
class Length:
    """A plan as far as its length is concerned."""

    natural_s: float
    samples: int = 0


def planned(lengths: dict[int, float], text: str = "a" * 150, seed: int = 0) -> tuple[float, list[int]]:
    """What is chosen from plans of these lengths, at 15 characters a second, and which seeds were tried."""
    tried: list[int] = []

    def plan(chosen: int) -> Any:
        tried.append(chosen)
        return Length(lengths[chosen])

    return sound_plan(plan, seed, text, 15.0, 2.0).natural_s, tried


@pytest.mark.parametrize(
    ("first", "second", "kept", "attempts"),
    [
        (10.0, 99.0, 10.0, 1),  # as long as expected
        (19.0, 99.0, 19.0, 1),  # slow, within the tolerance
        (40.0, 11.0, 11.0, 2),  # drawls, then does not
        (1.0, 9.0, 9.0, 2),  # swallows words, then does not
        (40.0, 80.0, 40.0, 2),  # wrong twice: the better one
        (80.0, 1.0, 80.0, 2),
    ],
)
def test_a_second_attempt_is_made_when_speech_does_not_fit_its_text(
    first: float, second: float, kept: float, attempts: int
) -> None:
    chosen, tried = planned({0: first, OTHER_SEED: second})
    assert chosen == kept
    assert tried == [0, OTHER_SEED][:attempts]


def test_the_second_seed_is_a_seed_whatever_the_first_was() -> None:
    seed = 2**63 - 1
    other = (seed + OTHER_SEED) % 2**63
    assert planned({seed: 40.0, other: 10.0}, seed=seed) == (10.0, [seed, other])


@pytest.mark.parametrize(("text", "seconds"), [("Hi", 0.7), ("7", 0.9), ("1984", 1.8), ("OK", 0.6)])
def test_short_texts_and_numbers_may_take_the_time_they_need(text: str, seconds: float) -> None:
    assert deviation(seconds, expected_s(text, 19.0)) < math.log(2.0)


def test_digits_take_longer_than_letters_and_syllables_too_where_the_voice_was_not_measured_in_them() -> None:
    assert expected_s("1250", 10) > expected_s("abcd", 10)
    assert expected_s("日本語", None) > expected_s("abc", None) == expected_s("سلا", None)
    assert expected_s("日本語", 5) == expected_s("abc", 5)
