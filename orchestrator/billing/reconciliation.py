"""Polar's books against ours: what no webhook brought is repaired, what nobody paid is ended.

What is guaranteed. Whatever Polar's API says of an order, its refunds and its disputes is what our books say after a
run that looked back so far, though not one webhook had come. Each order is a transaction of its own, and one that
fails keeps no other from its turn. Runs may overlap.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.billing import orders, rules, subscriptions, wire
from orchestrator.billing.checkouts import expire
from orchestrator.billing.events import said
from orchestrator.billing.lookup import apply_answer, look_up
from orchestrator.billing.models import PolarOrder, PolarSubscription, Purchase, ReconciliationRun
from orchestrator.billing.polar import Polar
from orchestrator.billing.polar_errors import (
    PolarError,
    PolarNotFoundError,
    PolarRateLimitedError,
    PolarUnauthorizedError,
    PolarUnavailableError,
)
from orchestrator.database import sessions
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

QUICK_DAYS = 2
LONG_DAYS = 60
"""Disputes and refunds come weeks after the payment; a failed renewal is tried for three weeks."""
OVERLAP = timedelta(hours=1)
"""Looked back beyond the last good run, should the clocks differ or an order appear late."""
UNANSWERED = timedelta(minutes=10)
"""A purchase without a checkout: its making is over by then."""
ABANDONED = timedelta(hours=25)
"""Polar's checkouts live 24 hours."""
AT_ONCE = 200
"""Purchases, orders and subscriptions of ours that one run asks Polar about one by one."""

CANNOT_ASK = (PolarUnavailableError, PolarUnauthorizedError, PolarRateLimitedError)

Make = async_sessionmaker[AsyncSession]
Work = Callable[[AsyncSession], Awaitable[int]]


async def run(engine: AsyncEngine, settings: Settings, *, days: int) -> ReconciliationRun:
    """One run over the last `days`, or over all since the last good run where that is longer ago.

    Its row says what it did, and why it was broken off where Polar could not be asked. Raises what the database says.
    """
    make = sessions(engine)
    now = datetime.now(UTC)
    async with make.begin() as session:
        since = min(now - timedelta(days=days), await _watermark(session, now))
        row = ReconciliationRun(since=since)
        session.add(row)
    try:
        async with Polar.from_settings(settings) as polar:
            await Reconciliation(polar, make, settings, row).run(now)
    except PolarError as error:
        row.error = error.message
        log.warning("the reconciliation was broken off", reason=error.message)
    row.finished_at = datetime.now(UTC)
    async with make.begin() as session:
        await session.merge(row)
    log.info("reconciled", since=since.isoformat(), orders=row.orders, repaired=row.repaired, failed=row.failed)
    return row


async def _watermark(session: AsyncSession, now: datetime) -> datetime:
    query = sa.select(sa.func.max(ReconciliationRun.started_at)).where(
        ReconciliationRun.finished_at.is_not(None), ReconciliationRun.error.is_(None), ReconciliationRun.failed == 0
    )
    last = await session.scalar(query)
    return now if last is None else max(last - OVERLAP, now - timedelta(days=LONG_DAYS))


class Reconciliation:
    """One run; `row` counts what it does."""

    def __init__(self, polar: Polar, make: Make, settings: Settings, row: ReconciliationRun) -> None:
        self._polar, self._make, self._settings, self._row = polar, make, settings, row
        self._done: set[UUID] = set()

    async def run(self, now: datetime) -> None:
        """Raises PolarError where Polar cannot be asked."""
        async for order in self._polar.orders(since=self._row.since):
            await self._apply(order)
        async for refund in self._polar.refunds(since=self._row.since):
            self._row.refunds += 1
            await self._take_refund(refund)
        async for dispute in self._polar.disputes(since=self._row.since):
            self._row.disputes += 1
            await self._take_dispute(dispute)
        for order_id in await self._ids(PolarOrder, _unpaid(now)):
            await self._ask_order(order_id)
        for purchase_id in await self._ids(Purchase, _stale(now)):
            await self._end_or_repair(purchase_id, now)
        for subscription_id in await self._ids(PolarSubscription, _overdue(now)):
            await self._ask_subscription(subscription_id)

    async def _apply(self, order: wire.Order) -> None:
        self._row.orders += 1
        self._done.add(order.id)

        async def apply(session: AsyncSession) -> int:
            applied = await apply_answer(session, self._settings, order, "reconciliation")
            return applied.change

        await self._one("order", order.id, apply)

    async def _take_refund(self, refund: wire.Refund) -> None:
        async def take(session: AsyncSession) -> int:
            await orders.take_refund(session, refund, at=datetime.now(UTC))
            return 0

        await self._one("refund", refund.id, take)
        await self._ask_order(refund.order_id)

    async def _take_dispute(self, dispute: wire.Dispute) -> None:
        await self._ask_order(dispute.order_id)

        async def take(session: AsyncSession) -> int:
            applied = await orders.take_dispute(session, dispute, at=datetime.now(UTC))
            return applied.change if applied else 0

        await self._one("dispute", dispute.id, take)

    async def _ask_order(self, order_id: UUID) -> None:
        """Once in a run; the list of orders has brought most of them."""
        if order_id in self._done:
            return
        try:
            await self._apply(await self._polar.order(order_id))
        except PolarNotFoundError:
            self._done.add(order_id)
            log.warning("Polar does not know an order of its own", order_id=str(order_id))

    async def _end_or_repair(self, purchase_id: UUID, now: datetime) -> None:
        async with self._make() as session:
            purchase = await session.get_one(Purchase, purchase_id)
        async with self._guarded("purchase", purchase_id):
            found = await look_up(self._polar, self._make, self._settings, purchase, "reconciliation")
            if found.status == "pending" and (found.expires_at or found.created_at + ABANDONED) < now:
                async with self._make.begin() as session:
                    self._row.ended += await expire(session, purchase_id)
            elif found.status not in ("pending", "expired"):
                self._row.repaired += 1

    async def _ask_subscription(self, subscription_id: UUID) -> None:
        async with self._guarded("subscription", subscription_id):
            try:
                subscription = await self._polar.subscription(subscription_id)
            except PolarNotFoundError:
                log.warning("Polar does not know a subscription of its own", subscription_id=str(subscription_id))
                return
            async with self._make.begin() as session:
                await subscriptions.take(session, subscription, at=datetime.now(UTC))
                row = await session.get_one(PolarSubscription, subscription_id)
                closed = row.user_id and (await session.get_one(User, row.user_id)).status == "deleted"
            if closed and subscription.status in rules.LIVE_SUBSCRIPTION and not subscription.cancel_at_period_end:
                await self._polar.cancel(subscription_id)
                log.info("the subscription of a closed account was cancelled", subscription_id=str(subscription_id))

    async def _one(self, what: str, id_: UUID, work: Work) -> None:
        async with self._guarded(what, id_):
            async with self._make.begin() as session:
                change = await work(session)
            if change:
                self._row.repaired += 1
                log.warning("repaired what no webhook brought", what=what, id=str(id_), change=change)

    @asynccontextmanager
    async def _guarded(self, what: str, id_: UUID) -> AsyncIterator[None]:
        """What fails for one is logged and counted; where Polar cannot be asked, the run ends."""
        try:
            yield
        except CANNOT_ASK:
            raise
        except Exception as error:  # one order's failure, bug or not, must not keep the others from their turn
            self._row.failed += 1
            log.exception("could not be reconciled", what=what, id=str(id_), reason=said(error))

    async def _ids(
        self, table: type[PolarOrder] | type[Purchase] | type[PolarSubscription], condition: sa.ColumnElement[bool]
    ) -> list[UUID]:
        query = sa.select(table.id).where(condition).order_by(table.created_at.desc()).limit(AT_ONCE)
        async with self._make() as session:
            return list((await session.scalars(query)).all())


def _unpaid(now: datetime) -> sa.ColumnElement[bool]:
    """Orders that may still be paid."""
    open_ = PolarOrder.status.not_in(("void", "draft"))
    return sa.and_(PolarOrder.state == "pending", open_, PolarOrder.created_at > now - timedelta(days=LONG_DAYS))


def _stale(now: datetime) -> sa.ColumnElement[bool]:
    """Purchases whose checkout has ended, or whose making was never answered to us."""
    ended = Purchase.checkout_id.is_not(None) & (Purchase.expires_at < now)
    unanswered = Purchase.checkout_id.is_(None) & (Purchase.created_at < now - UNANSWERED)
    return sa.and_(Purchase.status == "pending", ended | unanswered)


def _overdue(now: datetime) -> sa.ColumnElement[bool]:
    """Subscriptions that should have been renewed or ended by now, and those of closed accounts."""
    closed = sa.exists().where(User.id == PolarSubscription.user_id, User.status == "deleted")
    late = PolarSubscription.current_period_end < now - OVERLAP
    going_on = closed & ~PolarSubscription.cancel_at_period_end
    return sa.and_(PolarSubscription.status.in_(sorted(rules.LIVE_SUBSCRIPTION)), late | going_on)
