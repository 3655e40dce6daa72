"""How far back Polar's lists are looked through. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.billing.leftovers import Kind

QUICK_DAYS = 2
LONG_DAYS = 60
"""Refunds come weeks after the payment; a failed renewal is tried for three weeks."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How many days a list is looked back through at least: by every run, and by one that is asked for LONG_DAYS."""

    every: int
    long: int


REACH: Mapping[Kind, Reach] = {
    "order": Reach(QUICK_DAYS, LONG_DAYS),
    "refund": Reach(QUICK_DAYS, LONG_DAYS),
    "dispute": Reach(180, 180),
    "subscription": Reach(QUICK_DAYS, 3650),
}
"""Lists are sorted by when a thing was made, and it may change long after. A dispute is decided months after it was
opened, and there are few; a subscription changes as long as it lives."""

OVERLAP = timedelta(hours=1)
"""Looked back beyond the last time a list was done, should the clocks differ or an order appear late."""


def look_back(kind: Kind, days: int, now: datetime, done_at: datetime | None) -> datetime:
    """From when on a list is looked through: all since the last run that did it, and the days asked for or of REACH.

    A list that never was done (`done_at` is None) is looked through as by a long run.
    """
    reach = REACH[kind]
    least = reach.long if days >= LONG_DAYS or done_at is None else reach.every
    since = now - timedelta(days=max(days, least))
    return since if done_at is None else min(since, done_at - OVERLAP)
