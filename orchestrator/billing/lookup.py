"""Asking Polar what became of a purchase, instead of waiting to be told."""

from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.billing import checkouts, orders, rules, wire
from orchestrator.billing.models import Purchase
from orchestrator.billing.orders import Applied, Source
from orchestrator.billing.polar import Polar
from orchestrator.billing.polar_errors import PolarNotFoundError
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)


async def apply_answer(session: AsyncSession, settings: Settings, order: wire.Order, source: Source) -> Applied:
    """Take over an order as Polar's API gives it: what it calls paid is paid."""
    paid = order.paid or order.status in rules.PAID_STATUSES
    return await orders.apply(session, order, source=source, paid_seen=paid, at=datetime.now(UTC), plans=settings.plans)


async def look_up(
    polar: Polar, make: async_sessionmaker[AsyncSession], settings: Settings, purchase: Purchase, source: Source
) -> Purchase:
    """Bring a purchase in line with Polar: its checkout, and that checkout's orders. The purchase as it is then.

    A checkout that Polar does not know any more ends nothing by itself: its orders are asked for all the same.
    Raises PolarError.
    """
    checkout = await checkout_of(polar, purchase)
    if checkout is not None:
        async with make.begin() as session:
            checkouts.remember(await checkouts.locked(session, purchase.id), checkout)
    checkout_id = checkout.id if checkout else purchase.checkout_id
    if checkout_id is not None:
        async for order in polar.orders(checkout_id=checkout_id):
            async with make.begin() as session:
                await apply_answer(session, settings, order, source)
    if checkout is not None and checkout.status == "expired":
        async with make.begin() as session:
            await checkouts.expire(session, purchase.id)
    async with make() as session:
        return await session.get_one(Purchase, purchase.id)


async def checkout_of(polar: Polar, purchase: Purchase) -> wire.Checkout | None:
    """The checkout of a purchase, found by our id in it where its making was never answered.

    None: there is none, or Polar does not know it any more. Raises PolarError.
    """
    if purchase.checkout_id is None:
        return await polar.find_checkout(purchase.user_id, purchase.id)
    try:
        return await polar.checkout(purchase.checkout_id)
    except PolarNotFoundError:
        log.warning("Polar does not know the checkout of a purchase", purchase_id=str(purchase.id))
        return None
