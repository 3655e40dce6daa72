"""How long a job still takes: worked examples, and what must hold whatever is reported."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.jobs.eta import STALL_S, Pace, observe, seconds_left

WEIGHTS = {"extracting": 10, "transcribing": 40, "merging": 50}
DUB = {"extracting": 5, "transcribing": 22, "translating": 3, "synthesizing": 36, "merging": 34}

Report = tuple[float, dict[str, list[int]]]
"""Seconds since the last one, and the counts."""


def told(reports: list[Report], weights: dict[str, int] = WEIGHTS, known: float = 1.0) -> list[float | None]:
    """After each report what is left, in seconds."""
    pace, left = Pace(), []
    for seconds, counts in reports:
        pace = Pace.from_json(observe(pace, weights, counts, known, seconds).to_json())
        left.append(seconds_left(pace, weights))
    return left


def heard(done: int, of: int = 20, **more: list[int]) -> dict[str, list[int]]:
    return {"extracting": [1, 1], "transcribing": [done, of], **more}


READ: list[Report] = [(10.0, heard(0, 0)), (0.0, heard(0))]
"""Ten seconds for the first ten points: one second a point."""


def test_nothing_is_said_before_the_job_has_a_speed_of_its_own() -> None:
    assert told(READ) == [None, None]
    few = [(2.0, heard(done)) for done in range(1, 4)]
    assert told([*READ, *few]) == [None] * 5
    assert told([*READ, *few, (2.0, heard(4))])[-1] == pytest.approx(82)
    assert told([*READ, (1.0, heard(2, 2))])[-1] is not None, "there are no more"


@pytest.mark.parametrize(
    ("reports", "left"),
    [
        # A second a point throughout: what is left is what is not done.
        ([(4.0, heard(2)), (4.0, heard(4)), (4.0, heard(6))], 78),
        ([*((2.0, heard(done)) for done in range(1, 21))], 50),
        ([*((2.0, heard(done)) for done in range(1, 21)), (25.0, heard(20, merging=[50, 100]))], 25),
        # Hearing takes four times what its weight says: the merge, of which nothing is known yet, leans on it.
        ([*((8.0, heard(done)) for done in range(1, 21))], 150),
        # As that is known too, it counts alone.
        (
            [
                *((8.0, heard(done)) for done in range(1, 21)),
                *((5.0, heard(20, merging=[done, 100])) for done in range(0, 91, 10)),
            ],
            6,
        ),
        # Twice as fast as it began, for the second half of the windows.
        ([*((4.0, heard(done)) for done in range(1, 11)), *((1.0, heard(done)) for done in range(11, 21))], 49),
    ],
)
def test_what_is_left_follows_the_speed_of_each_stage(reports: list[Report], left: float) -> None:
    assert told([*READ, *reports])[-1] == pytest.approx(left, abs=1)


def test_of_windows_heard_side_by_side_the_first_does_not_stand_for_the_time_of_all() -> None:
    """Four at a time, ten seconds each, twelve in all: after the first, 30 seconds less what the others have done."""
    reports = [(seconds, heard(done, 12)) for seconds, done in ((0.0, 0), (10.0, 1), (0.5, 4), (9.5, 5), (0.5, 8))]
    left = told([(10.0, heard(0, 0)), *reports], {"extracting": 10, "transcribing": 90})
    assert left[:3] == [None, None, None]
    assert left[3] == pytest.approx(20, rel=0.1)
    assert left[5] == pytest.approx(10, rel=0.1)


def test_a_gap_is_not_taken_for_the_job_s_speed_but_a_slower_job_is() -> None:
    steady: list[Report] = [*READ, *((2.0, heard(done)) for done in range(1, 11))]
    before = told(steady)[-1]
    assert before is not None
    stalled = told([*steady, (3600.0, heard(11))])[-1]
    assert stalled is not None
    assert stalled < before + 10 * STALL_S
    slower = told([*steady, *((40.0, heard(done)) for done in range(11, 21)), (0.0, heard(20))])[-1]
    assert slower is not None
    assert slower > 4 * 50


def test_looking_for_speech_is_not_taken_for_hearing() -> None:
    long = told([(10.0, heard(0, 0)), (600.0, heard(0)), *((2.0, heard(done)) for done in range(1, 21))])
    quick = told([(10.0, heard(0, 0)), (0.0, heard(0)), *((2.0, heard(done)) for done in range(1, 21))])
    spent = Pace.from_json(
        observe(observe(Pace(), WEIGHTS, heard(0, 0), 0, 10), WEIGHTS, heard(0), 0, 600).to_json()
    ).spent
    assert spent == {"extracting": (610.0, 10.0)}
    assert long[-1] is not None
    assert quick[-1] is not None


def test_what_an_earlier_attempt_has_done_says_nothing_of_the_speed() -> None:
    counts = {"extracting": [1, 1], "transcribing": [20, 20], "translating": [9, 9], "synthesizing": [9, 9]}
    assert told([(0.1, counts)], DUB) == [None]
    left = told(
        [(0.1, counts), (10.0, {**counts, "merging": [50, 100]}), (10.0, {**counts, "merging": [75, 100]})], DUB
    )
    assert left[-1] == pytest.approx(10, rel=0.5)


def test_what_is_spoken_counts_for_the_part_of_the_file_that_is_known() -> None:
    spoken = {"extracting": [1, 1], "transcribing": [10, 20], "translating": [5, 5], "synthesizing": [5, 5]}
    begun = {**spoken, "transcribing": [0, 20], "translating": [0, 0], "synthesizing": [0, 0]}
    pace = observe(Pace(), DUB, begun, 0.0, 5.0)
    half, all_ = (seconds_left(observe(pace, DUB, spoken, known, 30.0), DUB) for known in (0.5, 1.0))
    assert half is not None
    assert all_ is not None
    assert half > all_ + 15


COUNTS = st.fixed_dictionaries(
    {},
    optional={stage: st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted) for stage in DUB},
)


@given(st.lists(st.tuples(st.floats(-10, 1e6), COUNTS, st.floats(0, 1)), max_size=30))
def test_whatever_is_reported_it_is_never_negative_and_stays_small(reports: list[Any]) -> None:
    pace = Pace()
    for seconds, counts, known in reports:
        pace = Pace.from_json(observe(pace, DUB, counts, known, seconds).to_json())
        left = seconds_left(pace, DUB)
        assert left is None or 0 <= left < float("inf")
        assert len(pace.spent) <= len(DUB)
        assert all(seconds >= 0 and points >= 0 for seconds, points in pace.spent.values())
