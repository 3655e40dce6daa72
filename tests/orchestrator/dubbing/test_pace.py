from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.dubbing.pace import (
    ALL_SPEEDS,
    COSTS,
    FASTEST,
    SLOWEST,
    Planned,
    VoiceSpeeds,
    closeness,
    smoothest,
    speeds,
    tempo,
)

CURVE = ((0.5, 0.8), (1.0, 1.0), (1.6, 1.3))
"""A voice that lags behind the speed it is asked for."""
CURVED = VoiceSpeeds(0.5, 2.0, CURVE)
NARROW = VoiceSpeeds(0.95, 1.05)


def test_speeds_reach_from_the_slowest_to_the_fastest_through_the_voices_own() -> None:
    assert (speeds()[0], speeds()[-1]) == (SLOWEST, FASTEST)
    assert 1.0 in speeds()
    assert 1.2 in speeds()


@pytest.mark.parametrize(("silence", "close"), [(-1.0, 1.0), (0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (9.0, 0.0)])
def test_the_longer_the_silence_the_less_a_change_of_speed_is_heard(silence: float, close: float) -> None:
    assert closeness(silence) == pytest.approx(close)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.floats(0, 20), min_size=3, max_size=3), min_size=1, max_size=4), st.floats(0, 1))
def test_the_path_is_the_cheapest_of_all(own: list[list[float]], near: float) -> None:
    costs = [np.full(len(speeds()), 1e6) for _ in own]
    places = (0, 20, 50)
    for table, values in zip(costs, own, strict=True):
        table[list(places)] = values
    of_step = COSTS.of_step()

    def price(path: tuple[int, ...]) -> float:
        steps = sum(near * of_step[a, b] for a, b in pairwise(path))
        return float(sum(table[at] for table, at in zip(costs, path, strict=True)) + steps)

    found = smoothest(costs, [near] * (len(own) - 1))
    assert price(tuple(found)) == pytest.approx(min(price(path) for path in product(places, repeat=len(own))))


def test_no_segments_have_no_path() -> None:
    assert smoothest([], []) == []


@pytest.mark.parametrize(
    ("voice", "speed", "asked", "reached"),
    [
        (ALL_SPEEDS, 1.15, 1.15, 1.15),
        (NARROW, 1.2, 1.05, 1.05),
        (NARROW, 0.85, 0.95, 0.95),
        (CURVED, 1.0, 1.0, 1.0),
        (CURVED, 0.9, 0.75, 0.9),
        (CURVED, 1.15, 1.3, 1.15),
        (CURVED, 1.4, 1.6, 1.3),  # its curve ends there
        (CURVED, 0.7, 0.5, 0.8),
        (VoiceSpeeds(0.9, 1.2, CURVE), 1.4, 1.4, 1.2),  # its limit comes before its curve's end
    ],
)
def test_a_voice_is_asked_for_what_its_curve_turns_into_the_speed(
    voice: VoiceSpeeds, speed: float, asked: float, reached: float
) -> None:
    assert voice.asked(speed) == pytest.approx(asked)
    assert voice.reached(speed) == pytest.approx(reached)


def test_speeds_are_kept_and_read_again() -> None:
    assert VoiceSpeeds.read(CURVED.kept()) == CURVED
    assert VoiceSpeeds.read(NARROW.kept()) == NARROW


def test_speeds_a_voice_has_lost_since_are_not_asked_of_it() -> None:
    assert ALL_SPEEDS.within(NARROW) == NARROW
    assert NARROW.within(ALL_SPEEDS) == NARROW
    assert CURVED.within(VoiceSpeeds(0.9, 1.1)).asked(1.4) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("real", "audible", "spoken", "planned", "faster"),
    [
        (2.0, 1.9, 1.0, Planned(2.0, 1.9, 3.0), 1.0),
        (2.02, 1.9, 1.0, Planned(2.0, 1.9, 1.9), 1.0),  # near enough
        (2.0, 1.7, 1.0, Planned(2.0, 1.9, 1.9), 1.0),  # more quiet than is usual
        (2.0, 1.95, 1.0, Planned(2.0, 1.9, 1.9), 1.0263158),  # less, and the next one's onset is there
        (2.0, 1.95, 1.0, Planned(2.0, 1.9, 3.0), 1.0),
        (2.0, 1.9, 1.0, Planned(2.0, 1.9, 1.5), 1.0),  # planned to overflow
        (2.1, 2.0, 1.0, Planned(2.0, 1.9, 3.0), 1.05),
        (1.9, 1.8, 1.0, Planned(2.0, 1.9, 3.0), 0.95),
        (2.4, 2.3, 1.05, Planned(1.8, 1.7, 1.7), 1.3333333),  # beyond the voice's fastest: 1.4 in all
        (3.0, 2.9, 1.2, Planned(2.0, 1.9, 1.9), 1.1666667),  # never beyond that
        (1.0, 0.9, 0.95, Planned(2.0, 1.9, 1.9), 0.8947368),  # nor below 0.85
        (1.68, 1.58, 1.4, Planned(1.5, 1.4, 1.4), 1.0),
        (0.1, 0.0, 1.0, Planned(2.0, 1.9, 1.9), 1.0),
        (1.0, 0.9, 1.0, Planned(0.1, 0.0, 0.0), 1.4),
    ],
)
def test_what_is_not_as_planned_is_brought_there_within_the_limits(
    real: float, audible: float, spoken: float, planned: Planned, faster: float
) -> None:
    assert tempo(real, audible, spoken, planned) == pytest.approx(faster)
