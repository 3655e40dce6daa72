"""Our copy of users' subscriptions, for showing and for selling no second one. No credits depend on it."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.billing import orders, rules, wire
from orchestrator.billing.copies import keep_newest
from orchestrator.billing.models import PolarSubscription

FACTS = (
    *("customer_id", "product_id", "status", "current_period_start", "current_period_end", "cancel_at_period_end"),
    *("ends_at", "ended_at", "created_at", "changed_at"),
)
LISTED = ("active", "trialing")
"""Statuses that surely are in Polar's snapshot of a customer's active subscriptions."""


async def take(session: AsyncSession, subscription: wire.Subscription, *, at: datetime) -> rules.Bought | rules.Parked:
    """Keep the newest copy of a subscription; the purchase it came from, or why we do not know whose it is."""
    external_id = subscription.customer.external_id if subscription.customer else None
    known = await orders.known(session, subscription.metadata, subscription.checkout_id, external_id)
    found = rules.resolve(subscription.metadata, subscription.checkout_id, known)
    values = {fact: getattr(subscription, fact) for fact in FACTS} | {"seen_at": at}
    if isinstance(found, rules.Bought):
        values |= {"user_id": found.user_id, "purchase_id": found.id}
    await keep_newest(session, PolarSubscription, subscription.id, values)
    return found


async def is_news(session: AsyncSession, subscription: wire.Subscription) -> bool:
    """Whether we have no copy of a subscription, or an older one."""
    ours = await session.scalar(sa.select(PolarSubscription.changed_at).where(PolarSubscription.id == subscription.id))
    return ours is None or ours < subscription.changed_at


async def end_others(session: AsyncSession, customer_id: UUID, active: Iterable[UUID], *, at: datetime) -> int:
    """Of a customer's subscriptions only these were active at that time: end the others. Returns how many."""
    table = PolarSubscription
    ended = await session.execute(
        sa.update(table)
        .where(
            table.customer_id == customer_id,
            table.id.not_in(tuple(active)),
            table.status.in_(LISTED),
            table.seen_at < at,
        )
        .values(status="canceled", ended_at=sa.func.coalesce(table.ended_at, at), seen_at=at)
        .returning(table.id)
        .execution_options(synchronize_session=False)
    )
    return len(ended.all())


async def live(session: AsyncSession, user_id: UUID) -> PolarSubscription | None:
    """The user's subscription that has not ended; the newest, should there be several."""
    table = PolarSubscription
    query = sa.select(table).where(table.user_id == user_id, table.status.in_(sorted(rules.LIVE_SUBSCRIPTION)))
    return await session.scalar(query.order_by(table.created_at.desc()).limit(1))
