"""Intervals on values whose answers are known."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.report.intervals import estimate, ratio
from tests.benchmarks.reports import measurement


def test_of_three_rounds_the_interval_of_the_median_is_their_range() -> None:
    found = estimate(measurement("speed", 10, 12, 20))
    assert found.value == 12
    assert found.interval
    assert (found.interval.low, found.interval.high) == (10, 20)


@pytest.mark.parametrize("values", [(5.0,), (5.0, 6.0)])
def test_fewer_than_three_rounds_give_no_interval_and_say_so(values: tuple[float, ...]) -> None:
    found = estimate(measurement("speed", *values))
    assert found.interval is None
    assert found.reason.startswith(f"no interval from {len(values)} round")


def test_values_that_never_vary_have_an_interval_of_no_width() -> None:
    found = estimate(measurement("speed", *[7.0] * 12))
    assert found.interval
    assert (found.interval.low, found.interval.high) == (7, 7)


def test_a_quantile_with_few_values_beyond_it_has_no_interval() -> None:
    requests = {"of": "requests", "statistic": "p99"}
    few, many = (measurement("wait", *range(count), **requests) for count in (499, 501))
    assert estimate(few).interval is None
    assert "fewer than 5 lie beyond p99" in estimate(few).reason
    assert estimate(many).interval is not None


@pytest.mark.parametrize("statistic", ["p50", "p95"])
def test_intervals_of_exponential_waits_hold_the_true_quantile_about_as_often_as_they_say(statistic: str) -> None:
    true = stats.expon.ppf(float(statistic.removeprefix("p")) / 100)
    held = 0
    for seed in range(40):
        values = np.random.default_rng(seed).exponential(size=150)
        found = estimate(measurement("wait", *values, of="requests", statistic=statistic))
        assert found.interval
        held += not found.interval.excludes(true)
    assert held >= 34, "85 of 100 would be few for 95"


def test_the_same_values_give_the_same_interval_every_time() -> None:
    values = np.random.default_rng(1).normal(10, 1, 30)
    assert estimate(measurement("speed", *values)) == estimate(measurement("speed", *values))


def test_a_ratio_of_values_twice_as_large_is_two_and_its_interval_leaves_one_out() -> None:
    found = ratio(measurement("speed", 10, 11, 12), measurement("speed", 20, 22, 24))
    assert found.value == pytest.approx(2)
    assert found.interval
    assert found.interval.low == pytest.approx(20 / 12)
    assert found.interval.high == pytest.approx(24 / 10)


@pytest.mark.parametrize("old", [(0.0, 0.0, 0.0), (0.0, 1.0, 2.0), (-1.0, 1.0, 2.0)])
def test_a_ratio_to_values_that_reach_zero_has_no_interval(old: tuple[float, ...]) -> None:
    found = ratio(measurement("lost", *old), measurement("lost", 1, 2, 3))
    assert found.interval is None
    assert "zero" in found.reason
