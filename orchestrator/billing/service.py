"""Buying credits, as users do it: choose an offer, pay at Polar, see what became of it.

A purchase is written down before Polar is asked for its checkout, so that none is ever paid that we do not know. Asked
again with the same key, the same checkout is given; where the answer of its making was lost, it is found at Polar by
our id in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.billing import checkouts, rules, subscriptions, wire
from orchestrator.billing.lookup import checkout_of, look_up
from orchestrator.billing.models import PolarOrder, PolarSubscription, Purchase
from orchestrator.billing.offers import Offer, Plan
from orchestrator.billing.polar import NewCheckout, Polar
from orchestrator.context import AppContext
from orchestrator.errors import OctaviaError
from orchestrator.idempotency import KeyReusedError
from orchestrator.ownership import get_own, newest_first, owned_by

T = TypeVar("T")

CHECK_EVERY = timedelta(seconds=2)
"""Of one purchase Polar is asked at most so often."""


class BillingOffError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("billing_off", "Billing is off: nothing is sold here, and jobs cost nothing.", 404)


class NoSuchOfferError(OctaviaError):
    def __init__(self, offer: str) -> None:
        super().__init__("no_such_offer", f"There is no offer '{offer}'. See GET /v1/billing/offers.", 404)


class NotForSaleError(OctaviaError):
    """An offer without a product at Polar."""

    def __init__(self, offer: str) -> None:
        super().__init__("not_for_sale", f"The offer '{offer}' cannot be bought right now. Choose another one.", 409)


class SubscribedError(OctaviaError):
    def __init__(self) -> None:
        super().__init__(
            "already_subscribed",
            "You have a subscription. Change its plan (POST /v1/billing/subscription/change) instead.",
            409,
        )


class NothingBoughtError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("nothing_bought", "There is nothing to show yet: you have not bought anything.", 409)


class NotInvoicedError(OctaviaError):
    def __init__(self, purchase: Purchase) -> None:
        super().__init__("not_invoiced", f"Purchase {purchase.id} is {purchase.status}: it has no invoice.", 409)


class NoSubscriptionError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("no_subscription", "You have no subscription.", 404)


class SamePlanError(OctaviaError):
    def __init__(self, offer: str) -> None:
        super().__init__("same_plan", f"Your subscription is '{offer}' already. Nothing was changed.", 409)


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase, whether this request made it, and where to pay."""

    purchase: Purchase
    new: bool
    checkout_url: str | None


def polar_of(context: AppContext) -> Polar:
    """Raises BillingOffError."""
    if context.polar is None:
        raise BillingOffError
    return context.polar


async def buy(context: AppContext, user: User, offer_id: str, key: str | None, client_ip: str | None) -> Bought:
    """A purchase and its checkout; with a key of before, those of before.

    Raises BillingOffError, NoSuchOfferError, NotForSaleError, KeyReusedError, SubscribedError, PolarError.
    """
    polar, settings = polar_of(context), context.settings
    offer = _offer((*settings.packages, *settings.plans), offer_id)
    async with context.sessions.begin() as session:
        purchase, new = await _purchase(session, user.id, offer, key)
    if purchase.status != "pending":
        return Bought(purchase, new, None)
    checkout = await _checkout(context, polar, user, purchase, new, client_ip)
    if checkout is None:
        return Bought(purchase, new, None)
    async with context.sessions.begin() as session:
        purchase = await checkouts.locked(session, purchase.id)
        checkouts.remember(purchase, checkout)
    if purchase.checkout_id != checkout.id:
        # Another request with this key was quicker, and its buyer may be paying already.
        checkout = await polar.checkout(_given(purchase.checkout_id))
    payable = checkout.status == "open" and checkout.expires_at > datetime.now(UTC)
    return Bought(purchase, new, checkout.url if payable else None)


async def _purchase(session: AsyncSession, user_id: UUID, offer: Offer, key: str | None) -> tuple[Purchase, bool]:
    """The purchase with that key, or a new one. The account cannot be closed meanwhile."""
    active = sa.select(User.id).where(User.id == user_id, User.status == "active").with_for_update(read=True)
    if await session.scalar(active) is None:
        raise InvalidTokenError(given=True)
    earlier = await _by_key(session, user_id, offer, key)
    if earlier is not None:
        return earlier, False
    if isinstance(offer, Plan) and await subscriptions.live(session, user_id) is not None:
        raise SubscribedError
    values = {
        **offer.model_dump(include={"credits", "valid_days", "price_cents", "currency", "product_id"}),
        "id": uuid7(),
        "user_id": user_id,
        "offer": offer.id,
        "kind": kind_of(offer),
        "idempotency_key": key,
    }
    statement = insert(Purchase).values(**values).on_conflict_do_nothing(index_elements=["user_id", "idempotency_key"])
    purchase = await session.scalar(statement.returning(Purchase))
    if purchase is not None:
        return purchase, True
    # Another request with the key committed while ours waited for it.
    return _given(await _by_key(session, user_id, offer, key)), False


async def _by_key(session: AsyncSession, user_id: UUID, offer: Offer, key: str | None) -> Purchase | None:
    if key is None:
        return None
    purchase = await session.scalar(owned_by(user_id, Purchase).where(Purchase.idempotency_key == key))
    if purchase is not None and purchase.offer != offer.id:
        raise KeyReusedError(f"purchase {purchase.id}")
    return purchase


async def _checkout(
    context: AppContext, polar: Polar, user: User, purchase: Purchase, new: bool, client_ip: str | None
) -> wire.Checkout | None:
    """The checkout of a purchase, made where none was; None: it was, and Polar does not know it any more."""
    if not new:
        known = await checkout_of(polar, purchase)
        if known is not None or purchase.checkout_id is not None:
            return known
    page = f"{context.settings.web_url.rstrip('/')}/dashboard/billing"
    return await polar.create_checkout(
        NewCheckout(
            product_id=purchase.product_id,
            user_id=user.id,
            purchase_id=purchase.id,
            email=user.email,
            client_ip=client_ip,
            success_url=f"{page}?payment_success=true&session_id={purchase.id}",
            return_url=page,
        )
    )


async def get(session: AsyncSession, user_id: UUID, purchase_id: UUID) -> Purchase:
    """The user's purchase. Raises NotFoundError, for a stranger's too."""
    return await get_own(session, user_id, Purchase, purchase_id, "purchase")


async def page(session: AsyncSession, user_id: UUID, cursor: UUID | None, limit: int) -> Sequence[Purchase]:
    """The user's purchases, newest first, from after the cursor."""
    query = newest_first(owned_by(user_id, Purchase), Purchase, cursor, limit)
    return (await session.scalars(query)).all()


async def refresh(context: AppContext, user_id: UUID, purchase_id: UUID) -> Purchase:
    """A purchase after asking Polar about it, where that was not done within the last two seconds.

    Raises NotFoundError, BillingOffError, PolarError.
    """
    polar = polar_of(context)
    async with context.sessions.begin() as session:
        purchase = await get(session, user_id, purchase_id)
        now, last = sa.func.clock_timestamp(), Purchase.last_checked_at
        ours = await session.scalar(
            sa.update(Purchase)
            .where(Purchase.id == purchase_id, last.is_(None) | (last < now - CHECK_EVERY))
            .values(last_checked_at=now)
            .returning(Purchase.id)
            .execution_options(synchronize_session=False)
        )
    if ours is None:
        return purchase
    return await look_up(polar, context.sessions, context.settings, purchase, "refresh")


async def portal(context: AppContext, user_id: UUID) -> str:
    """The address of the customer portal. Raises BillingOffError, NothingBoughtError, PolarError."""
    polar = polar_of(context)
    async with context.sessions() as session:
        bought = await session.scalar(sa.select(PolarOrder.id).where(PolarOrder.user_id == user_id).limit(1))
    if bought is None:
        raise NothingBoughtError
    return await polar.portal(user_id, f"{context.settings.web_url.rstrip('/')}/dashboard/billing")


async def invoice(context: AppContext, user_id: UUID, purchase_id: UUID) -> str | None:
    """Where the newest invoice of a purchase is; None while Polar still makes it.

    Raises NotFoundError, BillingOffError, NotInvoicedError, PolarError.
    """
    polar = polar_of(context)
    async with context.sessions() as session:
        purchase = await get(session, user_id, purchase_id)
        paid = (PolarOrder.purchase_id == purchase.id, PolarOrder.paid_seen, PolarOrder.user_id == user_id)
        newest = sa.select(PolarOrder.id).where(*paid).order_by(PolarOrder.created_at.desc()).limit(1)
        order_id = await session.scalar(newest)
    if order_id is None:
        raise NotInvoicedError(purchase)
    return await polar.invoice(order_id)


async def subscription(session: AsyncSession, user_id: UUID) -> PolarSubscription:
    """The user's subscription. Raises NotFoundError."""
    found = await subscriptions.live(session, user_id)
    if found is None:
        raise NoSubscriptionError
    return found


async def cancel(context: AppContext, user_id: UUID) -> PolarSubscription:
    """Let the subscription end with the period that is paid for. Raises as `subscription`, and PolarError."""
    async with context.sessions() as session:
        current = await subscription(session, user_id)
    return await _keep(context, await polar_of(context).cancel(current.id))


async def resume(context: AppContext, user_id: UUID) -> PolarSubscription:
    """Take a cancellation back before it takes effect. Raises as `subscription`, and PolarError."""
    async with context.sessions() as session:
        current = await subscription(session, user_id)
    return await _keep(context, await polar_of(context).resume(current.id))


async def change(context: AppContext, user_id: UUID, offer_id: str) -> PolarSubscription:
    """Move the subscription to another plan; its credits come with the next period.

    Raises as `subscription`, NoSuchOfferError, NotForSaleError, SamePlanError, PolarError.
    """
    polar, plan = polar_of(context), _offer(context.settings.plans, offer_id)
    async with context.sessions() as session:
        current = await subscription(session, user_id)
    if current.product_id == plan.product_id:
        raise SamePlanError(offer_id)
    return await _keep(context, await polar.change_plan(current.id, _given(plan.product_id)))


async def _keep(context: AppContext, answer: wire.Subscription) -> PolarSubscription:
    async with context.sessions.begin() as session:
        await subscriptions.take(session, answer, at=datetime.now(UTC))
        return await session.get_one(PolarSubscription, answer.id, populate_existing=True)


def kind_of(offer: Offer) -> rules.Kind:
    return "plan" if isinstance(offer, Plan) else "package"


def _offer(offers: Iterable[Offer], offer_id: str) -> Offer:
    offer = next((each for each in offers if each.id == offer_id), None)
    if offer is None:
        raise NoSuchOfferError(offer_id)
    if offer.product_id is None:
        raise NotForSaleError(offer_id)
    return offer


def _given(value: T | None) -> T:
    if value is None:
        raise RuntimeError("a row conflicted with one that is not there")
    return value
