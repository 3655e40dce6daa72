"""The loudness of a whole by its readings from moment to moment."""

import math

import pytest

from orchestrator.dubbing.metering import Readings

QUIET = -120.7


def steady(lufs: float, count: int, peak: float = -6.0) -> list[tuple[float, float, float]]:
    return [(lufs, lufs, peak)] * count


def test_a_steady_tone_is_as_loud_as_it_reads() -> None:
    measured = Readings.of(steady(-23.0, 200)).loudness()
    assert (measured.integrated, measured.true_peak, measured.range) == pytest.approx((-23.0, -6.0, 0.0))


def test_pauses_and_what_is_far_quieter_do_not_count() -> None:
    alone = Readings.of(steady(-20.0, 100)).loudness()
    beside = Readings.of([*steady(-20.0, 100), *steady(-45.0, 100), *steady(QUIET, 500, -math.inf)]).loudness()
    assert beside.integrated == pytest.approx(alone.integrated)


def test_the_mean_is_that_of_the_power() -> None:
    measured = Readings.of([*steady(-20.0, 50), *steady(-26.0, 50)]).loudness()
    assert measured.integrated == pytest.approx(10 * math.log10((10**-2 + 10**-2.6) / 2))
    assert measured.range == pytest.approx(6.0)


@pytest.mark.parametrize("rows", [[], steady(QUIET, 40, -math.inf), [(-math.inf, -math.inf, -math.inf)]])
def test_silence_has_no_loudness(rows: list[tuple[float, float, float]]) -> None:
    measured = Readings.of(rows).loudness()
    assert measured.is_silent
    assert measured.true_peak == -math.inf


def test_a_part_takes_the_place_of_what_was_there_and_nothing_grows() -> None:
    before = Readings.of(steady(-20.0, 10))
    after = before.with_part(8, Readings.of(steady(-10.0, 5, -1.0)))
    assert after.short_term == [-20.0] * 8 + [-10.0] * 2
    assert after.loudness().true_peak == -1.0
    assert before.short_term == [-20.0] * 10
    assert len(before.with_part(12, Readings.of(steady(-10.0, 5)))) == 10


def test_a_curve_has_at_most_so_many_points_and_holes_where_it_is_silent() -> None:
    values = Readings.of([*steady(-20.0, 5), *steady(-18.04, 5), *steady(QUIET, 10), *steady(-30.0, 3)])
    assert values.thinned(600) == (1.0, [-18.0, None, -30.0])
    assert values.thinned(2) == (1.2, [-18.0, -30.0])
