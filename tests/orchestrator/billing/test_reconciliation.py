"""Reconciliation where something is in its way: what is late, cannot be read, may not be seen, or is gone."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.billing import commands, orders, reconciliation
from orchestrator.billing.look_back import LONG_DAYS, QUICK_DAYS
from orchestrator.billing.models import (
    PolarDispute,
    PolarLeftover,
    PolarRefund,
    PolarSubscription,
    Purchase,
    ReconciliationPart,
    ReconciliationRun,
)
from orchestrator.billing.polar import Polar
from orchestrator.billing.polar_errors import PolarRateLimitedError
from orchestrator.billing.repairs import BORNE
from orchestrator.credits.models import CreditLot
from orchestrator.settings import Settings
from tests.orchestrator.billing.conftest import Books, asking, bought, environment
from tests.orchestrator.billing.payloads import LARGE_PLAN, PASSING, SMALL_PLAN, STARTER
from tests.standins.polar import Fault, PolarStandIn
from tests.standins.polar.shapes import stamp

pytestmark = pytest.mark.anyio

Reconcile = Callable[..., Awaitable[ReconciliationRun]]
Order = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def app_settings(app_settings: Settings, polar: PolarStandIn) -> Settings:
    return asking(app_settings, polar)


@pytest.fixture
def reconcile(engine: AsyncEngine, app_settings: Settings) -> Reconcile:
    async def reconcile(days: int = QUICK_DAYS) -> ReconciliationRun:
        return await reconciliation.run(engine, app_settings, days=days)

    return reconcile


@pytest.fixture
def paid(client: httpx.AsyncClient, polar: PolarStandIn, books: Books) -> Order:
    """An order that its buyer has paid so many days ago, and that no webhook tells of."""

    async def paid(offer: Any = STARTER, days: float = 0) -> dict[str, Any]:
        purchase = await bought(client, offer)
        order = polar.pay(await books.checkout_of(purchase))
        age(order, days)
        if order["subscription_id"]:
            age(polar.market.get("subscriptions", order["subscription_id"]), days)
        return order

    return paid


def age(thing: dict[str, Any], days: float) -> None:
    """Put back when something at Polar was made, so that lists have it further back."""
    back = timedelta(days=days)
    for name in ("created_at", "modified_at", "started_at"):
        if thing.get(name):
            thing[name] = stamp(datetime.fromisoformat(thing[name]) - back)


async def put_back_runs(books: Books, days: float) -> None:
    """Let every run so far have been that long ago."""
    table = ReconciliationPart
    async with books.make.begin() as session:
        await session.execute(sa.update(table).values(done_at=table.done_at - timedelta(days=days)))


async def left(books: Books) -> set[tuple[str, str]]:
    async with books.make() as session:
        return {(each.kind, str(each.id)) for each in await session.scalars(sa.select(PolarLeftover))}


async def not_done(books: Books) -> set[str]:
    """Parts of the last run."""
    async with books.make() as session:
        found = await session.scalars(sa.select(ReconciliationPart).where(ReconciliationPart.error.is_not(None)))
        return {each.name for each in found}


async def test_a_dispute_that_is_lost_half_a_year_after_it_was_opened_is_seen(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    order = await paid(days=175)
    dispute = polar.dispute(order["id"], "needs_response")
    age(dispute, 170)
    await reconcile(days=200)
    assert await books.available(user.id) == STARTER.credits
    polar.dispute(order["id"], "lost")
    run = await reconcile()
    assert (run.error, run.failed, run.disputes) == (None, 0, 1)
    assert await books.available(user.id) == 0


async def test_the_operator_is_told_what_was_left_and_what_was_not_done(
    paid: Order, polar: PolarStandIn, books: Books, user: User, app_settings: Settings, tmp_path: Path
) -> None:
    broken, _ = await paid(), await paid()
    broken.pop("currency")
    polar.scopes -= {"disputes:read"}
    own = {"OCTAVIA_DATABASE_URL": str(app_settings.database_url), "OCTAVIA_DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.cli", "billing", "reconcile", "--days", "60"),
        env={**os.environ, **environment(app_settings), **own, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = (each.decode() for each in await process.communicate())
    assert process.returncode == 1
    assert "Looked at 1 orders since" in output
    assert "1 repaired, 0 purchases ended, 1 failed." in output
    assert f"Left: order {broken['id']} (since " in output
    assert "Not done: disputes. The access token for Polar.sh lacks the scope to list disputes." in errors
    assert "Traceback" not in output + errors
    assert await books.available(user.id) == STARTER.credits


async def test_a_scope_that_is_lacking_keeps_the_other_parts_from_nothing_and_is_told(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    first, second = await paid(), await paid(SMALL_PLAN)
    polar.dispute(first["id"], "lost")
    polar.scopes -= {"disputes:read"}
    run = await reconcile()
    assert await books.available(user.id) == STARTER.credits + SMALL_PLAN.credits
    assert await books.counted(PolarSubscription) == 1, "what comes after the part that was not done is done"
    assert "disputes" in (run.error or "")
    assert "scope" in (run.error or "")
    assert await not_done(books) == {"disputes"}
    polar.scopes |= {"disputes:read"}
    run = await reconcile()
    assert (run.error, await not_done(books)) == (None, set())
    assert await books.available(user.id) == SMALL_PLAN.credits
    assert (await books.order(second)).state == "granted"


async def test_a_part_that_was_not_done_is_looked_back_at_as_far_as_its_own_last_time(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    await reconcile()
    await put_back_runs(books, 9)
    await paid(days=8)
    polar.scopes -= {"orders:read"}
    for _ in range(2):
        run = await reconcile()
        assert "orders" in await not_done(books)
        assert "refunds" not in await not_done(books)
        await put_back_runs(books, 3)
    polar.scopes |= {"orders:read"}
    run = await reconcile()
    assert (run.error, await books.available(user.id)) == (None, STARTER.credits)


async def test_a_run_that_is_late_by_months_looks_back_to_the_last_one(
    paid: Order, reconcile: Reconcile, books: Books, user: User
) -> None:
    await reconcile()
    await put_back_runs(books, 100)
    await paid(days=90)
    await reconcile()
    assert await books.available(user.id) == STARTER.credits


async def test_the_first_run_looks_back_as_far_as_a_long_one(
    paid: Order, reconcile: Reconcile, books: Books, user: User
) -> None:
    await paid(days=50)
    await reconcile()
    assert await books.available(user.id) == STARTER.credits


async def test_an_order_that_cannot_be_read_is_left_and_asked_for_again_however_old_it_gets(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    broken, good = await paid(days=20), await paid()
    currency = broken.pop("currency")
    run = await reconcile()
    assert (run.error, run.failed) == (None, 1)
    assert await left(books) == {("order", broken["id"])}
    assert (await books.order(good)).state == "granted"
    run = await reconcile()
    assert (run.error, run.failed) == (None, 1)
    told = await commands.leftovers(books.settings)
    assert [(each.kind, str(each.id), each.attempts) for each in told] == [("order", broken["id"], 2)]
    assert "currency" in told[0].reason
    broken["currency"] = currency
    run = await reconcile()
    assert (run.error, run.failed, run.repaired) == (None, 0, 1)
    assert await books.available(user.id) == 2 * STARTER.credits
    assert await left(books) == set()
    assert (await reconcile()).repaired == 0


@pytest.mark.parametrize("missing", ["refunds", "disputes", "subscriptions"])
async def test_what_cannot_be_read_in_any_list_is_left_and_keeps_nothing_else_from_its_turn(
    missing: str, paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    """The broken one is the newest in its list, so that it comes first."""
    paid_ = [await paid(SMALL_PLAN), await paid(), await paid()]
    for order in paid_:
        polar.refund(order["id"], order["net_amount"] // 2)
    for order in paid_[1:]:
        polar.dispute(order["id"], "lost", order["net_amount"] // 2)
    (*_, broken) = polar.market.tables[missing].values()
    field = "order_id" if missing == "disputes" else "status"
    value = broken.pop(field)
    run = await reconcile()
    assert (run.error, run.failed) == (None, 1)
    assert await left(books) == {(missing.removesuffix("s"), broken["id"])}
    assert await books.counted(PolarRefund) == (2 if missing == "refunds" else 3)
    assert await books.counted(PolarDispute) == (1 if missing == "disputes" else 2)
    assert await books.counted(PolarSubscription) == (0 if missing == "subscriptions" else 1)
    broken[field] = value
    age(broken, 200)
    run = await reconcile()
    assert (run.error, run.failed) == (None, 0)
    assert await left(books) == set()
    assert [await books.counted(each) for each in (PolarRefund, PolarDispute, PolarSubscription)] == [3, 2, 1]
    await books.agree()


async def test_the_order_of_a_refund_that_cannot_be_read_is_asked_for(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    order = await paid(days=30)
    await reconcile()
    polar.refund(order["id"], order["net_amount"]).pop("currency")
    await reconcile()
    assert await books.available(user.id) == 0


async def test_what_has_no_id_at_all_holds_the_watermark_of_its_list(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    await reconcile()
    await put_back_runs(books, 9)
    broken, good = await paid(days=8), await paid()
    id_, broken["id"] = broken["id"], "none"
    run = await reconcile()
    assert "orders" in (run.error or "")
    assert await not_done(books) == {"orders"}
    assert (await books.order(good)).state == "granted"
    broken["id"] = id_
    run = await reconcile()
    assert (run.error, await books.available(user.id)) == (None, 2 * STARTER.credits)


async def test_an_order_that_polar_stumbles_over_keeps_no_other_from_its_turn(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    first, second = [await paid(days=30) for _ in range(2)]
    await reconcile()
    refunds = [polar.refund(order["id"], order["net_amount"]) for order in (first, second)]
    fault = polar.faults.add(Fault("GET", f"/v1/orders/{second['id']}", status=500, times=99))
    run = await reconcile()
    assert (run.error, run.failed) == (None, 1)
    assert await books.available(user.id) == STARTER.credits
    fault.times = 0
    for refund in refunds:
        age(refund, 100)
    run = await reconcile()
    assert (run.failed, await books.available(user.id)) == (0, 0), "it is asked for though no list has it or its refund"


async def test_what_was_left_and_stays_unanswered_holds_no_watermark_of_a_list(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books
) -> None:
    broken = [await paid(days=30) for _ in range(BORNE + 1)]
    for order in broken:
        order["net_amount"] = "much"
    assert (await reconcile()).failed == BORNE + 1
    polar.faults.add(Fault("GET", "/v1/orders/.+", status=500, times=99))
    run = await reconcile()
    assert await not_done(books) == {"leftovers"}
    assert "500" in (run.error or "")
    assert len(await left(books)) == BORNE + 1


async def test_a_bug_in_one_order_keeps_no_other_from_its_turn(
    paid: Order,
    reconcile: Reconcile,
    books: Books,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, _ = await paid(days=20), await paid()
    apply = orders.apply

    async def stumbles(session: Any, order: Any, **more: Any) -> Any:
        if str(order.id) == bad["id"]:
            raise ZeroDivisionError
        return await apply(session, order, **more)

    with monkeypatch.context() as patch:
        patch.setattr(orders, "apply", stumbles)
        run = await reconcile()
    assert (run.error, run.failed, await books.available(user.id)) == (None, 1, STARTER.credits)
    assert await left(books) == {("order", bad["id"])}
    assert (await reconcile()).failed == 0
    assert await books.available(user.id) == 2 * STARTER.credits


async def test_a_polar_that_answers_nothing_is_asked_little(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    await paid()
    polar.faults.add(Fault(status=401, times=99))
    polar.requests.clear()
    run = await reconcile()
    assert len(polar.requests) == 1
    assert polar.token not in (run.error or "")
    assert {"orders", "refunds", "disputes", "subscriptions"} <= await not_done(books)
    polar.faults.clear()
    assert (await reconcile()).error is None
    assert await books.available(user.id) == STARTER.credits


async def test_subscriptions_that_no_webhook_told_of_are_learned_of(
    client: httpx.AsyncClient, paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    order = await paid(SMALL_PLAN)
    await reconcile()
    seen = await client.get("/v1/billing/subscription")
    assert (seen.status_code, seen.json()["status"], seen.json()["offer"]) == (200, "active", SMALL_PLAN.id)
    second = await client.post("/v1/billing/purchases", json={"offer": LARGE_PLAN.id})
    assert second.status_code == 409, "no second one is sold"
    polar.cancel(order["subscription_id"])
    await reconcile()
    assert (await client.get("/v1/billing/subscription")).json()["cancel_at_period_end"] is True


async def test_what_became_of_an_old_subscription_is_seen_at_night(
    client: httpx.AsyncClient, paid: Order, reconcile: Reconcile, polar: PolarStandIn
) -> None:
    old = await paid(SMALL_PLAN, days=500)
    await reconcile()
    assert (await client.get("/v1/billing/subscription")).status_code == 200
    polar.revoke(old["subscription_id"])
    run = await reconcile(LONG_DAYS)
    assert (run.error, run.repaired) == (None, 1)
    assert (await client.get("/v1/billing/subscription")).status_code == 404


async def pending(books: Books, purchase: dict[str, Any], **changes: Any) -> None:
    async with books.make.begin() as session:
        await session.execute(sa.update(Purchase).where(Purchase.id == UUID(purchase["id"])).values(**changes))


async def status_of(client: httpx.AsyncClient, purchase: dict[str, Any]) -> str:
    return str((await client.get(f"/v1/billing/purchases/{purchase['id']}")).json()["status"])


async def test_a_purchase_whose_checkout_is_gone_ends_when_its_time_is_over(
    client: httpx.AsyncClient, reconcile: Reconcile, polar: PolarStandIn, books: Books
) -> None:
    purchase = await bought(client, key="gone")
    polar.market.tables["checkouts"].clear()
    fresh = await client.post(f"/v1/billing/purchases/{purchase['id']}/refresh")
    assert (fresh.status_code, fresh.json()["status"]) == (200, "pending")
    again = await bought(client, key="gone")
    assert (again["id"], again["checkout_url"]) == (purchase["id"], None)
    assert (await reconcile()).failed == 0
    assert await status_of(client, purchase) == "pending"
    await pending(books, purchase, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    run = await reconcile()
    assert (run.error, run.failed, run.ended) == (None, 0, 1)
    assert await status_of(client, purchase) == "expired"
    assert (await reconcile()).ended == 0


async def test_a_purchase_whose_checkout_is_gone_and_that_was_paid_has_its_credits(
    client: httpx.AsyncClient, paid: Order, polar: PolarStandIn, books: Books, user: User
) -> None:
    order = await paid()
    polar.market.tables["checkouts"].clear()
    purchase_id = order["metadata"]["purchase_id"]
    fresh = await client.post(f"/v1/billing/purchases/{purchase_id}/refresh")
    assert (fresh.status_code, fresh.json()["status"]) == (200, "paid")
    assert await books.available(user.id) == STARTER.credits


async def test_a_purchase_without_a_checkout_ends_after_a_day(
    client: httpx.AsyncClient, reconcile: Reconcile, polar: PolarStandIn, books: Books
) -> None:
    polar.faults.add(Fault("POST", "/v1/checkouts/", status=500))
    refused = await client.post("/v1/billing/purchases", json={"offer": STARTER.id})
    assert refused.status_code == 503
    (purchase,) = (await client.get("/v1/billing/purchases")).json()["items"]
    await pending(books, purchase, created_at=datetime.now(UTC) - timedelta(hours=24))
    assert (await reconcile()).ended == 0
    await pending(books, purchase, created_at=datetime.now(UTC) - timedelta(hours=26))
    run = await reconcile()
    assert (run.failed, run.ended, await status_of(client, purchase)) == (0, 1, "expired")


async def close_account(books: Books, user: User) -> None:
    async with books.make.begin() as session:
        await session.execute(
            sa.update(User).where(User.id == user.id).values(status="deleted", deleted_at=datetime.now(UTC))
        )


async def test_the_subscription_of_a_closed_account_is_cancelled_once(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    order = await paid(SMALL_PLAN)
    await close_account(books, user)
    for _ in range(2):
        run = await reconcile()
        assert (run.error, run.failed) == (None, 0)
    assert polar.market.get("subscriptions", order["subscription_id"])["cancel_at_period_end"] is True
    assert [method for method, *_ in polar.requests].count("PATCH") == 1


@pytest.mark.parametrize("status", [403, 404, 409])
async def test_a_cancellation_that_polar_refuses_stops_and_freezes_nothing(
    status: int, paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    await paid(SMALL_PLAN)
    await close_account(books, user)
    body = {"error": "AlreadyCanceledSubscription", "detail": "This subscription is already canceled."}
    polar.faults.add(Fault("PATCH", "/v1/subscriptions/.*", status=status, body=body, times=2))
    for _ in range(2):
        run = await reconcile()
        assert (run.error, run.failed) == (None, 0)
        assert await not_done(books) == set()
    assert await left(books) == set()


async def test_without_the_scope_to_cancel_all_else_is_done(
    paid: Order, reconcile: Reconcile, polar: PolarStandIn, books: Books, user: User
) -> None:
    await paid(SMALL_PLAN)
    await close_account(books, user)
    polar.scopes -= {"subscriptions:write"}
    run = await reconcile()
    assert await not_done(books) == {"closed accounts"}
    assert "cancel" in (run.error or "")
    assert await books.available(user.id) == SMALL_PLAN.credits


async def test_a_reconciliation_waits_longer_for_its_turn_than_a_person_would(
    paid: Order,
    reconcile: Reconcile,
    polar: PolarStandIn,
    books: Books,
    user: User,
    app_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await paid()
    sleep, waited = asyncio.sleep, []

    async def quick(seconds: float, *more: Any) -> Any:
        if seconds >= 20:
            waited.append(seconds)
        return await sleep(0 if seconds >= 20 else seconds, *more)

    monkeypatch.setattr(asyncio, "sleep", quick)
    polar.faults.add(Fault("GET", "/v1/orders/", status=429, retry_after="50", times=8))
    async with Polar.from_settings(app_settings) as user_s:
        with pytest.raises(PolarRateLimitedError):
            await anext(user_s.orders())
    assert waited == []
    run = await reconcile()
    assert (run.error, await books.available(user.id)) == (None, STARTER.credits)
    assert waited == [50.0] * 7
    polar.faults.add(Fault("GET", "/v1/refunds/", status=429, retry_after="200"))
    run = await reconcile()
    assert "refunds" in await not_done(books)


async def test_credits_that_a_repair_brings_late_live_as_long_as_was_bought(
    client: httpx.AsyncClient, paid: Order, reconcile: Reconcile, books: Books, user: User
) -> None:
    await paid(PASSING, days=50)
    began = datetime.now(UTC)
    await reconcile()
    async with books.make() as session:
        (lot,) = await session.scalars(sa.select(CreditLot).where(CreditLot.user_id == user.id))
    assert lot.expires_at is not None
    assert began <= lot.expires_at - timedelta(days=30) <= datetime.now(UTC)
    assert await books.available(user.id) == PASSING.credits


async def test_credits_that_a_human_assigns_late_live_as_long_as_was_bought(
    paid: Order, reconcile: Reconcile, books: Books, user: User, app_settings: Settings
) -> None:
    order = await paid(PASSING, days=50)
    order["metadata"] = {"purchase_id": str(uuid4())}
    await reconcile()
    assert await books.available(user.id) == 0
    applied = await commands.assign(app_settings, UUID(order["id"]), user.email)
    assert applied.change == await books.available(user.id) == PASSING.credits
