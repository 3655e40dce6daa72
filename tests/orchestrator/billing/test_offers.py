"""How long bought credits are good for."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.billing.offers import end_of_credits

PAID = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("late", "ends"),
    [
        (timedelta(0), 30 * DAY),
        (timedelta(seconds=3), 30 * DAY + timedelta(seconds=3)),
        (29 * DAY, 59 * DAY),
        (400 * DAY, 430 * DAY),
        (-timedelta(minutes=1), 30 * DAY),
    ],
    ids=["at once", "by a webhook", "within their days", "after them", "by a clock that is behind Polar's"],
)
def test_days_count_from_the_grant_and_never_from_before_the_payment(late: timedelta, ends: timedelta) -> None:
    assert end_of_credits(30, paid_at=PAID, granted_at=PAID + late) == PAID + ends


def test_credits_without_days_end_never() -> None:
    assert end_of_credits(None, paid_at=PAID, granted_at=PAID) is None
