import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.fit import place
from orchestrator.dubbing.timeline import Placement, Slot
from orchestrator.dubbing.timing import (
    SpeedBin,
    duration_compliance,
    overlaps,
    share_off,
    silence_added,
    speed_histogram,
)


@pytest.mark.parametrize(
    ("pairs", "compliance"),
    [
        ([], 1.0),
        ([(2.0, 2.0)], 1.0),
        ([(2.0, 1.0)], 0.5),
        ([(1.0, 2.0)], 0.5),
        ([(2.0, 1.0), (3.0, 3.0)], 0.75),
        ([(0.0, 0.0)], 1.0),
        ([(0.0, 1.0)], 0.0),
    ],
)
def test_duration_compliance_is_the_mean_of_the_shorter_over_the_longer(
    pairs: list[tuple[float, float]], compliance: float
) -> None:
    assert duration_compliance(pairs) == pytest.approx(compliance)


@pytest.mark.parametrize("length", [-0.1, math.inf, math.nan])
def test_impossible_lengths_have_no_compliance(length: float) -> None:
    with pytest.raises(ValueError, match="speech cannot last"):
        duration_compliance([(1.0, length)])


def test_a_difference_counts_only_above_the_limit() -> None:
    pairs = [(2.0, 2.3), (2.0, 2.31), (2.0, 1.69), (2.0, 2.0)]
    assert share_off(pairs) == 0.5
    assert share_off(pairs, seconds=0.5) == 0.0
    assert share_off([]) == 0.0


def test_speeds_are_counted_around_round_values_without_holes() -> None:
    assert speed_histogram([1.0, 0.98, 1.02, 1.2]) == [
        SpeedBin(0.975, 1.025, 3),
        SpeedBin(1.025, 1.075, 0),
        SpeedBin(1.075, 1.125, 0),
        SpeedBin(1.125, 1.175, 0),
        SpeedBin(1.175, 1.225, 1),
    ]
    assert speed_histogram([]) == []


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=30))
def test_every_speed_is_counted_once_and_in_its_own_bin(speeds: list[float]) -> None:
    bins = speed_histogram(speeds)
    assert sum(each.count for each in bins) == len(speeds)
    assert bins[0].low <= min(speeds) + 1e-6
    assert bins[-1].high >= max(speeds) - 1e-6


def test_silence_is_added_where_the_dub_ends_before_the_original() -> None:
    slots = [Slot(0.0, 3.0, 4.0), Slot(5.0, 7.0, 8.0), Slot(9.0, 9.0, 12.0)]
    assert silence_added(slots, place([0.0, 5.0, 9.0], [2.5, 2.9, 1.0], 12.0)) == pytest.approx(0.5)


def test_silence_needs_a_placement_for_every_slot() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        silence_added([Slot(0.0, 3.0, 4.0)], [])


def test_overlaps_are_counted_also_with_one_that_began_long_before() -> None:
    assert overlaps([Placement(0.0, 5.0, 0.0, 0.0), Placement(1.0, 2.0, 0.0, 0.0), Placement(3.0, 4.0, 0.0, 0.0)]) == 2
    assert overlaps([Placement(0.0, 1.0, 0.0, 0.0), Placement(1.0, 2.0, 0.0, 0.0)]) == 0
    assert overlaps([]) == 0
