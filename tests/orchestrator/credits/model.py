"""What the ledger should do, told the simplest way: every single credit is a thing of its own."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

GRACE = timedelta(days=7)
State = Literal["free", "held", "spent", "expired", "paid", "taken", "corrected"]


@dataclass(eq=False)
class Batch:
    """Credits that came together."""

    number: int
    grant: str
    expires_at: datetime | None
    extended: bool = False

    def over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def put_off(self, now: datetime) -> None:
        if self.expires_at and self.over(now) and not self.extended and now < self.expires_at + GRACE:
            self.expires_at, self.extended = self.expires_at + GRACE, True


@dataclass(eq=False)
class Credit:
    batch: Batch
    state: State = "free"


@dataclass
class Model:
    """One account."""

    credits: list[Credit] = field(default_factory=list)
    batches: dict[str, list[Batch]] = field(default_factory=dict)
    """By the grant they belong to; its own first."""
    granted: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    holds: dict[str, list[Credit]] = field(default_factory=dict)
    """Those that are open."""
    debt: int = 0
    count: int = 0

    def available(self, now: datetime) -> int:
        return sum(credit.state == "free" and not credit.batch.over(now) for credit in self.credits) - self.debt

    def held(self) -> int:
        return sum(credit.state == "held" for credit in self.credits)

    def left(self, now: datetime) -> dict[tuple[int, datetime | None], int]:
        """What is left of every batch."""
        there: dict[tuple[int, datetime | None], int] = {}
        for credit in self._free(now):
            mark = (credit.batch.number, credit.batch.expires_at)
            there[mark] = there.get(mark, 0) + 1
        return there

    def expire(self, now: datetime) -> None:
        for credit in self.credits:
            if credit.state == "free" and credit.batch.over(now):
                credit.state = "expired"

    def grant(self, grant: str, credits: int, expires_at: datetime | None, now: datetime) -> None:
        self.expire(now)
        self.granted[grant], self.taken[grant] = credits, 0
        self._come(Batch(self._next(), grant, expires_at), credits)

    def hold(self, hold: str, credits: int, now: datetime) -> bool:
        """Whether there were enough."""
        if credits > self.available(now):
            return False
        self.expire(now)
        self.holds[hold] = self._free(now)[:credits]
        _all(self.holds[hold], "held")
        return True

    def settle(self, hold: str, spent: int, now: datetime) -> None:
        self.expire(now)
        credits = sorted(self.holds.pop(hold), key=_order)
        _all(credits[:spent], "spent")
        back = self._pay(credits[spent:])
        _all(back, "free")
        for batch in {credit.batch for credit in back}:
            batch.put_off(now)
        self.expire(now)

    def take_back(self, grant: str, credits: int, now: datetime) -> bool:
        """Whether so many were left to be taken of that grant."""
        if credits > self.granted[grant] - self.taken[grant]:
            return False
        self.expire(now)
        self.taken[grant] += credits
        own = [credit for credit in self._free(now) if credit.batch.grant == grant]
        gone = [credit for credit in self.credits if credit.state == "expired" and credit.batch.grant == grant]
        others = [credit for credit in self._free(now) if credit.batch.grant != grant]
        taken = [*own, *gone, *others][:credits]
        _all(taken, "taken")
        self.debt += credits - len(taken)
        return True

    def give_back(self, grant: str, credits: int, now: datetime) -> bool:
        """Whether so many had been taken of that grant."""
        if credits > self.taken[grant]:
            return False
        self.expire(now)
        self.taken[grant] -= credits
        first = self.batches[grant][0]
        batch = Batch(self._next(), grant, first.expires_at, first.extended)
        batch.put_off(now)
        self._come(batch, credits)
        self.expire(now)
        return True

    def adjust(self, name: str, credits: int, now: datetime) -> bool:
        """Whether the account did not go below zero."""
        if credits < 0 and -credits > self.available(now):
            return False
        self.expire(now)
        if credits > 0:
            self._come(Batch(self._next(), name, None), credits)
        else:
            _all(self._free(now)[:-credits], "corrected")
        return True

    def _come(self, batch: Batch, credits: int) -> None:
        new = [Credit(batch) for _ in range(credits)]
        self.batches.setdefault(batch.grant, []).append(batch)
        self.credits += new
        self._pay(new)

    def _pay(self, credits: list[Credit]) -> list[Credit]:
        """Pay the debt with the first of them; the others."""
        paid = credits[: self.debt]
        _all(paid, "paid")
        self.debt -= len(paid)
        return credits[len(paid) :]

    def _free(self, now: datetime) -> list[Credit]:
        return sorted((each for each in self.credits if each.state == "free" and not each.batch.over(now)), key=_order)

    def _next(self) -> int:
        self.count += 1
        return self.count


def _order(credit: Credit) -> tuple[bool, float, int]:
    end = credit.batch.expires_at
    return end is None, end.timestamp() if end else 0.0, credit.batch.number


def _all(credits: Iterable[Credit], state: State) -> None:
    for credit in credits:
        credit.state = state
