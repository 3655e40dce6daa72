"""What each of Polar's events does to our books. One handler per type; all others are kept and ignored."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.billing import orders, rules, subscriptions, wire
from orchestrator.billing.checkouts import remember
from orchestrator.billing.models import PolarEvent, Purchase
from orchestrator.errors import NotFoundError, OctaviaError
from orchestrator.settings import Settings

Outcome = Literal["handled", "parked"]
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of an event; `parked`: it is about nothing of ours, or a human has to look at it."""

    outcome: Outcome = "handled"
    reason: str | None = None


class UnreadableEventError(OctaviaError):
    """An event without the fields its type has; trying again does not help."""

    def __init__(self, type_: str, reason: str) -> None:
        super().__init__("unreadable_event", f"The event {type_} cannot be read: {reason}", 422)


class BodyGoneError(OctaviaError):
    def __init__(self, webhook_id: str) -> None:
        super().__init__("body_gone", f"The body of event {webhook_id} is not kept any more.", 410)


Handler = Callable[[AsyncSession, Settings, wire.Event], Awaitable[Handled]]


async def handle(session: AsyncSession, settings: Settings, webhook_id: str) -> Handled | None:
    """Handle a kept event and note what became of it, in the caller's transaction; None: it had been handled.

    Raises NotFoundError, UnreadableEventError, BodyGoneError.
    """
    event = await session.get(PolarEvent, webhook_id, with_for_update=True, populate_existing=True)
    if event is None:
        raise NotFoundError("event", webhook_id)
    if event.outcome not in (None, "failed"):
        return None
    if not event.body:
        raise BodyGoneError(webhook_id)
    envelope = wire.Event.model_validate_json(event.body)
    handled = await HANDLERS[event.type](session, settings, envelope)
    event.outcome, event.reason, event.handled_at = handled.outcome, handled.reason, datetime.now(UTC)
    return handled


async def note_failure(session: AsyncSession, webhook_id: str, reason: str) -> None:
    """Give an event up, until somebody has it handled again."""
    event = await session.get(PolarEvent, webhook_id, with_for_update=True, populate_existing=True)
    if event is None or event.outcome not in (None, "failed"):
        return
    event.outcome, event.reason, event.handled_at = "failed", reason, datetime.now(UTC)


async def _order(session: AsyncSession, settings: Settings, event: wire.Event) -> Handled:
    order = _read(wire.Order, event)
    paid = event.type == "order.paid" and (order.paid or order.status in rules.PAID_STATUSES)
    applied = await orders.apply(
        session, order, source="webhook", paid_seen=paid, at=event.timestamp, plans=settings.plans
    )
    return Handled("parked" if applied.state == "parked" else "handled", applied.reason)


async def _refund(session: AsyncSession, _: Settings, event: wire.Event) -> Handled:
    refund = _read(wire.Refund, event)
    order = await orders.take_refund(session, refund, at=event.timestamp)
    if order is None:
        return Handled("parked", f"we know no order {refund.order_id} yet")
    return Handled("parked" if order.state == "parked" else "handled", order.reason)


async def _checkout(session: AsyncSession, _: Settings, event: wire.Event) -> Handled:
    """Remembers the checkout of a purchase whose making was never answered, and ends one that nobody paid."""
    checkout = _read(wire.Checkout, event)
    known = await orders.known(session, checkout.metadata, checkout.id, checkout.external_customer_id)
    found = rules.resolve(checkout.metadata, checkout.id, known)
    if isinstance(found, rules.Parked):
        return Handled("parked", found.reason)
    purchase = await session.get_one(Purchase, found.id)
    remember(purchase, checkout)
    if checkout.status == "expired" and purchase.status == "pending":
        purchase.status = "expired"
    return Handled()


async def _subscription(session: AsyncSession, _: Settings, event: wire.Event) -> Handled:
    found = await subscriptions.take(session, _read(wire.Subscription, event), at=event.timestamp)
    if isinstance(found, rules.Parked):
        return Handled("parked", found.reason)
    return Handled()


class _CustomerState(wire.Customer):
    active_subscriptions: list[dict[str, object]] = Field(default_factory=list)


async def _customer_state(session: AsyncSession, _: Settings, event: wire.Event) -> Handled:
    """A snapshot of a customer: their active subscriptions, and by that which ones are not."""
    state = _read(_CustomerState, event)
    customer = {"id": state.id, "external_id": state.external_id}
    active = [
        _read_as(wire.Subscription, {"customer_id": state.id, "customer": customer, **each}, event.type)
        for each in state.active_subscriptions
    ]
    for subscription in active:
        await subscriptions.take(session, subscription, at=event.timestamp)
    await subscriptions.end_others(session, state.id, [each.id for each in active], at=event.timestamp)
    known = await orders.known(session, {}, None, state.external_id)
    return Handled() if known.customer else Handled("parked", "the customer is no user of ours")


def said(error: Exception) -> str:
    """Why something failed, in words that hold nothing personal."""
    return error.message if isinstance(error, OctaviaError) else type(error).__name__


ORDERS = ("order.created", "order.updated", "order.paid", "order.refunded")
REFUNDS = ("refund.created", "refund.updated")
CHECKOUTS = ("checkout.created", "checkout.updated", "checkout.expired")
SUBSCRIPTIONS = tuple(
    f"subscription.{what}"
    for what in (
        *("created", "updated", "active", "canceled", "uncanceled", "cycled", "revoked", "past_due", "paused"),
        "resumed",
    )
)
HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(ORDERS, _order),
    **dict.fromkeys(REFUNDS, _refund),
    **dict.fromkeys(CHECKOUTS, _checkout),
    **dict.fromkeys(SUBSCRIPTIONS, _subscription),
    "customer.state_changed": _customer_state,
}


def _read(kind: type[T], event: wire.Event) -> T:
    return _read_as(kind, event.data, event.type)


def _read_as(kind: type[T], data: object, type_: str) -> T:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5])
        raise UnreadableEventError(type_, fields) from None
