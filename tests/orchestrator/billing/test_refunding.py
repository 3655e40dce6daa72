"""`octavia billing refund`: one request makes one refund, whatever is lost, killed, repeated or told meanwhile."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.billing import commands, orders, refunds, wire
from orchestrator.billing.events import HANDLERS
from orchestrator.billing.models import PolarEvent, RefundRequest
from orchestrator.billing.polar import NewCheckout, Polar
from orchestrator.billing.polar_errors import PolarError, PolarRefusedError, PolarUnavailableError
from orchestrator.billing.refunds import (
    NothingToRefundError,
    RefundFailedError,
    RefundOpenError,
    RefundRunningError,
    RefundUnderWayError,
    TooMuchError,
)
from orchestrator.credits.audit import disagreements
from orchestrator.settings import Settings
from tests.orchestrator.billing.conftest import Books, Buy, environment
from tests.orchestrator.billing.payloads import STARTER, at, refund
from tests.standins.polar import Fault, PolarStandIn

pytestmark = pytest.mark.anyio

REFUNDS = "/v1/refunds/"
LIMIT_S = 60.0
Paid = Callable[[], Awaitable[UUID]]


def hasty(settings: Settings) -> Settings:
    """Settings that give Polar two seconds for an answer, for those that never come."""
    return settings.model_copy(update={"polar_timeout_s": 2})


@pytest.fixture
async def polar() -> AsyncIterator[PolarStandIn]:
    """A Polar that tells nobody by itself."""
    async with PolarStandIn() as standin:
        standin.add_product(STARTER.name, STARTER.price_cents, id_=str(STARTER.product_id))
        yield standin


@pytest.fixture
def app_settings(app_settings: Settings, polar: PolarStandIn) -> Settings:
    own = {"polar_url": polar.url, "polar_access_token": SecretStr(polar.token), "polar_timeout_s": 30}
    return app_settings.model_copy(update=own)


@pytest.fixture
def paid(polar: PolarStandIn, books: Books, buy: Buy, app_settings: Settings) -> Paid:
    """A package that was bought for 9.99; its order."""

    async def paid() -> UUID:
        purchase = await buy(checkout_id=None, checkout_amount=None, checkout_currency=None)
        page = "https://octavia.example"
        new = NewCheckout(purchase.product_id, purchase.user_id, purchase.id, "ada@example.com", None, page, page)
        async with Polar.from_settings(app_settings) as client:
            checkout = await client.create_checkout(new)
        order = polar.pay(str(checkout.id))
        await tell(polar, books)
        return UUID(order["id"])

    return paid


async def tell(polar: PolarStandIn, books: Books) -> None:
    """Handle what Polar has had to say up to now; what was handled before is not done again."""
    for event in [each for each in polar.deliveries.events if each.type in HANDLERS]:
        async with books.make.begin() as session:
            if await session.get(PolarEvent, event.id) is None:
                told = wire.Event.model_validate_json(event.body)
                session.add(PolarEvent(webhook_id=event.id, type=event.type, timestamp=told.timestamp, body=event.body))
        await books.handle(event.id)


def refunded(polar: PolarStandIn, order_id: UUID) -> tuple[int, int]:
    """How many refunds there are at Polar of an order, and how much went back of it."""
    made = [each for each in polar.market.tables["refunds"].values() if each["order_id"] == str(order_id)]
    return len(made), int(polar.order(str(order_id))["refunded_amount"])


async def requests(books: Books) -> list[tuple[int, str]]:
    async with books.make() as session:
        rows = await session.execute(
            sa.select(RefundRequest.amount, RefundRequest.status).order_by(RefundRequest.created_at)
        )
        return [(row.amount, row.status) for row in rows]


async def test_a_refund_takes_its_share_of_the_credits_and_the_rest_by_another(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, user: User
) -> None:
    order_id = await paid()
    first = await commands.refund(app_settings, order_id, 333)
    assert (first.refund.amount, first.refund.status, first.applied.change, first.earlier) == (
        333,
        "succeeded",
        -33,
        False,
    )
    rest = await commands.refund(app_settings, order_id, None)
    assert (rest.refund.amount, rest.applied.change) == (666, -67)
    assert refunded(polar, order_id) == (2, 999)
    assert await books.available(user.id) == 0
    assert await requests(books) == [(333, "done"), (666, "done")]
    with pytest.raises(NothingToRefundError):
        await commands.refund(app_settings, order_id, None)
    await tell(polar, books)
    assert await books.available(user.id) == 0


async def test_more_than_is_left_is_refused_before_polar_is_asked(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid
) -> None:
    order_id = await paid()
    with pytest.raises(TooMuchError, match="at most 999"):
        await commands.refund(app_settings, order_id, 1000)
    polar.refunds_pending = True
    await commands.refund(app_settings, order_id, 900)
    with pytest.raises(TooMuchError, match="at most 99 "):
        await commands.refund(app_settings, order_id, 500)
    assert ("POST", REFUNDS) in [(method, path) for method, path, _ in polar.requests]
    assert len(await requests(books)) == 1


class Crash(BaseException):
    """The command is gone."""


def crash_before_asking(polar: PolarStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(refunds, "_ask", crash)


def lose_the_answer(polar: PolarStandIn, _: pytest.MonkeyPatch | None = None) -> None:
    polar.faults.timeout_after_success("POST", REFUNDS)
    polar.faults.add(Fault("GET", REFUNDS, times=2))
    polar.faults.add(Fault("GET", REFUNDS, status=401))  # the look at the list that comes after


def crash_after_the_answer(polar: PolarStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = refunds._ask

    async def crash(*arguments: Any) -> None:
        await asked(*arguments)
        raise Crash

    monkeypatch.setattr(refunds, "_ask", crash)


def crash_while_closing(polar: PolarStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(refunds, "_change", crash)


CRASHES: dict[str, Callable[[PolarStandIn, pytest.MonkeyPatch], None]] = {
    "before Polar is asked": crash_before_asking,
    "the answer is lost": lose_the_answer,
    "after the answer": crash_after_the_answer,
    "while the request is closed": crash_while_closing,
}


@pytest.mark.parametrize(
    ("moment", "told", "amount"),
    [*((moment, told, 300) for moment in CRASHES for told in (True, False)), ("the answer is lost", True, None)],
)
async def test_asked_again_after_a_crash_it_refunds_once(
    app_settings: Settings,
    polar: PolarStandIn,
    books: Books,
    paid: Paid,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    told: bool,
    amount: int | None,
) -> None:
    order_id, wanted, happened = await paid(), amount or 999, moment != "before Polar is asked"
    with monkeypatch.context() as patched:
        CRASHES[moment](polar, patched)
        with pytest.raises((Crash, PolarUnavailableError)):
            await commands.refund(
                hasty(app_settings) if moment == "the answer is lost" else app_settings, order_id, amount
            )
    polar.faults.clear()
    assert refunded(polar, order_id) == ((1, wanted) if happened else (0, 0))
    if told:
        await tell(polar, books)
    assert await requests(books) == [(wanted, "pending")], "only the command closes it"
    monkeypatch.setattr(refunds, "UNDER_WAY", timedelta())
    again = await commands.refund(app_settings, order_id, amount)
    assert again.earlier is happened
    assert refunded(polar, order_id) == (1, wanted)
    await tell(polar, books)
    assert await requests(books) == [(wanted, "done")]
    assert await books.available(user.id) == (70 if amount else 0)
    async with books.make() as session:
        assert [found async for found in disagreements(session)] == []


async def test_a_webhook_tells_a_request_its_refund_and_leaves_it_open(
    app_settings: Settings, books: Books, paid: Paid
) -> None:
    order_id = await paid()
    async with books.make.begin() as session:
        request = RefundRequest(order_id=order_id, amount=500)
        session.add(request)
    made = refund({"id": str(order_id), "currency": "usd"}, 500, metadata={"request_id": str(request.id)})
    await books.hear("refund.created", made)
    async with books.make() as session:
        request = await session.get_one(RefundRequest, request.id)
    assert (request.status, str(request.refund_id)) == ("pending", made["id"])


async def test_right_after_a_lost_question_polar_is_given_time(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = await paid()
    polar.faults.add(Fault("POST", REFUNDS, status=502))
    with pytest.raises(PolarUnavailableError):
        await commands.refund(app_settings, order_id, 500)
    with pytest.raises(RefundUnderWayError, match=r"Ask again in \d\d seconds"):
        await commands.refund(app_settings, order_id, 500)
    assert refunded(polar, order_id) == (0, 0)
    monkeypatch.setattr(refunds, "UNDER_WAY", timedelta())
    await commands.refund(app_settings, order_id, 500)
    assert refunded(polar, order_id) == (1, 500)


async def test_what_surely_was_not_done_can_be_asked_at_once(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid
) -> None:
    order_id = await paid()
    polar.faults.add(Fault("POST", REFUNDS, status=401))
    with pytest.raises(PolarError, match="access token"):
        await commands.refund(app_settings, order_id, 500)
    await commands.refund(app_settings, order_id, 500)
    assert refunded(polar, order_id) == (1, 500)
    assert await requests(books) == [(500, "done")]


async def test_what_polar_refuses_is_closed_and_another_amount_can_follow(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid
) -> None:
    order_id = await paid()
    polar.dispute(str(order_id), "needs_response")
    with pytest.raises(PolarRefusedError, match="disputed"):
        await commands.refund(app_settings, order_id, 500)
    polar.dispute(str(order_id), "won")
    await commands.refund(app_settings, order_id, 400)
    assert await requests(books) == [(500, "refused"), (400, "done")]


async def test_another_amount_waits_until_the_end_of_the_first_is_known(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, user: User
) -> None:
    order_id = await paid()
    polar.faults.add(Fault("POST", REFUNDS, status=502))
    with pytest.raises(PolarUnavailableError):
        await commands.refund(app_settings, order_id, 500)
    with pytest.raises(RefundOpenError, match="--amount 500"):
        await commands.refund(app_settings, order_id, 200)
    async with books.make() as session:
        request_id = await session.scalar(sa.select(RefundRequest.id))
    polar.refund(str(order_id), 500, request_id=str(request_id))  # it was carried out after all
    other = await commands.refund(app_settings, order_id, 200)
    assert (other.refund.amount, other.earlier) == (200, False)
    assert refunded(polar, order_id) == (2, 700)
    assert await requests(books) == [(500, "done"), (200, "done")]
    assert await books.available(user.id) == 30


async def test_a_refund_that_polar_made_without_our_name_on_it_is_adopted(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = await paid()
    polar.refund(str(order_id), 100)  # by hand, and before
    polar.faults.add(Fault("POST", REFUNDS, status=500))
    with pytest.raises(PolarUnavailableError):
        await commands.refund(app_settings, order_id, 500)
    polar.refund(str(order_id), 500)  # as Polar hears of it from its payment processor
    monkeypatch.setattr(refunds, "UNDER_WAY", timedelta())
    again = await commands.refund(app_settings, order_id, 500)
    assert again.earlier
    assert refunded(polar, order_id) == (2, 600)
    assert await requests(books) == [(500, "done")]


@pytest.mark.parametrize("status", ["failed", "canceled"])
async def test_a_refund_that_came_to_nothing_says_so_and_can_be_made_anew(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, user: User, status: str
) -> None:
    order_id = await paid()
    lose_the_answer(polar)
    with pytest.raises(PolarUnavailableError):
        await commands.refund(hasty(app_settings), order_id, 500)
    polar.faults.clear()
    (made,) = polar.market.tables["refunds"].values()
    polar.fail_refund(made["id"], status)
    with pytest.raises(RefundFailedError, match=f"is {status} at Polar"):
        await commands.refund(app_settings, order_id, 500)
    assert await books.available(user.id) == 100
    await commands.refund(app_settings, order_id, 500)
    assert await requests(books) == [(500, "refused"), (500, "done")]
    assert await books.available(user.id) == 50


async def test_of_many_commands_at_once_one_refunds(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid
) -> None:
    order_id = await paid()
    polar.faults.add(Fault("POST", REFUNDS, hang_s=3))
    calls = (commands.refund(app_settings, order_id, 100) for _ in range(5))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, RefundRunningError) for each in ended) == 4, ended
    assert refunded(polar, order_id) == (1, 100)


async def test_a_command_and_its_own_webhooks_at_the_same_time_never_wait_for_each_other_for_ever(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, user: User, engine: AsyncEngine
) -> None:
    order_id = await paid()
    failures: list[BaseException] = []
    over = asyncio.Event()

    async def retell() -> None:
        """What Polar tells of the newest refund and its order, again and again."""
        while not over.is_set():
            for made in list(polar.market.tables["refunds"].values())[-1:]:
                read = wire.Refund.model_validate(made)
                try:
                    async with books.make.begin() as session:
                        await orders.take_refund(session, read, at=datetime.now(UTC))
                    await books.hear("order.updated", polar.order(str(order_id)))
                except sa.exc.DBAPIError as error:
                    failures.append(error)
            await asyncio.sleep(0)

    telling = [asyncio.create_task(retell()) for _ in range(6)]
    try:
        for _ in range(40):
            await commands.refund(app_settings, order_id, 10)
    finally:
        over.set()
        await asyncio.gather(*telling)
    assert failures == []
    assert refunded(polar, order_id) == (40, 400)
    assert set(await requests(books)) == {(10, "done")}
    assert await books.available(user.id) == 60


async def test_the_order_is_locked_before_its_requests(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, engine: AsyncEngine
) -> None:
    """While somebody has the order, neither command nor webhook may have a request of its refunds."""
    order_id = await paid()
    async with books.make.begin() as session:
        request = RefundRequest(order_id=order_id, amount=500)
        session.add(request)
    made = wire.Refund.model_validate(
        refund({"id": str(order_id), "currency": "usd"}, 500, metadata={"request_id": str(request.id)})
    )

    async def webhook() -> None:
        async with books.make.begin() as session:
            await orders.take_refund(session, made, at=at(9))

    waiting = sa.text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    async with books.make.begin() as session:
        await orders.lock(session, order_id)
        others = [asyncio.create_task(webhook()), asyncio.create_task(commands.refund(app_settings, order_id, 500))]
        deadline = time.monotonic() + LIMIT_S
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while await connection.scalar(waiting) != 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        free = sa.select(RefundRequest.id).where(RefundRequest.id == request.id).with_for_update(nowait=True)
        assert await session.scalar(free) == request.id
    await asyncio.gather(*others)


async def test_a_command_killed_after_polar_has_refunded_is_asked_again_and_refunds_once(
    app_settings: Settings, polar: PolarStandIn, books: Books, paid: Paid, user: User
) -> None:
    order_id = await paid()
    polar.faults.timeout_after_success("POST", REFUNDS)
    first = await started(app_settings, order_id)
    deadline = time.monotonic() + LIMIT_S
    while refunded(polar, order_id) != (1, 300):
        assert time.monotonic() < deadline, first.returncode
        await asyncio.sleep(0.05)
    first.kill()
    await first.communicate()
    await tell(polar, books)
    second = await started(app_settings, order_id)
    output, errors = await asyncio.wait_for(second.communicate(), LIMIT_S)
    assert second.returncode == 0, errors.decode()
    assert "Refunded 300" in output.decode()
    assert "by an earlier command" in output.decode()
    assert refunded(polar, order_id) == (1, 300)
    assert await books.available(user.id) == 70


async def started(settings: Settings, order_id: UUID) -> asyncio.subprocess.Process:
    """`octavia billing refund` of 3.00, as a process of its own."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("OCTAVIA_")}
    assert settings.polar_access_token is not None
    own = {
        **environment(settings),
        "OCTAVIA_DATABASE_URL": str(settings.database_url),
        "OCTAVIA_POLAR_ACCESS_TOKEN": settings.polar_access_token.get_secret_value(),
        "OCTAVIA_POLAR_TIMEOUT_S": json.dumps(settings.polar_timeout_s),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    arguments = [sys.executable, "-m", "orchestrator.cli", "billing", "refund", str(order_id), "--amount", "300"]
    return await asyncio.create_subprocess_exec(
        *arguments, env=known | own, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def test_an_order_that_polar_does_not_know_is_said(app_settings: Settings, paid: Paid) -> None:
    with pytest.raises(PolarError, match="knows nothing of that id"):
        await commands.refund(app_settings, uuid4(), None)
