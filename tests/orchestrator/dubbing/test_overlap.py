from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.overlap import Joined, Samples, windows

plans = st.integers(2, 400).flatmap(
    lambda size: st.tuples(st.integers(0, 3000), st.just(size), st.integers(1, size - 1))
)


@given(plans)
def test_windows_cover_the_whole_are_as_long_and_overlap(plan: tuple[int, int, int]) -> None:
    total, size, overlap = plan
    found = list(windows(total, size, overlap))
    assert all(window.stop - window.start == min(size, total) for window in found)
    assert all(window.start <= window.joint < window.stop for window in found)
    assert all(later.joint == earlier.stop - overlap for earlier, later in pairwise(found))
    assert [window.joint for window in found[:1]] == [0][: len(found)]
    assert (found[-1].stop if found else 0) == total


@given(plans, st.integers(1, 2))
def test_what_comes_out_as_it_went_in_is_joined_as_it_was(plan: tuple[int, int, int], channels: int) -> None:
    total, size, overlap = plan
    sound = np.random.default_rng(0).normal(size=(total, channels)).astype(np.float32)
    joined = Joined(total, overlap)
    parts = [joined.add(window, sound[window.start : window.stop]) for window in windows(total, size, overlap)]
    assert np.allclose(np.concatenate(parts) if parts else sound, sound, atol=1e-6)


def test_results_that_differ_fade_into_each_other() -> None:
    first, second = windows(1900, 1000, 100)
    joined = Joined(1900, 100)
    parts = [joined.add(first, level(1.0)), joined.add(second, level(0.0))]
    whole = np.concatenate(parts)[:, 0]
    assert len(whole) == 1900
    assert (whole[:900] == 1).all()
    assert (whole[1000:] == 0).all()
    assert np.abs(np.diff(whole)).max() < 0.011


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        list(windows(100, 10, 10))


def level(value: float) -> Samples:
    return np.full((1000, 1), value, np.float32)
