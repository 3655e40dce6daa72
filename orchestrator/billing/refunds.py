"""Refunding an order at Polar, which knows no idempotency key: one request makes one refund, however often it is asked.

What is guaranteed. A request is written down before Polar is asked, and closed only by who has heard the answer. Asked
again after a lost answer or a crash, the open request is found and Polar's list of refunds is looked at: what it shows
is adopted, and only where it shows nothing, and an earlier question can no longer be under way, is Polar asked once
more. One order has one command at a time.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.billing import orders, rules, wire
from orchestrator.billing.lookup import apply_answer
from orchestrator.billing.models import RefundRequest
from orchestrator.billing.orders import Applied
from orchestrator.billing.polar import Polar
from orchestrator.billing.polar_errors import (
    PolarAnswerError,
    PolarError,
    PolarNotFoundError,
    PolarRefusedError,
    PolarUnavailableError,
)
from orchestrator.database import sessions
from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

UNDER_WAY = timedelta(minutes=1)
"""After a question without an answer: so long Polar may still be making a refund that its list does not show."""
SKEW = timedelta(minutes=1)
"""Between Polar's clock and ours."""
CAME_TO_NOTHING = frozenset({"failed", "canceled"})


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


class RefundUnderWayError(OctaviaError):
    def __init__(self, request: RefundRequest, wait: timedelta) -> None:
        super().__init__(
            "refund_under_way",
            f"A refund of {request.amount} of order {request.order_id} was asked for a moment ago, and Polar.sh may"
            f" still be making it. Ask again in {int(wait.total_seconds()) + 1} seconds.",
            409,
        )


class RefundRunningError(OctaviaError):
    def __init__(self, order_id: UUID) -> None:
        super().__init__(
            "refund_running", f"Order {order_id} is being refunded by another command. Wait until it has ended.", 409
        )


class RefundFailedError(OctaviaError):
    """Polar made the refund, and it came to nothing."""

    def __init__(self, refund: wire.Refund) -> None:
        super().__init__(
            "refund_failed",
            f"The refund {refund.id} of {refund.amount} of order {refund.order_id} is {refund.status} at Polar.sh: no"
            " money went back, and no credits were taken. Ask again to make another one.",
            409,
        )


@dataclass(frozen=True, slots=True)
class Refunded:
    """A refund at Polar, and what the order's credits changed by. `earlier`: a command of before has made it."""

    refund: wire.Refund
    applied: Applied
    earlier: bool


async def refund(engine: AsyncEngine, settings: Settings, polar: Polar, order_id: UUID, amount: int | None) -> Refunded:
    """Refund an order, or `amount` of it (None: all that is left), and take its credits back.

    Raises NothingToRefundError, TooMuchError, RefundOpenError, RefundUnderWayError, RefundRunningError,
    RefundFailedError, PolarError.
    """
    make = sessions(engine)
    async with _alone(engine, order_id):
        order = await polar.order(order_id)
        async with make.begin() as session:
            await apply_answer(session, settings, order, "refund")
        made = [each async for each in polar.refunds(order_id=order_id)]
        async with make.begin() as session:
            await orders.lock(session, order_id)
            request, earlier = await _request(session, order, amount, made)
        known = earlier or await _ask(engine, polar, request)
        order = await polar.order(order_id)
        async with make.begin() as session:
            applied = await apply_answer(session, settings, order, "refund")
            failed = known.status in CAME_TO_NOTHING
            await _change(session, request, status="refused" if failed else "done", refund_id=known.id)
    if failed:
        raise RefundFailedError(known)
    return Refunded(known, applied, earlier is not None)


@asynccontextmanager
async def _alone(engine: AsyncEngine, order_id: UUID) -> AsyncIterator[None]:
    """Of two commands about one order, the second is refused; the lock ends with its connection, or with us."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        key = sa.func.hashtextextended(f"refund:{order_id}", 0)
        if not await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))):
            raise RefundRunningError(order_id)
        try:
            yield
        finally:
            await connection.invalidate()


async def _request(
    session: AsyncSession, order: wire.Order, amount: int | None, made: Sequence[wire.Refund]
) -> tuple[RefundRequest, wire.Refund | None]:
    """The open request for a refund of this order with the refund it made, or a new one. The caller has the order."""
    open_ = (RefundRequest.order_id == order.id, RefundRequest.status == "pending")
    request = await session.scalar(sa.select(RefundRequest).where(*open_).with_for_update())
    if request is not None:
        earlier = _made_by(request, made)
        if amount in (None, request.amount):
            if earlier is None:
                _insist_on_patience(request)
                request.asked_at = datetime.now(UTC)
            return request, earlier
        if earlier is None:
            raise RefundOpenError(request)
        await _change(session, request, status="done", refund_id=earlier.id)
    pending = sum(each.amount for each in made if each.status == "pending")
    left = order.net_amount + order.applied_balance_amount - order.refunded_amount - pending
    if left <= 0:
        raise NothingToRefundError(order.id)
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise TooMuchError(order.id, left, order.currency)
    request = RefundRequest(order_id=order.id, amount=wanted, asked_at=datetime.now(UTC))
    session.add(request)
    await session.flush()
    return request, None


def _made_by(request: RefundRequest, made: Sequence[wire.Refund]) -> wire.Refund | None:
    """The refund that a request made: the one that names it.

    Else one of its amount that was made since and names no request: where Polar fell over after it had told its payment
    processor, it learns of the refund from there, without our metadata. Were it somebody else's, too little would be
    refunded, never too much.
    """
    for each in made:
        if each.id == request.refund_id or rules.as_id(each.metadata.get("request_id")) == request.id:
            return each
    nameless = (each for each in made if "request_id" not in each.metadata and each.amount == request.amount)
    return next((each for each in nameless if each.created_at > request.created_at - SKEW), None)


def _insist_on_patience(request: RefundRequest) -> None:
    over = UNDER_WAY - (datetime.now(UTC) - request.asked_at) if request.asked_at else timedelta()
    if over > timedelta():
        raise RefundUnderWayError(request, over)


async def _ask(engine: AsyncEngine, polar: Polar, request: RefundRequest) -> wire.Refund:
    """Have Polar make the refund of a request. What it refuses is closed; what surely was not done may be asked."""
    make = sessions(engine)
    try:
        return await polar.refund(
            request.order_id,
            request.amount,
            reason="customer_request",
            comment="octavia billing refund",
            request_id=request.id,
        )
    except PolarError as error:
        changes: dict[str, object] = {"asked_at": None}
        if isinstance(error, PolarRefusedError | PolarNotFoundError):
            changes = {"status": "refused"}
        if not _in_doubt(error):
            async with make.begin() as session:
                await orders.lock(session, request.order_id)
                await _change(session, request, **changes)
        raise


def _in_doubt(error: PolarError) -> bool:
    """Whether Polar may have made the refund all the same."""
    return isinstance(error, PolarAnswerError) or (isinstance(error, PolarUnavailableError) and error.uncertain)


async def _change(session: AsyncSession, request: RefundRequest, **values: object) -> None:
    """The caller has the order."""
    await session.execute(sa.update(RefundRequest).where(RefundRequest.id == request.id).values(**values))
