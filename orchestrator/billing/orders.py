"""An order's effect on its buyer's credits: what Polar says of it goes in, in any order and any number of times.

The newest copy of an order decides (by when it was changed, then by when Polar told us), and that it was once seen
paid is never forgotten. From these two and from lost disputes follows what it brought and what was taken back of it.
Locks are taken in one order everywhere: the order, its requests for refunds, its purchase, the account of the ledger.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import User
from orchestrator.billing import rules, wire
from orchestrator.billing.copies import keep_newest
from orchestrator.billing.models import PolarDispute, PolarOrder, PolarRefund, Purchase, RefundRequest
from orchestrator.billing.offers import Offer, Plan, by_product, end_of_credits
from orchestrator.credits import ledger
from orchestrator.errors import NotFoundError, OctaviaError

log = structlog.get_logger(__name__)

Source = Literal["webhook", "reconciliation", "refresh", "refund", "replay"]

FIRST = tuple(name for name, reason in rules.REASONS.items() if reason.first)
FACTS = (
    *("status", "billing_reason", "subtotal_amount", "discount_amount", "net_amount", "applied_balance_amount"),
    *("refunded_amount", "currency", "product_id", "subscription_id", "checkout_id", "invoice_number"),
    *("created_at", "changed_at"),
)
"""What is kept of an order: no name, no address, no e-mail."""
ASSIGNED = "granted by hand"
SETTLED = "settled by hand"
"""The reason of an order that a human has dealt with elsewhere: nothing more is decided about it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An order after what was heard of it, and by how many credits that changed its buyer's balance."""

    state: str
    reason: str | None
    user_id: UUID | None
    change: int = 0


class NotParkedError(OctaviaError):
    def __init__(self, order: PolarOrder) -> None:
        super().__init__("not_parked", f"Order {order.id} is {order.state}, not parked. Nothing was changed.", 409)


class NotPaidError(OctaviaError):
    def __init__(self, order_id: UUID) -> None:
        super().__init__("not_paid", f"Order {order_id} has not been paid. Nothing was changed.", 409)


class UnknownProductError(OctaviaError):
    def __init__(self, order: PolarOrder) -> None:
        super().__init__(
            "unknown_product",
            f"No package and no plan has the product {order.product_id} of order {order.id}. Set it in OCTAVIA_PACKAGES"
            " or OCTAVIA_PLANS, or use `octavia credits grant`.",
            409,
        )


class NothingSoldError(OctaviaError):
    """A parked order that is no sale of credits."""

    def __init__(self, order: PolarOrder) -> None:
        super().__init__(
            "nothing_sold",
            f"Order {order.id} ({order.billing_reason}, {order.net_amount} {order.currency}) sold no credits. Refund it"
            " (`octavia billing refund`) or give credits (`octavia credits grant`), then `octavia billing settle` it.",
            409,
        )


async def apply(
    session: AsyncSession,
    order: wire.Order,
    *,
    source: Source,
    paid_seen: bool,
    at: datetime,
    plans: Iterable[Plan],
) -> Applied:
    """Take over a copy of an order that Polar gave at `at`, and bring its buyer's credits in line with it.

    `paid_seen`: this copy says that the order was paid, and comes by an event or an answer that may say so.
    """
    row = await _locked(session, order, at)
    if (order.changed_at, at) >= (row.changed_at, row.seen_at):
        for fact in FACTS:
            setattr(row, fact, getattr(order, fact))
        row.seen_at = at
    if paid_seen and not row.paid_seen:
        row.paid_seen, row.paid_at = True, order.changed_at
    change = 0
    if row.state != "granted" and row.reason != SETTLED:
        change = await _decide(session, row, order, plans)
    change += await _correct(session, row)
    if change:
        log.info("credits of an order", order_id=str(row.id), user_id=str(row.user_id), change=change, source=source)
    return Applied(row.state, row.reason, row.user_id, change)


async def take_refund(session: AsyncSession, refund: wire.Refund, *, at: datetime) -> PolarOrder | None:
    """Keep the newest copy of a refund; the order it is of, where we know it.

    It changes no credits: what was refunded of an order, the order's own copy says. A request of ours that it names
    learns its id and stays open: only the command that made it knows that it has heard the answer.
    """
    row = await lock(session, refund.order_id)
    await _keep_newest(session, PolarRefund, refund, at, ("order_id", "status", "reason", "amount", "currency"))
    if (request_id := rules.as_id(refund.metadata.get("request_id"))) is not None:
        asked = (RefundRequest.id == request_id, RefundRequest.order_id == refund.order_id)
        await session.execute(sa.update(RefundRequest).where(*asked).values(refund_id=refund.id))
    return row


async def take_dispute(session: AsyncSession, dispute: wire.Dispute, *, at: datetime) -> Applied | None:
    """Keep the newest copy of a dispute and bring its order's credits in line; None: we do not know that order."""
    row = await lock(session, dispute.order_id)
    await _keep_newest(session, PolarDispute, dispute, at, ("order_id", "status", "amount", "currency"))
    if row is None:
        return None
    change = await _correct(session, row)
    if change:
        log.info("credits of a disputed order", order_id=str(row.id), user_id=str(row.user_id), change=change)
    return Applied(row.state, row.reason, row.user_id, change)


async def assign(session: AsyncSession, order_id: UUID, user_id: UUID, offers: Iterable[Offer]) -> Applied:
    """Grant a parked order's credits to this user: a human has decided whose it is.

    Raises NotFoundError, NotParkedError, NotPaidError, NothingSoldError, UnknownProductError.
    """
    row = await _parked(session, order_id)
    if not rules.may_be_assigned(row.billing_reason, row.net_amount):
        raise NothingSoldError(row)
    offer = by_product(offers, row.product_id)
    if offer is None:
        raise UnknownProductError(row)
    purchase = await _purchase(session, Purchase.id == row.purchase_id)
    if purchase is not None and (
        purchase.user_id != user_id or await _first_order(session, row.id, purchase.id) is not None
    ):
        purchase = None
    row.purchase_id = purchase.id if purchase else None
    change = await _grant(session, row, user_id, offer.credits, offer.valid_days, note=ASSIGNED)
    row.reason = ASSIGNED
    change += await _correct(session, row)
    log.info("a parked order was assigned", order_id=str(row.id), user_id=str(user_id), change=change)
    return Applied(row.state, row.reason, row.user_id, change)


async def settle(session: AsyncSession, order_id: UUID) -> Applied:
    """A parked order needs nothing more: it brings no credits. Raises NotFoundError, NotParkedError, NotPaidError."""
    row = await _parked(session, order_id)
    row.state, row.reason = "nothing", SETTLED
    await _correct(session, row)
    log.info("a parked order was settled", order_id=str(row.id))
    return Applied(row.state, row.reason, row.user_id)


async def _parked(session: AsyncSession, order_id: UUID) -> PolarOrder:
    row = await lock(session, order_id)
    if row is None:
        raise NotFoundError("order", order_id)
    if row.state != "parked":
        raise NotParkedError(row)
    if not row.paid_seen:
        raise NotPaidError(order_id)
    return row


async def known(
    session: AsyncSession, metadata: dict[str, Any], checkout_id: UUID | None, external_id: str | None
) -> rules.Known:
    """What we know of the names that something at Polar goes by. Locks the purchases among them."""
    purchase_id, customer = rules.as_id(metadata.get("purchase_id")), rules.as_id(external_id)
    named = await _purchase(session, Purchase.id == purchase_id) if purchase_id else None
    paid = await _purchase(session, Purchase.checkout_id == checkout_id) if checkout_id else None
    if customer is not None:
        customer = await session.scalar(sa.select(User.id).where(User.id == customer))
    return rules.Known(_bought(named), _bought(paid), customer)


async def _locked(session: AsyncSession, order: wire.Order, at: datetime) -> PolarOrder:
    """The order's row, locked, and made from this copy where there is none."""
    if (row := await lock(session, order.id)) is not None:
        return row
    facts = {fact: getattr(order, fact) for fact in FACTS}
    await session.execute(insert(PolarOrder).values(id=order.id, seen_at=at, **facts))
    return await session.get_one(PolarOrder, order.id, with_for_update=True)


async def lock(session: AsyncSession, order_id: UUID) -> PolarOrder | None:
    """Until the transaction ends, whatever concerns this order waits. Its row; None where there is none yet.

    The first lock of every transaction about an order, its refunds, disputes and requests for refunds. It holds before
    there is a row, too: a dispute may come first.
    """
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"order:{order_id}", 0))))
    return await session.get(PolarOrder, order_id, with_for_update=True, populate_existing=True)


async def _keep_newest(
    session: AsyncSession,
    table: type[PolarRefund] | type[PolarDispute],
    copy: wire.Refund | wire.Dispute,
    at: datetime,
    facts: tuple[str, ...],
) -> None:
    values = {fact: getattr(copy, fact) for fact in (*facts, "created_at", "changed_at")} | {"seen_at": at}
    await keep_newest(session, table, copy.id, values)


async def _decide(session: AsyncSession, row: PolarOrder, order: wire.Order, plans: Iterable[Plan]) -> int:
    """Find out whose the order is and what it brings, and grant that once it is paid."""
    newest = {fact: getattr(row, fact) for fact in FACTS if fact in wire.Order.model_fields}
    order = order.model_copy(update=newest)
    external_id = order.customer.external_id if order.customer else None
    found = await known(session, order.metadata, order.checkout_id, external_id)
    bought = found.by_metadata or found.by_checkout
    first = await _first_order(session, row.id, bought.id) if bought else None
    decision = rules.decide(
        order, rules.Known(found.by_metadata, found.by_checkout, found.customer, first), tuple(plans)
    )
    bought = decision.bought
    row.purchase_id, row.user_id = (bought.id, bought.user_id) if bought else (None, None)
    row.reason = None if isinstance(decision, rules.Grant) else decision.reason
    if isinstance(decision, rules.Parked):
        row.state = "parked"
        log.warning("an order is parked", order_id=str(row.id), reason=decision.reason, paid=row.paid_seen)
        await _note_parked(session, row)
        return 0
    await _adopt(session, decision.bought, order.checkout_id)
    if not row.paid_seen:
        row.state = "pending"
        return 0
    if isinstance(decision, rules.Nothing):
        row.state = "nothing"
        return 0
    return await _grant(session, row, decision.bought.user_id, decision.credits, decision.valid_days)


async def _grant(
    session: AsyncSession, row: PolarOrder, user_id: UUID, credits: int, valid_days: int | None, note: str | None = None
) -> int:
    paid_at = row.paid_at or row.changed_at
    expires_at = end_of_credits(valid_days, paid_at=paid_at, granted_at=datetime.now(UTC))
    await ledger.grant(
        session,
        user_id,
        credits,
        key=_key(row),
        reference=_key(row),
        kind="purchase",
        expires_at=expires_at,
        note=note,
    )
    row.state, row.user_id, row.granted = "granted", user_id, credits
    return credits


async def _correct(session: AsyncSession, row: PolarOrder) -> int:
    """Take back what refunds and lost disputes forfeit, or give back what they no longer do."""
    lost = await session.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(PolarDispute.amount), 0)).where(
            PolarDispute.order_id == row.id, PolarDispute.status == rules.LOST
        )
    )
    back = {
        "refunded": row.refunded_amount,
        "lost": int(lost or 0),
        "charged": row.net_amount + row.applied_balance_amount,
    }
    change = 0
    target = rules.to_take_back(row.granted, **back)
    if row.user_id is not None and target != row.taken_back:
        change = row.taken_back - target
        row.corrections += 1
        key = f"{_key(row)}:refund:{row.corrections}"
        move = ledger.take_back if change < 0 else ledger.give_back
        await move(session, row.user_id, abs(change), key=key, reference=_key(row), grant_key=_key(row))
        row.taken_back = target
    await _note_paid(session, row, rules.purchase_status(**back))
    await session.flush()
    return change


async def _note_paid(session: AsyncSession, row: PolarOrder, status: str) -> None:
    if row.purchase_id is None or row.billing_reason not in FIRST or row.state not in ("granted", "nothing"):
        return
    await session.execute(
        sa.update(Purchase)
        .where(Purchase.id == row.purchase_id)
        .values(status=status, paid_at=sa.func.coalesce(Purchase.paid_at, row.paid_at))
    )


async def _note_parked(session: AsyncSession, row: PolarOrder) -> None:
    """A purchase whose own order waits for a human says so; one that has its credits stays as it is."""
    if row.purchase_id is not None and row.billing_reason in FIRST and row.paid_seen:
        await session.execute(
            sa.update(Purchase)
            .where(Purchase.id == row.purchase_id, Purchase.status.in_(("pending", "expired")))
            .values(status="parked")
        )


async def _adopt(session: AsyncSession, bought: rules.Bought, checkout_id: UUID | None) -> None:
    """Remember the checkout of a purchase whose making was never answered to us."""
    if bought.checkout_id is None and checkout_id is not None:
        await session.execute(
            sa.update(Purchase)
            .where(Purchase.id == bought.id, Purchase.checkout_id.is_(None))
            .values(checkout_id=checkout_id)
        )


async def _purchase(session: AsyncSession, condition: sa.ColumnElement[bool]) -> Purchase | None:
    query = sa.select(Purchase).where(condition).with_for_update(key_share=True)
    return await session.scalar(query.execution_options(populate_existing=True))


async def _first_order(session: AsyncSession, order_id: UUID, purchase_id: UUID) -> UUID | None:
    """Another order that brought this purchase's credits."""
    return await session.scalar(
        sa.select(PolarOrder.id).where(
            PolarOrder.purchase_id == purchase_id,
            PolarOrder.state == "granted",
            PolarOrder.billing_reason.in_(FIRST),
            PolarOrder.id != order_id,
        )
    )


def _bought(purchase: Purchase | None) -> rules.Bought | None:
    if purchase is None:
        return None
    return rules.Bought(
        id=purchase.id,
        user_id=purchase.user_id,
        kind=purchase.kind,
        product_id=purchase.product_id,
        credits=purchase.credits,
        valid_days=purchase.valid_days,
        checkout_id=purchase.checkout_id,
        checkout_amount=purchase.checkout_amount,
        checkout_currency=purchase.checkout_currency,
    )


def _key(row: PolarOrder) -> str:
    return f"order:{row.id}"
