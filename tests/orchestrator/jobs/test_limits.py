"""Time limits of steps: in proportion to what they work on."""

from typing import get_args

import pytest
from pydantic import ValidationError

from orchestrator.jobs.limits import LIMITS, Limit, StageTimeoutError, StepName, deadline
from orchestrator.settings import Settings


def test_every_step_has_a_limit() -> None:
    assert set(LIMITS) == set(get_args(StepName))


@pytest.mark.parametrize(
    ("step", "length_s", "at_least_s", "at_most_s"),
    [
        ("extract", 36_000, 3_600, 10 * 3_600),  # ten hours at ten times real time, and no longer than they play
        ("render", 36_000, 10 * 3_600, 110 * 3_600),
        ("transcribe", 10, 60, 900),
        ("transcribe", 20, 60, 900),
        ("speak", 15, 60, 900),
        ("speak", 0, 60, 900),
    ],
)
def test_limits_are_far_above_what_work_takes_and_far_below_for_ever(
    step: StepName, length_s: float, at_least_s: float, at_most_s: float
) -> None:
    assert at_least_s <= deadline(step, length_s).seconds <= at_most_s


def test_a_limit_grows_with_what_is_worked_on() -> None:
    assert deadline("render", 7200).seconds - deadline("render", 3600).seconds == 3600 * LIMITS["render"].per_second


def test_settings_go_before_the_table() -> None:
    settings = Settings.model_validate({"time_limits": {"render": {"seconds": 60, "per_second": 5}}})
    assert deadline("render", 10, settings.time_limits).seconds == 110
    assert deadline("extract", 10, settings.time_limits) == deadline("extract", 10)


@pytest.mark.parametrize("limits", [{"rendr": {"seconds": 1}}, {"render": {"seconds": 0}}, {"render": {"minutes": 1}}])
def test_a_limit_that_is_none_is_refused(limits: object) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"time_limits": limits})


@pytest.mark.parametrize(("seconds", "said"), [(3.0, "3 seconds"), (500.0, "8 minutes")])
def test_the_error_says_what_took_too_long_and_what_to_do(seconds: float, said: str) -> None:
    limit = Limit(seconds=seconds)
    error = StageTimeoutError(deadline("transcribe", 0, {"transcribe": limit}))
    assert (error.code, error.status) == ("stage_timeout", 504)
    assert "Hearing a part of the file took longer than " + said in error.message
    assert "credits are back" in error.message
