"""Many connections at once: nothing is spent twice, nothing is lost, and repeated requests count once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.credits.ledger import ExcessRefundError, InsufficientCreditsError
from orchestrator.credits.models import CreditEntry
from orchestrator.database import sessions
from tests.orchestrator.credits.conftest import DAY, NOW, Book, Sessions

pytestmark = pytest.mark.anyio

SPENDERS = 50


@pytest.fixture
async def connections(database_url: str) -> AsyncIterator[Sessions]:
    """A connection for every transaction, however many there are at once."""
    url = sa.make_url(database_url).set(drivername="postgresql+psycopg")
    engine = create_async_engine(url, poolclass=NullPool)
    yield sessions(engine)
    await engine.dispose()


async def together(calls: list[Callable[[AsyncSession], Awaitable[Any]]], make: Sessions) -> list[Any]:
    """Every call in a transaction of its own, begun when all have their connection; results and refusals."""
    ready = asyncio.Barrier(len(calls))

    async def one(call: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
        async with make() as session:
            await session.execute(sa.text("select 1"))
            await session.commit()
            await session.connection()
            await ready.wait()
            result = await call(session)
            await session.commit()
            return result

    return await asyncio.gather(*(one(call) for call in calls), return_exceptions=True)


def refused(results: list[Any]) -> int:
    """How many were refused; anything that went wrong otherwise is raised."""
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, InsufficientCreditsError):
            raise result
    return sum(isinstance(result, InsufficientCreditsError) for result in results)


async def test_of_fifty_spends_of_the_last_credit_exactly_one_wins(book: Book, connections: Sessions) -> None:
    await book.grant(1)

    def spend(number: int) -> Callable[[AsyncSession], Awaitable[Any]]:
        return lambda session: ledger.hold(session, book.user_id, 1, key=f"job:{number}", reference=f"job:{number}")

    results = await together([spend(number) for number in range(SPENDERS)], connections)
    assert refused(results) == SPENDERS - 1
    assert await book.has() == (0, 1)
    assert await book.kinds() == [("grant", 1), ("hold", -1)]
    assert await book.audit() == []


async def test_of_fifty_first_grants_of_an_account_all_count_and_of_one_key_one(
    book: Book, connections: Sessions
) -> None:
    def grant(number: int) -> Callable[[AsyncSession], Awaitable[Any]]:
        key = f"order:{number // 2}"
        return lambda session: ledger.grant(session, book.user_id, 3, key=key, reference=key)

    results = await together([grant(number) for number in range(SPENDERS)], connections)
    assert refused(results) == 0
    assert len({entry.id for entry in results}) == SPENDERS // 2
    assert await book.has() == (SPENDERS // 2 * 3, 0)
    assert await book.audit() == []


async def test_of_many_settlements_of_a_hold_exactly_one_counts(book: Book, connections: Sessions) -> None:
    await book.grant(10)
    hold = await book.hold(10)

    def settle(number: int) -> Callable[[AsyncSession], Awaitable[Any]]:
        if number % 2:
            return lambda session: ledger.release(session, hold.id)
        return lambda session: ledger.capture(session, hold.id, 1 + number % 10)

    results = await together([settle(number) for number in range(SPENDERS)], connections)
    assert refused(results) == 0
    (won,) = [entry for entry in results if entry is not None]
    assert await book.has() == (won.amount, 0)
    assert await book.audit() == []


async def test_refunds_of_a_grant_at_once_take_no_more_than_was_granted(book: Book, connections: Sessions) -> None:
    granted = await book.grant(10, key="order:1")

    def take(number: int) -> Callable[[AsyncSession], Awaitable[Any]]:
        options: dict[str, Any] = {"key": f"refund:{number}", "reference": "order:1", "grant_key": "order:1"}
        return lambda session: ledger.take_back(session, book.user_id, 3, **options)

    results = await together([take(number) for number in range(20)], connections)
    assert Counter(type(result) for result in results) == {CreditEntry: 3, ExcessRefundError: 17}
    assert {entry.refunds for entry in results if isinstance(entry, CreditEntry)} == {granted.id}
    assert await book.has() == (1, 0)


@dataclass
class Tally:
    """What one account was told: the sums of what succeeded, each key counted once."""

    sums: Counter[str] = field(default_factory=Counter)
    seen: set[UUID] = field(default_factory=set)

    def count(self, entry: CreditEntry | None, kind: str, credits: int) -> None:
        if entry is not None and entry.id not in self.seen:
            self.seen.add(entry.id)
            self.sums[kind] += credits


@dataclass
class Crowd:
    """Random steps on a few accounts; many of them asked for twice at once."""

    make: Sessions
    users: list[UUID]
    dice: random.Random
    tallies: dict[UUID, Tally] = field(default_factory=dict)
    grants: list[tuple[UUID, str]] = field(default_factory=list)
    holds: list[CreditEntry] = field(default_factory=list)
    now: Any = NOW
    keys: int = 0

    async def step(self) -> None:
        kind = self.dice.choices(["grant", "hold", "settle", "refund", "adjust", "expire"], weights=[3, 6, 6, 2, 1, 1])[
            0
        ]
        await getattr(self, kind)()

    async def twice(self, function: Any, *arguments: Any, **options: Any) -> list[CreditEntry | None]:
        """Ask once, or twice at the same moment as a repeated request does; refusals left out."""

        async def ask() -> CreditEntry | None:
            async with self.make.begin() as session:
                entry: CreditEntry | None = await function(session, *arguments, now=self.now, **options)
                return entry

        answers = await asyncio.gather(*(ask() for _ in range(self.dice.choice([1, 2]))), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(
                answer, InsufficientCreditsError | ExcessRefundError
            ):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    def key(self) -> str:
        self.keys += 1
        return f"crowd:{self.keys}"

    async def grant(self) -> None:
        user_id, credits, key = self.dice.choice(self.users), self.dice.randint(1, 30), self.key()
        days = self.dice.choice([None, 1, 5, 20])
        options = {"key": key, "reference": key, "expires_at": days and self.now + days * DAY}
        for entry in await self.twice(ledger.grant, user_id, credits, **options):
            self.tallies[user_id].count(entry, "in", credits)
        self.grants.append((user_id, key))

    async def hold(self) -> None:
        user_id, credits, key = self.dice.choice(self.users), self.dice.randint(1, 10), self.key()
        entries = await self.twice(ledger.hold, user_id, credits, key=key, reference=key)
        self.holds += [entry for entry in entries[:1] if entry]

    async def settle(self) -> None:
        if not self.holds:
            return
        hold = self.dice.choice(self.holds[-20:])
        if self.dice.random() < 0.5:
            await self.twice(ledger.release, hold.id)
        else:
            spent = self.dice.randint(1, hold.held_amount)
            for entry in await self.twice(ledger.capture, hold.id, spent):
                self.tallies[hold.user_id].count(entry, "out", spent)

    async def refund(self) -> None:
        if not self.grants:
            return
        user_id, grant_key = self.dice.choice(self.grants)
        credits, back = self.dice.randint(1, 20), self.dice.random() < 0.3
        options = {"key": self.key(), "reference": grant_key, "grant_key": grant_key}
        for entry in await self.twice(ledger.give_back if back else ledger.take_back, user_id, credits, **options):
            self.tallies[user_id].count(entry, "in" if back else "out", credits)

    async def adjust(self) -> None:
        user_id, credits = self.dice.choice(self.users), self.dice.choice([-5, -1, 1, 5])
        options = {"key": self.key(), "reference": "support", "note": "a mistake"}
        for entry in await self.twice(ledger.adjust, user_id, credits, **options):
            self.tallies[user_id].count(entry, "in", credits)

    async def expire(self) -> None:
        self.now += DAY
        await ledger.expire_due(self.make, self.now)


async def crowd(make: Sessions, tasks: int, steps: int, seed: int) -> None:
    async with make.begin() as session:
        users = [User(email=f"{number}.{seed}@example.org", name="Elinor", password_hash=None) for number in range(3)]
        session.add_all(users)
    ids = [user.id for user in users]
    here = Crowd(make, ids, random.Random(seed), {user_id: Tally() for user_id in ids})

    async def work() -> None:
        for _ in range(steps):
            await here.step()

    await asyncio.gather(*(work() for _ in range(tasks)))
    async with make() as session:
        assert [each async for each in disagreements(session)] == []
        for user_id in ids:
            balance = await ledger.balance(session, user_id, now=here.now)
            expiries = sa.select(sa.func.coalesce(sa.func.sum(CreditEntry.amount), 0))
            expired = await session.scalar(expiries.where(CreditEntry.user_id == user_id, CreditEntry.kind == "expiry"))
            sums = here.tallies[user_id].sums
            assert sums["in"] > 0
            assert sums["out"] > 0
            due = sums["in"] - sums["out"] + int(expired or 0)
            assert balance.available + balance.held == due - await _unswept(session, user_id, here.now)


async def _unswept(session: AsyncSession, user_id: UUID, now: Any) -> int:
    """Credits that are over and have no expiry yet: the balance leaves them out already."""
    query = "select coalesce(sum(remaining), 0) from credit_lot where user_id = :user_id and expires_at <= :now"
    return int((await session.execute(sa.text(query), {"user_id": user_id, "now": now})).scalar_one())


async def test_a_crowd_on_a_few_accounts_neither_makes_nor_loses_a_credit(connections: Sessions, book: Book) -> None:
    await crowd(connections, tasks=8, steps=25, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
async def test_a_large_crowd_neither_makes_nor_loses_a_credit(connections: Sessions, seed: int) -> None:
    await crowd(connections, tasks=20, steps=60, seed=seed)
