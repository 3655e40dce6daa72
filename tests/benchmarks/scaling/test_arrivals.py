"""Arrivals are those of a Poisson process with the rate of each phase, and the same again for the same seed."""

import random
from itertools import pairwise

import pytest

from benchmarks.scaling.arrivals import BURSTY, Phase, Windows, arrivals, compressed, length

SIZES = Windows(realtime=10)


def test_the_same_seed_gives_the_same_arrivals_and_another_gives_others() -> None:
    assert arrivals(BURSTY, SIZES, 4) == arrivals(BURSTY, SIZES, 4)
    assert arrivals(BURSTY, SIZES, 4) != arrivals(BURSTY, SIZES, 5)


def test_nothing_arrives_in_silence_and_each_phase_has_about_its_rate() -> None:
    phases = [Phase(50, 0), Phase(1000, 3), Phase(100, 0), Phase(500, 20)]
    times = [each.at for each in arrivals(phases, SIZES, 1)]
    begins = 0.0
    for phase in phases:
        there = sum(begins <= at < begins + phase.seconds for at in times)
        mean = phase.seconds * phase.rate
        assert there == pytest.approx(mean, abs=4 * mean**0.5)  # four standard deviations
        begins += phase.seconds
    assert times == sorted(times)


def test_gaps_vary_as_much_as_their_mean() -> None:
    times = [each.at for each in arrivals([Phase(4000, 5)], SIZES, 2)]
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation / mean == pytest.approx(1, abs=0.05)


def test_compressing_keeps_rates_and_shortens_time() -> None:
    short = compressed(BURSTY, 10)
    assert length(short) == pytest.approx(length(BURSTY) / 10)
    assert [each.rate for each in short] == [each.rate for each in BURSTY]


def test_windows_are_clipped_and_about_as_long_as_they_should_be() -> None:
    source = random.Random(3)
    seconds = [SIZES.draw(source) for _ in range(5000)]
    assert min(seconds) >= SIZES.shortest_s / SIZES.realtime
    assert max(seconds) <= SIZES.longest_s / SIZES.realtime
    assert sum(seconds) / len(seconds) == pytest.approx(SIZES.mean_s / SIZES.realtime, rel=0.03)
