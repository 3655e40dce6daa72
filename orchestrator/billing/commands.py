"""What `octavia billing` does: the books compared with Polar's, and what only a human can decide."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from orchestrator.accounts.commands import connected, find
from orchestrator.billing import events, orders, reconciliation, refunds
from orchestrator.billing import leftovers as left
from orchestrator.billing.models import PolarEvent, PolarLeftover, PolarOrder, ReconciliationRun
from orchestrator.billing.orders import Applied
from orchestrator.billing.polar import Polar
from orchestrator.billing.refunds import Refunded
from orchestrator.billing.service import BillingOffError
from orchestrator.database import sessions
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Replayed:
    """An event that had failed, and what became of it now."""

    webhook_id: str
    type: str
    outcome: str
    reason: str | None


async def reconcile(settings: Settings, days: int) -> ReconciliationRun:
    """One reconciliation over the last days. Raises BillingOffError, UnusableDatabaseError."""
    _check_on(settings)
    async with connected(settings) as engine:
        return await reconciliation.run(engine, settings, days=days)


async def leftovers(settings: Settings) -> Sequence[PolarLeftover]:
    """What no reconciliation could read or take over so far, oldest first."""
    async with connected(settings) as engine, sessions(engine)() as session:
        return await left.listed(session)


async def parked(settings: Settings) -> Sequence[PolarOrder]:
    """The orders a human has to look at, oldest first. Those whose money went back, or never came, are none of them."""
    waiting = (PolarOrder.state == "parked", PolarOrder.status.not_in(("refunded", "void")))
    async with connected(settings) as engine, sessions(engine)() as session:
        return (await session.scalars(sa.select(PolarOrder).where(*waiting).order_by(PolarOrder.created_at))).all()


async def assign(settings: Settings, order_id: UUID, email: str) -> Applied:
    """Grant a parked order to an account. Raises NoSuchUserError and what `orders.assign` does."""
    async with connected(settings) as engine, sessions(engine).begin() as session:
        user = await find(session, email)
        return await orders.assign(session, order_id, user.id, (*settings.packages, *settings.plans))


async def settle(settings: Settings, order_id: UUID) -> None:
    """Note that a parked order needs nothing more. Raises what `orders.settle` does."""
    async with connected(settings) as engine, sessions(engine).begin() as session:
        await orders.settle(session, order_id)


async def refund(settings: Settings, order_id: UUID, amount: int | None) -> Refunded:
    """Refund an order, or `amount` of it, and take its credits back.

    Raises BillingOffError and what `refunds.refund` does.
    """
    _check_on(settings)
    async with connected(settings) as engine, Polar.from_settings(settings) as polar:
        return await refunds.refund(engine, settings, polar, order_id, amount)


async def replay(settings: Settings) -> AsyncIterator[Replayed]:
    """Handle the events that failed, each in a transaction of its own, oldest first."""
    async with connected(settings) as engine:
        make = sessions(engine)
        async with make() as session:
            query = sa.select(PolarEvent.webhook_id, PolarEvent.type).where(PolarEvent.outcome == "failed")
            failed = (await session.execute(query.order_by(PolarEvent.timestamp))).all()
        for webhook_id, type_ in failed:
            try:
                async with make.begin() as session:
                    handled = await events.handle(session, settings, webhook_id)
            except Exception as error:  # noqa: BLE001  (told to who asked, and kept; the next one has its turn)
                async with make.begin() as session:
                    await events.note_failure(session, webhook_id, events.said(error))
                yield Replayed(webhook_id, type_, "failed", events.said(error))
            else:
                outcome, reason = (handled.outcome, handled.reason) if handled else ("handled", None)
                yield Replayed(webhook_id, type_, outcome, reason)


def _check_on(settings: Settings) -> None:
    if not settings.billing:
        raise BillingOffError
