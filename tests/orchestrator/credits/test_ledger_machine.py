"""Any sequence of steps on a real PostgreSQL against the model: the same balance, the same lots, and a clean audit."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.credits.ledger import ExcessRefundError, InsufficientCreditsError
from orchestrator.credits.models import CreditAccount, CreditEntry, CreditLot
from orchestrator.database import make_engine, sessions
from tests.orchestrator.credits.conftest import DAY, NOW, Sessions
from tests.orchestrator.credits.model import Model, State

CREDITS = st.integers(1, 12)
DAYS = st.sampled_from([1, 2, 4, 8, None])


@dataclass
class World:
    """One event loop and one database for all examples, each of which has an account of its own."""

    runner: asyncio.Runner
    make: Sessions
    steps: int = 0
    met: set[str] = field(default_factory=set)
    """What has happened at all: a run in which nothing is ever refused, owed or put off shows nothing."""


class LedgerMachine(RuleBasedStateMachine):
    grants: Bundle[str] = Bundle("grants")
    holds: Bundle[str] = Bundle("holds")

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.model = Model()
        self.now = NOW
        self.ids: dict[str, UUID] = {}
        self.keys = 0
        self.repeat: Callable[[], Any] | None = None

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.world.runner.run(work)

    def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        async def call() -> Any:
            async with self.world.make.begin() as session:
                return await function(session, *arguments, now=self.now, **options)

        self.world.steps += 1
        return self.run(call())

    def post(self, function: Any, *arguments: Any, **options: Any) -> CreditEntry:
        """A step with a key, which may be repeated later."""
        entry: CreditEntry = self.call(function, *arguments, **options)

        def again() -> None:
            assert self.call(function, *arguments, **options).id == entry.id

        self.repeat = again
        return entry

    def refused(self, error: type[Exception], function: Any, *arguments: Any, **options: Any) -> None:
        self.world.met.add(error.__name__)
        with pytest.raises(error):
            self.call(function, *arguments, **options)

    def key(self) -> str:
        self.keys += 1
        return f"{self.user_id}:{self.keys}"

    @initialize()
    def new_account(self) -> None:
        async def make() -> UUID:
            async with self.world.make.begin() as session:
                user = User(email=f"{self.world.steps}.{id(self)}@example.org", name="Elinor", password_hash=None)
                session.add(user)
                await session.flush()
                return user.id

        self.world.steps += 1
        self.user_id: UUID = self.run(make())

    @rule(target=grants, credits=CREDITS, days=DAYS, kind=st.sampled_from(["purchase", "grant"]))
    def grant(self, credits: int, days: int | None, kind: str) -> str:
        key, expires_at = self.key(), None if days is None else self.now + days * DAY
        if self.model.debt:
            self.world.met.add("a grant pays debt")
        self.model.grant(key, credits, expires_at, self.now)
        options = {"key": key, "reference": f"order:{key}", "kind": kind, "expires_at": expires_at}
        self.post(ledger.grant, self.user_id, credits, **options)
        return key

    @rule(target=holds, credits=CREDITS)
    def hold(self, credits: int) -> Any:
        key = self.key()
        call = (ledger.hold, self.user_id, credits)
        options = {"key": key, "reference": f"job:{key}"}
        if not self.model.hold(key, credits, self.now):
            self.refused(InsufficientCreditsError, *call, **options)
            return multiple()
        self.ids[key] = self.post(*call, **options).id
        return key

    @precondition(lambda self: self.model.available(self.now) > 0)
    @rule(target=holds)
    def hold_everything(self) -> Any:
        return self.hold(self.model.available(self.now))

    @rule(hold=holds, part=st.none() | st.integers(1, 12))
    def capture(self, hold: str, part: int | None) -> None:
        credits = self.model.holds.get(hold)
        spent = None if part is None or credits is None else min(part, len(credits))
        entry = self.call(ledger.capture, self.ids[hold], spent)
        self._settled(hold, entry, spent or len(credits or []))

    @rule(hold=holds)
    def release(self, hold: str) -> None:
        self._settled(hold, self.call(ledger.release, self.ids[hold]), 0)

    def _settled(self, hold: str, entry: CreditEntry | None, spent: int) -> None:
        if hold not in self.model.holds:
            self.world.met.add("settled twice")
            assert entry is None
            return
        if self.model.debt:
            self.world.met.add("what comes back pays debt")
        assert entry is not None
        self.model.settle(hold, spent, self.now)

    @rule(grant=grants, credits=CREDITS)
    def take_back(self, grant: str, credits: int) -> None:
        self._refund(ledger.take_back, self.model.take_back, grant, credits)

    @rule(grant=grants, credits=CREDITS)
    def give_back(self, grant: str, credits: int) -> None:
        self._refund(ledger.give_back, self.model.give_back, grant, credits)

    @rule(grant=grants)
    def dispute(self, grant: str) -> None:
        """All that is left of it."""
        left = self.model.granted[grant] - self.model.taken[grant]
        if left:
            self._refund(ledger.take_back, self.model.take_back, grant, left)

    def _refund(self, function: Any, modelled: Any, grant: str, credits: int) -> None:
        call = (function, self.user_id, credits)
        options = {"key": self.key(), "reference": f"order:{grant}", "grant_key": grant}
        if modelled(grant, credits, self.now):
            self.post(*call, **options)
        else:
            self.refused(ExcessRefundError, *call, **options)

    @rule(credits=CREDITS, up=st.booleans())
    def adjust(self, credits: int, up: bool) -> None:
        key, by = self.key(), credits if up else -credits
        call = (ledger.adjust, self.user_id, by)
        options = {"key": key, "reference": "support", "note": "a mistake"}
        if self.model.adjust(key, by, self.now):
            self.post(*call, **options)
        else:
            self.refused(InsufficientCreditsError, *call, **options)

    @rule(hours=st.integers(6, 120))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def expire(self) -> None:
        self.world.steps += 1
        self.run(ledger.expire_due(self.world.make, self.now))
        self.model.expire(self.now)

    @precondition(lambda self: self.repeat is not None)
    @rule()
    def repeat_the_last(self) -> None:
        assert self.repeat is not None
        self.repeat()

    @invariant()
    def the_account_is_the_model(self) -> None:
        if not hasattr(self, "user_id"):
            return
        self.run(self._compare())

    async def _compare(self) -> None:
        async with self.world.make() as session:
            balance = await ledger.balance(session, self.user_id, now=self.now)
            assert (balance.available, balance.held) == (self.model.available(self.now), self.model.held())
            assert balance.debt == self.model.debt
            assert await self._left(session) == sorted(self.model.left(self.now).values())
            ends = {end for _, end in self.model.left(self.now) if end is not None}
            assert [each.at for each in balance.expiring] == sorted(ends)
            sums = sa.func.sum(CreditEntry.amount), sa.func.sum(CreditEntry.held_amount)
            entries = (await session.execute(sa.select(*sums).where(CreditEntry.user_id == self.user_id))).one()
            account = await session.get(CreditAccount, self.user_id)
            if account is not None and account.sequence:
                assert (account.available, account.held) == tuple(entries)
            open_holds = await ledger.open_holds(session, self.user_id, 1000)
            assert {entry.id for entry in open_holds} == {self.ids[hold] for hold in self.model.holds}
            assert [each async for each in disagreements(session, self.user_id)] == []
        self.world.met |= {"debt"} if self.model.debt else set()
        self.world.met |= {credit.state for credit in self.model.credits}
        if any(credit.batch.extended and credit.state == "free" for credit in self.model.credits):
            self.world.met.add("put off")

    async def _left(self, session: AsyncSession) -> list[int]:
        there = sa.or_(CreditLot.expires_at.is_(None), CreditLot.expires_at > self.now)
        query = sa.select(CreditLot.remaining).where(CreditLot.user_id == self.user_id, CreditLot.remaining > 0, there)
        return sorted((await session.scalars(query)).all())


ALL = {
    "InsufficientCreditsError",
    "ExcessRefundError",
    "a grant pays debt",
    "what comes back pays debt",
    "settled twice",
    "debt",
    "put off",
    *get_args(State),
}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with asyncio.Runner() as runner:
        engine = make_engine(database_url)
        yield World(runner, sessions(engine))
        runner.run(engine.dispose())


def explore(world: World, examples: int, steps: int) -> None:
    limits = settings(max_examples=examples, stateful_step_count=steps)
    run_state_machine_as_test(lambda: LedgerMachine(world), settings=limits)  # type: ignore[arg-type]


def test_hundreds_of_steps_agree_with_the_model(world: World) -> None:
    explore(world, 20, 20)
    assert world.steps >= 200
    assert {"InsufficientCreditsError", "spent"} <= world.met


@pytest.mark.soak
def test_thousands_of_steps_agree_with_the_model(world: World) -> None:
    explore(world, 150, 60)
    assert world.steps >= 5_000
    assert world.met == ALL
