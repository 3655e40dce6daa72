"""How far back lists are looked through."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.billing.leftovers import Kind
from orchestrator.billing.look_back import LONG_DAYS, OVERLAP, QUICK_DAYS, look_back

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "days", "done", "back"),
    [
        ("order", QUICK_DAYS, HOUR, QUICK_DAYS * DAY),
        ("order", LONG_DAYS, HOUR, LONG_DAYS * DAY),
        ("order", 90, HOUR, 90 * DAY),
        ("order", QUICK_DAYS, 9 * DAY, 9 * DAY + OVERLAP),
        ("order", QUICK_DAYS, 400 * DAY, 400 * DAY + OVERLAP),
        ("order", QUICK_DAYS, None, LONG_DAYS * DAY),
        ("order", 90, None, 90 * DAY),
        ("refund", QUICK_DAYS, HOUR, QUICK_DAYS * DAY),
        ("dispute", QUICK_DAYS, HOUR, 180 * DAY),
        ("dispute", LONG_DAYS, HOUR, 180 * DAY),
        ("dispute", QUICK_DAYS, None, 180 * DAY),
        ("subscription", QUICK_DAYS, HOUR, QUICK_DAYS * DAY),
        ("subscription", LONG_DAYS, HOUR, 3650 * DAY),
        ("subscription", QUICK_DAYS, None, 3650 * DAY),
    ],
)
def test_a_list_is_looked_back_through_as_far_as_it_needs_and_to_the_last_time_it_was_done(
    kind: Kind, days: int, done: timedelta | None, back: timedelta
) -> None:
    assert NOW - look_back(kind, days, NOW, None if done is None else NOW - done) == back
