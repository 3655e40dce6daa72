"""What a run of the reconciliation does, part by part: four lists of Polar's, what was left, our own open ends."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.billing import checkouts, leftovers, orders, rules, subscriptions, wire
from orchestrator.billing.events import said
from orchestrator.billing.leftovers import Kind
from orchestrator.billing.look_back import LONG_DAYS, OVERLAP
from orchestrator.billing.lookup import apply_answer, look_up
from orchestrator.billing.models import PolarOrder, PolarSubscription, Purchase, ReconciliationPart, ReconciliationRun
from orchestrator.billing.polar import Polar, Unreadable
from orchestrator.billing.polar_errors import (
    PolarAnswerError,
    PolarError,
    PolarNotFoundError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarScopeError,
    PolarUnauthorizedError,
    PolarUnavailableError,
)
from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

UNANSWERED = timedelta(minutes=10)
"""A purchase without a checkout: its making is over by then."""
AT_ONCE = 200
"""Purchases, orders and subscriptions of ours that one run asks Polar about one by one, and leftovers of a kind."""
TAKES_NO_QUESTION = (PolarUnauthorizedError, PolarRateLimitedError)
BORNE = 3
"""How often a part bears no answer about a single thing; with the next one it is over."""

Make = async_sessionmaker[AsyncSession]
Work = Callable[[AsyncSession], Awaitable[int]]
Item = TypeVar("Item", bound=wire.Wire)


class Repairs:
    """One run of the reconciliation; `row` counts what it does, `since` says how far back it looks."""

    def __init__(
        self, polar: Polar, make: Make, settings: Settings, row: ReconciliationRun, since: Mapping[Kind, datetime]
    ) -> None:
        self._polar, self._make, self._settings, self._row, self._since = polar, make, settings, row, since
        self._seen: set[tuple[Kind, UUID]] = set()
        self._left: set[tuple[str, UUID]] = set()
        self._unanswered = 0
        self._over: str | None = None

    async def run(self, now: datetime) -> Mapping[str, str]:
        """Do every part; why parts were not done, by their names. Where Polar takes no question, it asks no more."""
        async with self._make() as session:
            self._left = {(each.kind, each.id) for each in await leftovers.listed(session)}
        parts: Mapping[str, Callable[[], Awaitable[None]]] = {
            "orders": lambda: self._through("order", self._polar.orders, self._take_order),
            "refunds": lambda: self._through("refund", self._polar.refunds, self._take_refund),
            "disputes": lambda: self._through("dispute", self._polar.disputes, self._take_dispute),
            "subscriptions": lambda: self._through("subscription", self._polar.subscriptions, self._take_subscription),
            "leftovers": self._ask_again,
            "open orders": lambda: self._each(PolarOrder, _unpaid(now), self._ask_order),
            "purchases": lambda: self._each(Purchase, _stale(now), lambda id_: self._end_or_repair(id_, now)),
            "overdue subscriptions": lambda: self._each(PolarSubscription, _overdue(now), self._ask_subscription),
            "closed accounts": lambda: self._each(PolarSubscription, _of_closed_accounts(), self._end_with_period),
        }
        not_done: dict[str, str] = {}
        for name, work in parts.items():
            why_not = await self._why_not(name, work)
            if why_not is not None:
                not_done[name] = why_not
            async with self._make.begin() as session:
                await _note(session, name, now, why_not)
        return not_done

    async def _why_not(self, name: str, work: Callable[[], Awaitable[None]]) -> str | None:
        """Do a part; where it was not done, why."""
        if self._over is not None:
            return self._over
        self._unanswered = 0
        try:
            await work()
        except PolarError as error:
            log.warning("a part of the reconciliation was not done", part=name, reason=error.message)
            if isinstance(error, TAKES_NO_QUESTION) and not isinstance(error, PolarScopeError):
                self._over = error.message
            return error.message
        return None

    async def _through(
        self,
        kind: Kind,
        listed: Callable[..., AsyncIterator[Item]],
        take: Callable[[Item], Awaitable[None]],
    ) -> None:
        """Take over what a list has, and leave what cannot be read.

        Raises PolarAnswerError where something in it cannot even be left, for it says no id.
        """
        unreadable: list[Unreadable] = []
        async for item in listed(since=self._since[kind], leave=unreadable.append):
            await take(item)
        for each in unreadable:
            await self._pass_over(kind, each)
        nameless = sum(each.id is None for each in unreadable)
        if nameless:
            raise PolarAnswerError(f"list {kind}s", f"gave {nameless} without an id")

    async def _ask_again(self) -> None:
        """Ask for what earlier runs had to leave."""
        asks: Mapping[Kind, Callable[[UUID], Awaitable[None]]] = {
            "order": self._ask_order,
            "refund": lambda id_: self._ask("refund", id_, self._polar.one_refund, self._take_refund),
            "dispute": lambda id_: self._ask("dispute", id_, self._polar.dispute, self._take_dispute),
            "subscription": self._ask_subscription,
        }
        for kind, ask in asks.items():
            async with self._make() as session:
                waiting = await leftovers.waiting(session, kind, AT_ONCE)
            for id_ in waiting:
                await ask(id_)

    async def _pass_over(self, kind: Kind, each: Unreadable) -> None:
        self._row.failed += 1
        log.error("could not be reconciled", what=kind, id=str(each.id), reason=each.reason)
        if each.id is not None:
            self._seen.add((kind, each.id))
            await self._leave(kind, each.id, each.reason)
        if each.order_id is not None:
            await self._ask_order(each.order_id)

    async def _take_order(self, order: wire.Order) -> None:
        self._row.orders += 1

        async def take(session: AsyncSession) -> int:
            return (await apply_answer(session, self._settings, order, "reconciliation")).change

        await self._take("order", order.id, take)

    async def _take_refund(self, refund: wire.Refund) -> None:
        self._row.refunds += 1

        async def take(session: AsyncSession) -> int:
            await orders.take_refund(session, refund, at=datetime.now(UTC))
            return 0

        await self._take("refund", refund.id, take)
        await self._ask_order(refund.order_id)

    async def _take_dispute(self, dispute: wire.Dispute) -> None:
        self._row.disputes += 1
        await self._ask_order(dispute.order_id)

        async def take(session: AsyncSession) -> int:
            applied = await orders.take_dispute(session, dispute, at=datetime.now(UTC))
            return applied.change if applied else 0

        await self._take("dispute", dispute.id, take)

    async def _take_subscription(self, subscription: wire.Subscription) -> None:
        self._row.subscriptions += 1

        async def take(session: AsyncSession) -> int:
            news = await subscriptions.is_news(session, subscription)
            await subscriptions.take(session, subscription, at=datetime.now(UTC))
            return int(news)

        await self._take("subscription", subscription.id, take)

    async def _take(self, kind: Kind, id_: UUID, work: Work) -> None:
        """Take something over in a transaction of its own; `work` says how much that changed."""
        self._seen.add((kind, id_))
        async with self._guarded(kind, id_):
            async with self._make.begin() as session:
                change = await work(session)
                if (kind, id_) in self._left:
                    await leftovers.forget(session, kind, id_)
            if change:
                self._row.repaired += 1
                log.warning("repaired what no webhook brought", what=kind, id=str(id_), change=change)

    async def _ask_order(self, order_id: UUID) -> None:
        await self._ask("order", order_id, self._polar.order, self._take_order)

    async def _ask_subscription(self, subscription_id: UUID) -> None:
        await self._ask("subscription", subscription_id, self._polar.subscription, self._take_subscription)

    async def _ask(
        self,
        kind: Kind,
        id_: UUID,
        one: Callable[[UUID], Awaitable[Item]],
        take: Callable[[Item], Awaitable[None]],
    ) -> None:
        """Ask for one and take it over, once in a run: lists have brought most of them."""
        if (kind, id_) in self._seen:
            return
        self._seen.add((kind, id_))
        item: Item | None = None
        async with self._guarded(kind, id_):
            try:
                item = await one(id_)
            except PolarNotFoundError:
                log.warning("Polar does not know something of its own", what=kind, id=str(id_))
                async with self._make.begin() as session:
                    await leftovers.forget(session, kind, id_)
        if item is not None:
            await take(item)

    async def _end_or_repair(self, purchase_id: UUID, now: datetime) -> None:
        async with self._make() as session:
            purchase = await session.get_one(Purchase, purchase_id)
        async with self._guarded("purchase", purchase_id):
            found = await look_up(self._polar, self._make, self._settings, purchase, "reconciliation")
            if found.status == "pending" and checkouts.is_over(found, now):
                async with self._make.begin() as session:
                    self._row.ended += await checkouts.expire(session, purchase_id)
            elif found.status not in ("pending", "expired"):
                self._row.repaired += 1

    async def _end_with_period(self, subscription_id: UUID) -> None:
        """Cancel a subscription at the end of its period, unless it ends anyway."""
        await self._ask_subscription(subscription_id)
        going_on = sa.select(PolarSubscription.id).where(PolarSubscription.id == subscription_id, _of_closed_accounts())
        async with self._make() as session:
            if await session.scalar(going_on) is None:
                return
        async with self._guarded("subscription", subscription_id):
            try:
                cancelled = await self._polar.cancel(subscription_id)
            except (PolarRefusedError, PolarNotFoundError) as error:
                log.warning("Polar does not cancel", subscription_id=str(subscription_id), reason=error.message)
                return
            async with self._make.begin() as session:
                await subscriptions.take(session, cancelled, at=datetime.now(UTC))
            log.info("the subscription of a closed account was cancelled", subscription_id=str(subscription_id))

    @asynccontextmanager
    async def _guarded(self, what: Kind | Literal["purchase"], id_: UUID) -> AsyncIterator[None]:
        """What fails for one is logged, counted and left; where Polar cannot be asked, the part ends."""
        try:
            yield
        except TAKES_NO_QUESTION:
            raise
        except Exception as error:  # one item's failure, bug or not, must not keep the others from their turn
            if isinstance(error, PolarUnavailableError):
                self._unanswered += 1
                if self._unanswered > BORNE:
                    raise
            self._row.failed += 1
            tell = log.error if isinstance(error, OctaviaError) else log.exception
            tell("could not be reconciled", what=what, id=str(id_), reason=said(error))
            if what != "purchase":
                await self._leave(what, id_, said(error))

    async def _leave(self, kind: Kind, id_: UUID, reason: str) -> None:
        async with self._make.begin() as session:
            await leftovers.leave(session, kind, id_, reason)

    async def _each(
        self,
        table: type[PolarOrder] | type[Purchase] | type[PolarSubscription],
        condition: sa.ColumnElement[bool],
        work: Callable[[UUID], Awaitable[None]],
    ) -> None:
        """Do something about rows of ours, in a random sequence: those it fails for keep no others from their turn."""
        query = sa.select(table.id).where(condition).order_by(sa.func.random()).limit(AT_ONCE)
        async with self._make() as session:
            ids = (await session.scalars(query)).all()
        for id_ in ids:
            await work(id_)


async def _note(session: AsyncSession, part: str, now: datetime, why_not: str | None) -> None:
    """Note how far a part has come; runs may overlap, and the later one counts."""
    table = ReconciliationPart
    statement = insert(table).values(name=part, done_at=None if why_not else now, tried_at=now, error=why_not)
    change = {
        "done_at": sa.func.greatest(table.done_at, statement.excluded.done_at),
        "tried_at": sa.func.greatest(table.tried_at, statement.excluded.tried_at),
        "error": why_not,
    }
    await session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=change))


def _unpaid(now: datetime) -> sa.ColumnElement[bool]:
    """Orders that may still be paid."""
    open_ = PolarOrder.status.not_in(("void", "draft"))
    return sa.and_(PolarOrder.state == "pending", open_, PolarOrder.created_at > now - timedelta(days=LONG_DAYS))


def _stale(now: datetime) -> sa.ColumnElement[bool]:
    """Purchases whose checkout has ended, or whose making was never answered to us."""
    ended = sa.func.coalesce(Purchase.expires_at, Purchase.created_at + checkouts.LIFE) < now
    unanswered = Purchase.checkout_id.is_(None) & (Purchase.created_at < now - UNANSWERED)
    return sa.and_(Purchase.status == "pending", ended | unanswered)


def _overdue(now: datetime) -> sa.ColumnElement[bool]:
    """Subscriptions that should have been renewed or ended by now."""
    return sa.and_(_live(), PolarSubscription.current_period_end < now - OVERLAP)


def _of_closed_accounts() -> sa.ColumnElement[bool]:
    """Subscriptions that would be renewed though their owner's account is closed."""
    closed = sa.exists().where(User.id == PolarSubscription.user_id, User.status == "deleted")
    return sa.and_(_live(), closed, ~PolarSubscription.cancel_at_period_end)


def _live() -> sa.ColumnElement[bool]:
    return PolarSubscription.status.in_(sorted(rules.LIVE_SUBSCRIPTION))
