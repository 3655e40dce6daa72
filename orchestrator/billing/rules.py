"""The rules of money: whose an order is, what it brings, what a refund takes back. Pure.

They look at one copy of an order and at what we know, never at the order in which we heard of it, so that any sequence
and repetition of events comes to the same end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from orchestrator.billing.offers import Plan, by_product
from orchestrator.billing.wire import Order

Kind = Literal["package", "plan"]
Brings = Literal["what was bought", "the plan", "nothing", "a human decides"]
Money = Literal["charged", "discounted", "free", "prorated", "from balance", "owed"]

PAID_STATUSES = frozenset({"paid", "refunded", "partially_refunded"})
LIVE_SUBSCRIPTION = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})
"""While one is in such a state, a second is not sold."""
LOST = "lost"
"""The status of a dispute whose money is gone."""

MONEY: Mapping[Money, str] = {
    "charged": "{net} {currency} was charged for it",
    "discounted": "a discount covered it whole",
    "free": "nothing was charged for it ({net} {currency})",
    "prorated": "a change of plan in the middle of a period is in its price ({net} {currency})",
    "from balance": "{balance} {currency} were paid from the customer's balance at Polar, and where that is from we do"
    " not know",
    "owed": "its amount is negative ({net} {currency}): Polar made it balance of the customer",
}
"""How an order is paid, in words; of several the last that applies."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What a paid order with this billing reason is. `kind` is that of the purchase it must belong to."""

    kind: Kind
    brings: Mapping[Money, Brings]
    """By how it is paid; `a human decides` where it is not here."""
    first: bool = False
    """It is the order of the checkout itself: product and price must be those of the purchase, and it comes once."""


REASONS: Mapping[str, Reason] = {
    "purchase": Reason(
        "package",
        {"charged": "what was bought", "discounted": "what was bought", "free": "nothing"},
        first=True,
    ),
    # Free is a trial.
    "subscription_create": Reason(
        "plan",
        {"charged": "what was bought", "discounted": "what was bought", "free": "nothing"},
        first=True,
    ),
    # Paid from balance it may be paid with credits spent before: who changes to a cheaper plan in the middle of a
    # period gets money for its rest, as balance, and keeps that period's credits. Prorated likewise.
    "subscription_cycle": Reason("plan", {"charged": "the plan", "discounted": "the plan", "free": "nothing"}),
    # A change of plan at once: for what it charges no credits are sold. Ours begin with the next period, without one.
    "subscription_update": Reason("plan", {"discounted": "nothing", "free": "nothing"}),
    # Usage by meters, of which we sell nothing.
    "subscription_meter_cycle": Reason("plan", {"discounted": "nothing", "free": "nothing"}),
}


@dataclass(frozen=True, slots=True)
class Bought:
    """What a purchase recorded when it was made, as far as the rules look at it."""

    id: UUID
    user_id: UUID
    kind: str
    product_id: UUID
    credits: int
    valid_days: int | None
    checkout_id: UUID | None
    checkout_amount: int | None
    checkout_currency: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What we know of the names that something at Polar goes by."""

    by_metadata: Bought | None
    """The purchase that its metadata name, where there is one."""
    by_checkout: Bought | None
    """The purchase of its checkout."""
    customer: UUID | None
    """The user of ours whose id the customer's external id is."""
    first_order: UUID | None = None
    """The order that brought the purchase's credits before."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A human has to look at it: nothing is granted."""

    reason: str
    bought: Bought | None = None
    """The purchase that it surely belongs to."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """An order that brings no credits."""

    reason: str
    bought: Bought


@dataclass(frozen=True, slots=True)
class Grant:
    """The credits of an order once it is paid."""

    credits: int
    valid_days: int | None
    bought: Bought


Decision = Parked | Nothing | Grant


def resolve(metadata: Mapping[str, Any], checkout_id: UUID | None, known: Known) -> Bought | Parked:
    """The purchase something at Polar belongs to. Every name it goes by must agree, else it is parked."""
    bought = known.by_metadata or known.by_checkout
    if bought is None:
        whose = f"; the customer is our user {known.customer}" if known.customer else ""
        return Parked(f"it belongs to no purchase of ours{whose}")
    disagreement = _disagreement(metadata, checkout_id, known, bought)
    return Parked(disagreement) if disagreement else bought


def _disagreement(metadata: Mapping[str, Any], checkout_id: UUID | None, known: Known, bought: Bought) -> str | None:
    if "purchase_id" in metadata and known.by_metadata is None:
        return f"its metadata name an unknown purchase, its checkout is that of purchase {bought.id}"
    if known.by_checkout is not None and known.by_checkout.id != bought.id:
        return f"its metadata name purchase {bought.id}, its checkout is that of purchase {known.by_checkout.id}"
    if checkout_id is not None and bought.checkout_id not in (None, checkout_id):
        return f"its checkout {checkout_id} is not that of purchase {bought.id}"
    if "user_id" in metadata and as_id(metadata["user_id"]) != bought.user_id:
        return f"its metadata name another user than the {bought.user_id} of purchase {bought.id}"
    if known.customer is not None and known.customer != bought.user_id:
        return f"its customer is our user {known.customer}, purchase {bought.id} is of user {bought.user_id}"
    return None


def decide(order: Order, known: Known, plans: Iterable[Plan]) -> Decision:
    """What an order brings once it is paid."""
    bought = resolve(order.metadata, order.checkout_id, known)
    if isinstance(bought, Parked):
        return bought
    reason = REASONS.get(order.billing_reason)
    if reason is None:
        return Parked(f"its billing reason {order.billing_reason[:50]!r} is unknown", bought)
    if reason.kind != bought.kind:
        return Parked(f"{order.billing_reason} is not how a {bought.kind} (purchase {bought.id}) is paid", bought)
    if reason.first and (wrong := _not_what_was_bought(order, known, bought)):
        return Parked(wrong, bought)
    return _brought(order, reason, bought, plans)


def _brought(order: Order, reason: Reason, bought: Bought, plans: Iterable[Plan]) -> Decision:
    paid = how_paid(order)
    said = MONEY[paid].format(net=order.net_amount, balance=-order.applied_balance_amount, currency=order.currency)
    match reason.brings.get(paid, "a human decides"):
        case "a human decides":
            return Parked(f"{order.billing_reason}: {said}", bought)
        case "nothing":
            return Nothing(f"{order.billing_reason}: {said}", bought)
        case "the plan":
            return _plan(order, bought, plans)
        case "what was bought":
            return _whole(order, bought)


def how_paid(order: Order) -> Money:
    """What is said first here is the more doubtful.

    Prorations are told by the order's items: their prices are compared with none of ours, for Polar has its own by the
    buyer's country.
    """
    if order.net_amount < 0 or order.total_amount < 0:
        return "owed"
    if order.applied_balance_amount < 0:
        return "from balance"
    if any(item.proration for item in order.items):
        return "prorated"
    if order.net_amount > 0:
        return "charged"
    return "discounted" if order.discount_amount >= order.subtotal_amount > 0 else "free"


def _plan(order: Order, bought: Bought, plans: Iterable[Plan]) -> Decision:
    plan = by_product(plans, order.product_id)
    if plan is None:
        return Parked(f"no plan of ours has its product {order.product_id}", bought)
    return Grant(plan.credits, plan.valid_days, bought)


def _whole(order: Order, bought: Bought) -> Decision:
    if _other_price(order, bought):
        said = f"{order.subtotal_amount} {order.currency} instead of {bought.checkout_amount}"
        return Parked(f"its amount is {said}", bought)
    return Grant(bought.credits, bought.valid_days, bought)


def _not_what_was_bought(order: Order, known: Known, bought: Bought) -> str | None:
    if order.product_id != bought.product_id:
        return f"its product {order.product_id} is not the {bought.product_id} that was bought"
    if known.first_order is not None and known.first_order != order.id:
        return f"order {known.first_order} has brought the credits of purchase {bought.id} already"
    return None


def _other_price(order: Order, bought: Bought) -> bool:
    """In another currency than the checkout's Polar has its own price: there the product decides."""
    return (
        bought.checkout_amount is not None
        and order.currency == bought.checkout_currency
        and order.subtotal_amount != bought.checkout_amount
    )


def may_be_assigned(billing_reason: str, net_amount: int) -> bool:
    """Whether an order sold credits, so that a human can say whose they are."""
    reason = REASONS.get(billing_reason)
    return net_amount >= 0 and (reason is None or "charged" in reason.brings)


def to_take_back(granted: int, *, refunded: int, lost: int, charged: int) -> int:
    """How many of the credits granted are forfeited, half a credit up.

    `refunded` and `lost` (disputes) are what was paid back of `charged`, which is the order's net amount and applied
    balance; all without tax. Where nothing was charged, anything paid back forfeits all.
    """
    back = refunded + lost
    if back <= 0:
        return 0
    if back >= charged:
        return granted
    return min(granted, (2 * granted * back + charged) // (2 * charged))


def purchase_status(*, refunded: int, lost: int, charged: int) -> str:
    """The status of a purchase whose order was paid."""
    back = refunded + lost
    if back <= 0:
        return "paid"
    return "refunded" if back >= charged else "partially_refunded"


def as_id(value: object) -> UUID | None:
    """The id that somebody else's text is, or None."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
