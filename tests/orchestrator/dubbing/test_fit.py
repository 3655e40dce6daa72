import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.fit import FASTEST, MARGIN, SLOWEST, Candidate, choose, fit, place, slot_of, slots
from orchestrator.dubbing.timeline import Fit, Placement, Slot

SLOT = Slot(10.0, 14.0, 15.0)
"""Four seconds of speech and one of silence."""


@pytest.mark.parametrize(
    ("natural", "speed", "seconds", "overflow"),
    [
        (4.0, 1.0, 4.0, 0.0),
        (3.8, 1.0, 3.8, 0.0),  # 95 % full: left alone
        (3.6, 0.9, 4.0, 0.0),  # slowed to fill the original speech
        (3.4, 0.85, 4.0, 0.0),
        (2.0, 0.85, 2.352941, 0.0),  # never slower than that
        (4.5, 1.0, 4.5, 0.0),  # the pause is absorbed first
        (5.0, 1.0, 5.0, 0.0),
        (5.5, 1.1, 5.0, 0.0),  # then it is spoken faster
        (6.0, 1.2, 5.0, 0.0),
        (7.2, 1.2, 6.0, 1.0),  # what still overflows is said
        (0.0, 1.0, 0.0, 0.0),
    ],
)
def test_fit(natural: float, speed: float, seconds: float, overflow: float) -> None:
    found = fit(natural, SLOT)
    assert (found.speed, found.seconds, found.overflow) == pytest.approx((speed, seconds, overflow), abs=1e-6)


@pytest.mark.parametrize("natural", [-1.0, math.inf, math.nan])
def test_impossible_lengths_are_refused(natural: float) -> None:
    with pytest.raises(ValueError, match="speech cannot last"):
        fit(natural, SLOT)


def test_a_slot_without_time_overflows_by_all_of_the_speech() -> None:
    assert fit(1.2, Slot(5.0, 5.0, 5.0)) == Fit(FASTEST, 1.0, 1.0)


def test_slots_borrow_the_silence_up_to_the_next_onset_but_a_guard() -> None:
    assert slots([0.0, 5.0, 8.0], [2.0, 7.0, 9.0], 12.0) == [
        Slot(0.0, 2.0, 4.95),
        Slot(5.0, 7.0, 7.95),
        Slot(8.0, 9.0, 12.0),
    ]


def test_no_segments_have_no_slots() -> None:
    assert slots([], [], 12.0) == []


def test_the_guard_is_not_taken_from_the_speech_itself() -> None:
    assert slot_of(1.0, 3.0, 3.02) == Slot(1.0, 3.0, 3.0)


def test_the_last_slot_keeps_the_speech_where_the_media_is_said_to_end_before_it() -> None:
    assert slots([1.0], [3.0], 2.5) == [Slot(1.0, 3.0, 3.0)]


def test_speech_that_ends_before_it_begins_has_an_empty_slot_of_its_own() -> None:
    assert slot_of(3.0, 2.0, 5.0) == Slot(3.0, 3.0, 4.95)


@given(st.floats(0, 1e4), st.floats(0, 1e3), st.floats(0, 60), st.floats(0, 60))
def test_speed_stays_in_bounds_and_overflow_is_exactly_what_does_not_fit(
    natural: float, onset: float, own: float, borrowed: float
) -> None:
    slot = Slot(onset, onset + own, onset + own + borrowed)
    found = fit(natural, slot)
    assert SLOWEST <= found.speed <= FASTEST
    assert found.seconds == pytest.approx(natural / found.speed)
    assert found.overflow == pytest.approx(max(0.0, found.seconds - slot.seconds), abs=1e-6)
    if found.overflow > 0:
        assert found.speed == FASTEST
    if found.speed < 1:
        assert found.seconds <= slot.own + 1e-6
    if natural <= slot.seconds:
        assert found.speed <= 1


def test_each_onset_is_its_own_where_everything_fits() -> None:
    assert place([1.0, 5.0], [3.0, 2.0], 8.0) == [Placement(1.0, 4.0, 0.0, 0.0), Placement(5.0, 7.0, 0.0, 0.0)]


def test_an_overflow_delays_its_successor_as_far_as_it_must_and_not_the_one_after() -> None:
    placed = place([0.0, 4.0, 8.0], [4.5, 3.0, 1.0], 10.0)
    assert [(each.onset, each.delay) for each in placed] == [(0.0, 0.0), (4.5, 0.5), (8.0, 0.0)]


def test_what_lies_past_the_end_of_the_media_is_said() -> None:
    assert place([8.0], [3.0], 10.0)[0].beyond == 1.0


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), max_size=40), st.floats(0, 500))
def test_placed_speech_never_overlaps_nor_begins_early(parts: list[tuple[float, float]], duration: float) -> None:
    onsets = [sum(step for step, _ in parts[: at + 1]) for at in range(len(parts))]
    placed = place(onsets, [length for _, length in parts], duration)
    for onset, (_, length), each in zip(onsets, parts, placed, strict=True):
        assert each.onset >= onset
        assert each.delay == pytest.approx(each.onset - onset)
        assert each.end == pytest.approx(each.onset + length)
        assert each.beyond == pytest.approx(max(0.0, each.end - duration))
    for each, following in pairwise(placed):
        assert each.end <= following.onset
        assert following.delay == 0 or following.onset == each.end


def test_the_best_translation_is_taken_where_it_fits() -> None:
    best, shorter = Candidate("long", -0.3, 5.5), Candidate("short", -0.31, 4.0)
    assert choose([shorter, best], SLOT) is best


def test_a_shorter_one_is_taken_where_the_best_overflows() -> None:
    best, shorter = Candidate("long", -0.3, 7.0), Candidate("short", -0.3 - MARGIN + 0.01, 5.0)
    assert choose([best, shorter], SLOT) is shorter


def test_a_much_worse_translation_is_not_taken_however_short() -> None:
    best, wrong = Candidate("long", -0.3, 7.0), Candidate("wrong", -0.3 - MARGIN - 0.01, 4.0)
    assert choose([best, wrong], SLOT) is best


def test_of_those_that_fit_the_better_scored_is_taken() -> None:
    best, good, short = Candidate("long", -0.3, 7.0), Candidate("good", -0.35, 6.0), Candidate("short", -0.4, 3.0)
    assert choose([best, short, good], SLOT) is good


def test_of_those_that_overflow_the_shortest_is_taken() -> None:
    best, shorter = Candidate("long", -0.3, 9.0), Candidate("short", -0.4, 8.0)
    assert choose([best, shorter], SLOT) is shorter


def test_padding_of_the_n_best_is_never_taken() -> None:
    best, padding = Candidate("long", -0.3, 9.0), Candidate("", -math.inf, 0.0)
    assert choose([best, padding, Candidate(" ", -0.3, 0.0)], SLOT) is best


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no translation"):
        choose([], SLOT)
