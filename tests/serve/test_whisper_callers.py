"""Windows of different callers share a batch, and none hears anything of the others."""

import pytest

from benchmarks.callers import Compared, compared, windows


def check(seen: Compared) -> None:
    assert seen.texts_differ == 0
    assert seen.times_differ_s == 0
    assert seen.probabilities_differ <= 1e-3


def test_what_callers_hear_together_is_what_each_hears_alone(model_plane: str) -> None:
    seen = compared(model_plane, windows(callers=8, each=1, longest_s=12.0))
    check(seen)
    assert seen.mean_batch > 1.3


@pytest.mark.soak
def test_sixteen_callers_fill_batches_of_three_and_hear_what_each_hears_alone(model_plane: str) -> None:
    seen = compared(model_plane, windows(callers=16, each=4))
    check(seen)
    assert seen.mean_batch >= 3
