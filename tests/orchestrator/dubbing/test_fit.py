import math
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.fit import (
    FASTEST,
    SLOWEST,
    Candidate,
    Choice,
    fit,
    needs_others,
    place,
    plan,
    slot_of,
    slot_of_cue,
    slots,
)
from orchestrator.dubbing.pace import FAST
from orchestrator.dubbing.timeline import Fit, Placement, Slot

SLOT = Slot(10.0, 14.0, 15.0)
"""Four seconds of speech and one of silence."""
PASSAGES = tomllib.loads((Path(__file__).parents[2] / "data" / "passages.toml").read_text(encoding="utf-8"))["passage"]

segments = st.lists(
    st.tuples(
        st.floats(0.0, 3.0),  # silence before it
        st.floats(0.0, 6.0),  # the original speech
        st.lists(st.tuples(st.floats(-3, 0), st.floats(0, 12)), min_size=1, max_size=4),  # scores and lengths
    ),
    min_size=1,
    max_size=8,
)


def planned(passage: dict[str, Any]) -> list[Choice]:
    starts, ends = zip(*passage["segments"], strict=True)
    candidates = [[Candidate(*each) for each in group] for group in passage["says"]]
    return plan(slots(starts, ends, passage["seconds"]), candidates, passage.get("turns", ()))


@pytest.mark.parametrize("passage", PASSAGES, ids=[each["what"] for each in PASSAGES])
def test_passages_are_spoken_as_the_table_says(passage: dict[str, Any]) -> None:
    found = [[each.candidate.text, each.fit.speed, round(each.fit.overflow, 3)] for each in planned(passage)]
    assert found == passage["expected"]


def test_a_shifted_slot_is_that_behind_the_overflow() -> None:
    passage = next(each for each in PASSAGES if each["what"].startswith("an overflow delays"))
    one, two, three, four = planned(passage)
    assert three.slot.onset == pytest.approx(two.slot.onset + two.fit.seconds)
    assert (one.slot.onset, two.slot.onset, four.slot.onset) == (0.0, 2.1, 7.3)


@given(segments)
def test_any_passage_is_spoken_within_the_limits_in_order_and_to_the_second_as_it_says(
    parts: list[tuple[float, float, list[tuple[float, float]]]],
) -> None:
    starts, ends, clock = [], [], 0.0
    for silence, own, _ in parts:
        starts.append(clock + silence)
        ends.append(clock + silence + own)
        clock = ends[-1]
    there = slots(starts, ends, clock + 1)
    candidates = [[Candidate(f"{at}", *each) for at, each in enumerate(group)] for _, _, group in parts]
    chosen = plan(there, candidates)
    for slot, group, each in zip(there, candidates, chosen, strict=True):
        assert each.candidate in group
        assert SLOWEST <= each.fit.speed <= FASTEST
        assert each.fit.seconds == pytest.approx(each.candidate.natural_seconds / each.fit.speed)
        assert each.fit.overflow == pytest.approx(max(0.0, each.fit.seconds - each.slot.seconds), abs=1e-6)
        assert each.slot.onset >= slot.onset
        assert each.slot.end >= slot.end
    for one, following in pairwise(chosen):
        assert one.slot.onset + one.fit.seconds <= following.slot.onset + 1e-6


@given(st.floats(0, 1e3), st.floats(0, 60), st.floats(0, 60))
def test_speech_that_fits_alone_is_not_hurried_and_fast_speech_was_needed(
    natural: float, own: float, borrowed: float
) -> None:
    slot = Slot(5.0, 5.0 + own, 5.0 + own + borrowed)
    found = fit(natural, slot)
    if natural <= slot.seconds:
        assert found.speed <= 1
        assert found.overflow == 0
    if found.speed > FAST:
        assert natural / FAST > slot.seconds
    if found.overflow > 0.05:
        assert found.speed == FASTEST


@pytest.mark.parametrize("natural", [-1.0, math.inf, math.nan])
def test_impossible_lengths_are_refused(natural: float) -> None:
    with pytest.raises(ValueError, match="speech cannot last"):
        fit(natural, SLOT)


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no translation"):
        plan([SLOT], [[]])


def test_no_segments_need_no_plan() -> None:
    assert plan([], []) == []


def test_slots_and_translations_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        plan([SLOT], [])


@pytest.mark.parametrize(
    ("fitted", "needed"),
    [
        (Fit(1.0, 4.5, 0.0), False),
        (Fit(1.1, 5.0, 0.0), False),
        (Fit(1.11, 5.0, 0.0), True),
        (Fit(1.0, 5.1, 0.1), True),
        (Fit(0.85, 3.1, 0.0), True),
    ],
)
def test_other_translations_are_measured_only_where_the_best_is_not_at_ease(fitted: Fit, needed: bool) -> None:
    assert needs_others(Choice(Candidate("best", -0.3, 4.0), fitted, SLOT)) is needed


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


def test_a_cue_that_is_read_aloud_is_not_drawn_out_to_the_time_it_is_shown() -> None:
    assert slot_of_cue(1.0, 5.0, 6.0) == Slot(1.0, 1.0, 5.95)
    assert fit(2.0, slot_of_cue(1.0, 5.0, 6.0)).speed == 1.0


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
