"""Which lots credits are taken from, which they go back to, and when they expire. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

GRACE = timedelta(days=7)
"""Credits that come back after their lot expired can be spent until so long after its expiry; a lot has this once."""


@dataclass(frozen=True, slots=True)
class Term:
    """Until when a lot's credits can be spent (None: for ever), and whether that was put off already."""

    expires_at: datetime | None = None
    extended: bool = False

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def resumed(self, now: datetime) -> "Term":
        """The term of credits that come back now. Where neither it nor its grace has time left, it stays over."""
        if self.expires_at is None or self.extended or not self.is_over(now):
            return self
        later = Term(self.expires_at + GRACE, extended=True)
        return self if later.is_over(now) else later


FOR_EVER = Term()


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot as it is now. `grant_id` is the entry whose credits it has, also where those were given back."""

    id: UUID
    grant_id: UUID
    reference: str
    remaining: int
    term: Term


@dataclass(frozen=True, slots=True)
class Use:
    """Credits that are taken from a lot, or put back into it where they are less than 0."""

    lot_id: UUID
    credits: int


def soonest_first(lots: Iterable[Lot]) -> list[Lot]:
    """In the order in which they are spent: the soonest expiring first, of equal ones the older (ids grow)."""
    return sorted(lots, key=lambda lot: (lot.term.expires_at is None, lot.term.expires_at or 0, lot.id))


def draw(lots: Iterable[Lot], credits: int) -> list[Use]:
    """So many credits from the lots in this order; all there are where that is less."""
    uses = []
    for lot in lots:
        taken = min(lot.remaining, credits)
        if taken > 0:
            uses.append(Use(lot.id, taken))
            credits -= taken
    return uses


def put_back(taken: Sequence[tuple[Lot, int]], kept: int) -> list[Use]:
    """What returns of credits taken from lots when `kept` of them do not: those are the soonest expiring."""
    credits_of = {lot.id: credits for lot, credits in taken}
    uses = []
    for lot in soonest_first(lot for lot, _ in taken):
        stays = min(credits_of[lot.id], kept)
        kept -= stays
        if credits_of[lot.id] > stays:
            uses.append(Use(lot.id, stays - credits_of[lot.id]))
    return uses


def after(lots: Iterable[Lot], uses: Iterable[Use]) -> list[Lot]:
    """The lots that have credits left when these are taken."""
    used = {use.lot_id: use.credits for use in uses}
    changed = (replace(lot, remaining=lot.remaining - used.get(lot.id, 0)) for lot in lots)
    return [lot for lot in changed if lot.remaining > 0]
