from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.timeline import Interval, Window
from orchestrator.dubbing.windows import (
    FRAME_S,
    LONG_GAP_S,
    LONGEST_S,
    PADDING_S,
    cut_windows,
    merge_intervals,
)


@st.composite
def speech(draw: st.DrawFn) -> tuple[list[Interval], float]:
    """Stretches of speech in order, and the media's length."""
    parts = draw(st.lists(st.tuples(st.floats(0.0, 12.0), st.floats(0.05, 70.0)), max_size=30))
    clock = 0.0
    stretches = []
    for pause, length in parts:
        stretches.append(Interval(clock + pause, clock + pause + length))
        clock += pause + length
    return stretches, clock + draw(st.floats(0.0, 5.0))


def test_without_speech_there_is_no_window() -> None:
    assert cut_windows([], np.zeros(1000), 32.0) == []


def test_one_sentence_makes_one_window_padded_into_the_silence() -> None:
    assert cut_windows([Interval(2.0, 5.0)], None, 10.0) == [Window(0, 1.6, 5.4, 3.0)]


def test_padding_does_not_leave_the_media() -> None:
    (window,) = cut_windows([Interval(0.1, 4.95)], None, 5.0)
    assert (window.start, window.end) == (0.0, 5.0)


def test_speech_reported_past_the_end_of_the_media_is_cut_off() -> None:
    (window,) = cut_windows([Interval(1.0, 9.0)], None, 5.0)
    assert window.end == 5.0


def test_short_stretches_are_joined_towards_the_aim() -> None:
    windows = cut_windows([Interval(at, at + 2.0) for at in np.arange(0, 45, 2.5).tolist()], None, 45.0)
    lengths = [window.end - window.start for window in windows]
    assert all(7.0 <= length <= 13.0 for length in lengths), lengths


def test_a_cut_prefers_the_long_silence_to_the_short_one() -> None:
    stretches = [Interval(0, 4.0), Interval(4.15, 8.0), Interval(9.2, 13.0), Interval(13.15, 17.0)]
    windows = cut_windows(stretches, None, 17.0)
    assert [(round(each.start, 2), round(each.end, 2)) for each in windows] == [(0.0, 8.4), (8.8, 17.0)]


def test_long_silence_is_in_no_window() -> None:
    first, second = cut_windows([Interval(0, 2.0), Interval(2.0 + LONG_GAP_S + 0.1, 8.0)], None, 8.0)
    assert first.end == 2.0 + PADDING_S
    assert second.start == pytest.approx(2.0 + LONG_GAP_S + 0.1 - PADDING_S)


def test_endless_speech_is_cut_where_speech_is_least_probable() -> None:
    probability = np.full(round(40 / FRAME_S), 0.97)
    dip = round(14.0 / FRAME_S)
    probability[dip - 2 : dip + 3] = 0.3
    windows = cut_windows([Interval(0.0, 40.0)], probability, 40.0)
    assert any(abs(window.end - 14.0) < 0.1 for window in windows)


def test_endless_speech_without_probabilities_is_cut_evenly() -> None:
    windows = cut_windows([Interval(0.0, 45.0)], None, 45.0)
    assert [round(window.end, 3) for window in windows] == [15.0, 30.0, 45.0]


def test_probabilities_may_end_before_the_speech_does() -> None:
    windows = cut_windows([Interval(0.0, 60.0)], np.ones(10), 60.0)
    assert sum(window.speech for window in windows) == pytest.approx(60.0)


@given(speech(), st.booleans())
def test_windows_cover_all_speech_once_in_order_and_are_never_too_long(
    case: tuple[list[Interval], float], known: bool
) -> None:
    stretches, duration = case
    probability = np.random.default_rng(1).random(int(duration / FRAME_S) + 1) if known else None
    windows = cut_windows(stretches, probability, duration)
    assert [window.index for window in windows] == list(range(len(windows)))
    for window in windows:
        assert 0.0 <= window.start < window.end <= duration
        assert window.end - window.start <= LONGEST_S + 1e-6
    for window, following in pairwise(windows):
        assert window.end <= following.start + 1e-9
    spoken = sum(each.end - each.start for each in stretches)
    assert sum(window.speech for window in windows) == pytest.approx(spoken, abs=1e-6)
    for stretch in stretches:
        inside = sum(max(0.0, min(stretch.end, window.end) - max(stretch.start, window.start)) for window in windows)
        assert inside == pytest.approx(stretch.end - stretch.start, abs=1e-6)


def test_stretches_that_touch_at_the_edge_of_a_piece_become_one() -> None:
    found = [Interval(290.0, 300.0), Interval(300.03, 310.0), Interval(311.0, 312.0)]
    assert merge_intervals(found) == [Interval(290.0, 310.0), Interval(311.0, 312.0)]


def test_intervals_are_sorted_joined_and_rid_of_empty_ones() -> None:
    found = [Interval(5.0, 6.0), Interval(1.0, 3.0), Interval(2.0, 2.5), Interval(4.0, 4.0)]
    assert merge_intervals(found) == [Interval(1.0, 3.0), Interval(5.0, 6.0)]
