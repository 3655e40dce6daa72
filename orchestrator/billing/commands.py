"""What `octavia billing` does: the books compared with Polar's, and what only a human can decide."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.accounts.commands import connected, find
from orchestrator.billing import events, orders, reconciliation
from orchestrator.billing import leftovers as left
from orchestrator.billing.lookup import apply_answer
from orchestrator.billing.models import PolarEvent, PolarLeftover, PolarOrder, ReconciliationRun, RefundRequest
from orchestrator.billing.orders import Applied
from orchestrator.billing.polar import Polar
from orchestrator.billing.polar_errors import PolarNotFoundError, PolarRefusedError
from orchestrator.billing.service import BillingOffError
from orchestrator.database import sessions
from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings


class NothingToRefundError(OctaviaError):
    def __init__(self, order_id: UUID) -> None:
        super().__init__("nothing_to_refund", f"Nothing is left to refund of order {order_id}.", 409)


class TooMuchError(OctaviaError):
    def __init__(self, order_id: UUID, left: int, currency: str) -> None:
        super().__init__(
            "refund_too_large",
            f"Of order {order_id} at most {left} can be refunded (cents of {currency}, without tax).",
            422,
        )


class RefundOpenError(OctaviaError):
    """A refund of another amount was asked for, and its answer is not known."""

    def __init__(self, request: RefundRequest) -> None:
        super().__init__(
            "refund_open",
            f"A refund of {request.amount} of order {request.order_id} was asked for, and how that ended is not known."
            f" Give --amount {request.amount} to ask for the same again, which refunds once.",
            409,
        )


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
    """The orders a human has to look at, oldest first."""
    async with connected(settings) as engine, sessions(engine)() as session:
        query = sa.select(PolarOrder).where(PolarOrder.state == "parked").order_by(PolarOrder.created_at)
        return (await session.scalars(query)).all()


async def assign(settings: Settings, order_id: UUID, email: str) -> Applied:
    """Grant a parked order to an account. Raises NoSuchUserError and what `orders.assign` does."""
    async with connected(settings) as engine, sessions(engine).begin() as session:
        user = await find(session, email)
        return await orders.assign(session, order_id, user.id, (*settings.packages, *settings.plans))


async def refund(settings: Settings, order_id: UUID, amount: int | None) -> tuple[RefundRequest, Applied]:
    """Refund an order, or `amount` of it, and take its credits back. Asked again after a lost answer it refunds once.

    Raises BillingOffError, NothingToRefundError, TooMuchError, RefundOpenError, PolarError.
    """
    _check_on(settings)
    async with connected(settings) as engine, Polar.from_settings(settings) as polar:
        make = sessions(engine)
        order = await polar.order(order_id)
        async with make.begin() as session:
            await apply_answer(session, settings, order, "refund")
        async with make.begin() as session:
            left = order.net_amount + order.applied_balance_amount - order.refunded_amount
            request = await _request(session, order_id, amount, left, order.currency)
        try:
            made = await polar.refund(
                order_id,
                request.amount,
                reason="customer_request",
                comment="octavia billing refund",
                request_id=request.id,
            )
        except (PolarRefusedError, PolarNotFoundError):
            async with make.begin() as session:
                await session.execute(
                    sa.update(RefundRequest).where(RefundRequest.id == request.id).values(status="refused")
                )
            raise
        order = await polar.order(order_id)
        async with make.begin() as session:
            await session.execute(
                sa.update(RefundRequest).where(RefundRequest.id == request.id).values(status="done", refund_id=made.id)
            )
            return request, await apply_answer(session, settings, order, "refund")


async def _request(
    session: AsyncSession, order_id: UUID, amount: int | None, left: int, currency: str
) -> RefundRequest:
    """The open request for a refund of this order, or a new one."""
    open_ = (RefundRequest.order_id == order_id, RefundRequest.status == "pending")
    earlier = await session.scalar(sa.select(RefundRequest).where(*open_))
    if earlier is None:
        wanted = left if amount is None else amount
        if left <= 0:
            raise NothingToRefundError(order_id)
        if not 0 < wanted <= left:
            raise TooMuchError(order_id, left, currency)
        statement = insert(RefundRequest).values(id=uuid7(), order_id=order_id, amount=wanted)
        await session.execute(statement.on_conflict_do_nothing())
        earlier = (await session.scalars(sa.select(RefundRequest).where(*open_))).one()
    if amount not in (None, earlier.amount):
        raise RefundOpenError(earlier)
    return earlier


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
