"""What a purchase knows of its checkout at Polar. Of two that were made by a lost answer, the first noted stays."""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.billing import wire
from orchestrator.billing.models import Purchase

LIFE = timedelta(hours=25)
"""Of a checkout that we do not know the end of, since its purchase was made; Polar's live 24 hours."""


def is_over(purchase: Purchase, now: datetime) -> bool:
    """Whether a purchase cannot be paid any more: by the end of its checkout, whether or not Polar still knows that."""
    return (purchase.expires_at or purchase.created_at + LIFE) < now


def remember(purchase: Purchase, checkout: wire.Checkout) -> None:
    """Note in which checkout a purchase is paid, until when, and for what price. The caller holds the purchase's row.

    The price is that of the first copy: by the buyer's country Polar changes the currency later.
    """
    if purchase.checkout_id is None:
        purchase.checkout_id = checkout.id
    if purchase.checkout_id != checkout.id:
        return
    purchase.expires_at = checkout.expires_at
    if purchase.checkout_amount is None:
        purchase.checkout_amount, purchase.checkout_currency = checkout.amount, checkout.currency


async def locked(session: AsyncSession, purchase_id: UUID) -> Purchase:
    """The purchase's row, locked until the transaction ends."""
    return await session.get_one(Purchase, purchase_id, with_for_update={"key_share": True}, populate_existing=True)


async def expire(session: AsyncSession, purchase_id: UUID) -> bool:
    """End a purchase that nobody paid; True where this call did it."""
    ended = await session.execute(
        sa.update(Purchase)
        .where(Purchase.id == purchase_id, Purchase.status == "pending")
        .values(status="expired")
        .returning(Purchase.id)
        .execution_options(synchronize_session=False)
    )
    return ended.first() is not None
