"""The clip a voice is cloned from."""

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.dubbing.reference import PART_S, SHORTEST_S, WANTED_S, choose, clarity
from orchestrator.dubbing.timeline import Interval

RATE = 16_000
Samples = npt.NDArray[np.float32]


def speech(seconds: float, noise_db: float = -70.0, level: float = 0.3) -> Samples:
    """Syllables with pauses between, in noise."""
    chance = np.random.default_rng(1)
    clock = np.arange(round(seconds * RATE)) / RATE
    syllables = np.sin(2 * np.pi * 150 * clock) * (np.sin(2 * np.pi * 3 * clock) > 0)
    noise = chance.normal(0, 10 ** (noise_db / 20), len(clock))
    return (level * syllables + noise).astype(np.float32)


RECORDING = np.concatenate(
    [speech(10, -25), np.zeros(2 * RATE, np.float32), speech(10), np.clip(speech(10) * 9, -1, 1), speech(10, -40)]
).astype(np.float32)
"""Noisy until 10 s, silent until 12 s, clean until 22 s, clipped until 32 s, somewhat noisy until 42 s."""


def read(part: Interval) -> Samples:
    return RECORDING[round(part.start * RATE) : round(part.end * RATE)]


def test_the_cleanest_seconds_are_taken_in_their_order() -> None:
    alone = [Interval(0, 10), Interval(12, 22), Interval(22, 32), Interval(32, 42)]
    chosen = choose(alone, read, RATE)
    assert chosen == [Interval(12, 22), Interval(32, 37)]
    assert sum(each.end - each.start for each in chosen) == pytest.approx(WANTED_S)


@pytest.mark.parametrize(
    ("alone", "why"),
    [
        ([], "nobody speaks"),
        ([Interval(10, 12)], "silence"),
        ([Interval(22, 32)], "clipped"),
        ([Interval(12, 12 + SHORTEST_S - 0.1)], "too short"),
        ([Interval(12 + at, 12 + at + PART_S - 0.1) for at in range(0, 10, 2)], "snippets"),
    ],
)
def test_there_is_no_clip_where_nothing_will_do(alone: list[Interval], why: str) -> None:
    assert choose(alone, read, RATE) == [], why


def test_short_stretches_are_joined() -> None:
    chosen = choose([Interval(12, 15), Interval(16, 19)], read, RATE)
    assert chosen == [Interval(12, 15), Interval(16, 19)]


def test_less_noise_is_clearer() -> None:
    assert clarity(speech(3), RATE) > clarity(speech(3, -40), RATE) > clarity(speech(3, -25), RATE) > 0


def test_silence_and_nothing_at_all_are_not_clear() -> None:
    assert clarity(np.zeros(RATE, np.float32), RATE) == 0
    assert clarity(np.zeros(0, np.float32), RATE) == 0
