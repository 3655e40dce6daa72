"""Buying at a Polar that answers, tells, forgets to tell, and fails; and reconciliation, which needs no telling."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.billing import commands, reconciliation
from orchestrator.billing.check import PRORATION
from orchestrator.billing.models import PolarSubscription, Purchase
from orchestrator.settings import Settings
from tests.fixtures_control_plane import MakeClient, MakeUser
from tests.orchestrator.billing.conftest import Books, asking, bought
from tests.orchestrator.billing.payloads import LARGE_PLAN, SMALL_PLAN, STARTER, UNCONFIGURED
from tests.standins.polar import Fault, PolarStandIn
from tests.standins.polar.refusals import Refusal

pytestmark = pytest.mark.anyio

CREATE = "/v1/checkouts/"


@pytest.fixture(autouse=True)
def no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the start-up check asks Polar would be counted here."""

    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr("orchestrator.app.log_findings", nothing)


@pytest.fixture
def app_settings(app_settings: Settings, polar: PolarStandIn) -> Settings:
    return asking(app_settings, polar)


async def test_a_click_on_polars_page_brings_the_credits_by_its_webhook(
    live: httpx.AsyncClient, server: str, polar: PolarStandIn, books: Books, user: User
) -> None:
    polar.deliveries.url = f"{server}/webhooks/polar"
    polar.deliveries.copies = 2
    purchase = await bought(live)
    assert purchase["status"] == "pending"
    async with httpx.AsyncClient(timeout=60) as browser:
        page = await browser.get(purchase["checkout_url"])
        assert "9.99" in page.text
    order = polar.pay(await books.checkout_of(purchase))
    await polar.settled()
    await books.work()
    assert await books.available(user.id) == STARTER.credits
    seen = (await live.get(f"/v1/billing/purchases/{purchase['id']}")).json()
    assert seen["status"] == "paid"
    assert order["metadata"] == {"purchase_id": purchase["id"], "user_id": str(user.id)}
    assert all(attempt.status == 202 for attempt in polar.attempts)
    await books.agree()


async def test_who_comes_back_before_the_webhook_has_the_credits_at_once_and_once(
    live: httpx.AsyncClient, server: str, polar: PolarStandIn, books: Books, user: User
) -> None:
    purchase = await bought(live)
    polar.pay(await books.checkout_of(purchase))
    path = f"/v1/billing/purchases/{purchase['id']}"
    assert (await live.get(path)).json()["status"] == "pending"
    assert (await live.post(f"{path}/refresh")).json()["status"] == "paid"
    assert await books.available(user.id) == STARTER.credits
    asked = len(polar.requests)
    assert (await live.post(f"{path}/refresh")).json()["status"] == "paid"
    assert len(polar.requests) == asked
    polar.deliveries.url = f"{server}/webhooks/polar"
    for type_ in ("order.paid", "order.updated"):
        polar.send(type_, polar.order((await only_order(polar))["id"]))
    await polar.settled()
    await books.work()
    assert await books.available(user.id) == STARTER.credits


async def only_order(polar: PolarStandIn) -> dict[str, Any]:
    (order,) = polar.market.tables["orders"].values()
    return dict(order)


async def test_a_checkout_whose_creation_was_never_answered_is_found_again(
    client: httpx.AsyncClient, polar: PolarStandIn, books: Books, user: User
) -> None:
    polar.faults.timeout_after_success("POST", CREATE)
    first = await client.post(
        "/v1/billing/purchases", json={"offer": STARTER.id}, headers={"Idempotency-Key": "patience"}
    )
    assert (first.status_code, first.headers["content-type"]) == (503, "application/problem+json")
    purchase = await bought(client, key="patience")
    assert purchase["checkout_url"]
    assert len(polar.market.tables["checkouts"].values()) == 1
    assert await books.counted(Purchase) == 1
    polar.pay(await books.checkout_of(purchase))
    await client.post(f"/v1/billing/purchases/{purchase['id']}/refresh")
    assert await books.available(user.id) == STARTER.credits


async def test_the_same_key_is_the_same_checkout_and_another_offer_is_refused(
    client: httpx.AsyncClient, polar: PolarStandIn
) -> None:
    first, second = await bought(client, key="one"), await bought(client, key="one")
    assert (first["id"], first["checkout_url"]) == (second["id"], second["checkout_url"])
    assert len(polar.market.tables["checkouts"].values()) == 1
    other = await client.post(
        "/v1/billing/purchases", json={"offer": SMALL_PLAN.id}, headers={"Idempotency-Key": "one"}
    )
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize("status", [401, 500, 503])
async def test_when_polar_refuses_or_is_away_nothing_is_charged_and_the_next_try_works(
    status: int, client: httpx.AsyncClient, polar: PolarStandIn, books: Books, user: User
) -> None:
    polar.faults.add(Fault("POST", CREATE, status=status))
    refused = await client.post("/v1/billing/purchases", json={"offer": STARTER.id})
    assert refused.status_code in (502, 503)
    assert polar.token not in refused.text
    assert await books.available(user.id) == 0
    assert (await bought(client))["checkout_url"]


async def test_what_is_not_sold_is_refused_before_polar_is_asked(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, polar: PolarStandIn
) -> None:
    unknown = await client.post("/v1/billing/purchases", json={"offer": "gold_bars"})
    assert unknown.status_code == 404
    unsold = await client.post("/v1/billing/purchases", json={"offer": UNCONFIGURED.id})
    assert unsold.status_code == 409
    assert polar.requests == []
    purchase = await bought(client)
    for method, path in (("GET", ""), ("POST", "/refresh"), ("GET", "/invoice")):
        answer = await stranger.request(method, f"/v1/billing/purchases/{purchase['id']}{path}")
        assert answer.status_code == 404


async def test_portal_and_invoice_are_there_once_something_is_bought(
    client: httpx.AsyncClient, polar: PolarStandIn, books: Books
) -> None:
    assert (await client.post("/v1/billing/portal")).status_code == 409
    purchase = await bought(client)
    path = f"/v1/billing/purchases/{purchase['id']}"
    assert (await client.get(f"{path}/invoice")).status_code == 409
    polar.pay(await books.checkout_of(purchase))
    await client.post(f"{path}/refresh")
    assert (await client.post("/v1/billing/portal")).json()["url"].startswith(polar.url)


async def test_a_subscription_is_cancelled_resumed_and_changed(
    client: httpx.AsyncClient,
    polar: PolarStandIn,
    books: Books,
    engine: AsyncEngine,
    app_settings: Settings,
    user: User,
) -> None:
    purchase = await bought(client, SMALL_PLAN)
    polar.pay(await books.checkout_of(purchase))
    await client.post(f"/v1/billing/purchases/{purchase['id']}/refresh")
    assert await books.available(user.id) == SMALL_PLAN.credits
    (subscription,) = polar.market.tables["subscriptions"].values()
    polar.send("subscription.active", subscription)
    await books.hear("subscription.active", subscription)
    assert await books.counted(PolarSubscription) == 1
    again = await client.post("/v1/billing/purchases", json={"offer": LARGE_PLAN.id})
    assert again.status_code == 409
    ended = await client.post("/v1/billing/subscription/cancel")
    assert (ended.status_code, ended.json()["cancel_at_period_end"]) == (200, True)
    assert (await client.post("/v1/billing/subscription/resume")).json()["cancel_at_period_end"] is False
    changed = await client.post("/v1/billing/subscription/change", json={"offer": LARGE_PLAN.id})
    assert changed.status_code == 200
    polar.renew(subscription["id"])
    await reconciliation.run(engine, app_settings, days=2)
    assert await books.available(user.id) == SMALL_PLAN.credits + LARGE_PLAN.credits


@pytest.mark.parametrize("told", [True, False], ids=["webhooks", "reconciliation"])
async def test_a_change_to_a_cheaper_plan_at_once_brings_no_credits_for_the_money_it_gives_back(
    client: httpx.AsyncClient,
    polar: PolarStandIn,
    books: Books,
    engine: AsyncEngine,
    app_settings: Settings,
    user: User,
    told: bool,
) -> None:
    purchase = await bought(client, LARGE_PLAN)
    polar.pay(await books.checkout_of(purchase))
    (subscription,) = polar.market.tables["subscriptions"].values()
    polar.change_plan(subscription["id"], str(SMALL_PLAN.product_id))
    for _ in range(4):
        polar.renew(subscription["id"])
    renewals = list(polar.market.tables["orders"].values())[1:]
    assert [each["billing_reason"] for each in renewals] == ["subscription_cycle"] * 4
    assert [each["applied_balance_amount"] for each in renewals] == [0, -1100, 0, 0]
    assert renewals[0]["total_amount"] == -1100
    if told:
        for event in polar.deliveries.events:
            if event.type.startswith("order."):
                await books.hear(event.type, event.data)
    await reconciliation.run(engine, app_settings, days=2)
    assert [(await books.order(each)).state for each in renewals] == ["parked", "parked", "granted", "granted"]
    assert await books.available(user.id) == LARGE_PLAN.credits + 2 * SMALL_PLAN.credits
    await books.agree()


async def test_with_the_settings_we_ask_for_a_change_in_the_portal_comes_with_the_next_period(
    client: httpx.AsyncClient,
    polar: PolarStandIn,
    books: Books,
    engine: AsyncEngine,
    app_settings: Settings,
    user: User,
) -> None:
    polar.settle_changes_of_plan(PRORATION)
    purchase = await bought(client, LARGE_PLAN)
    polar.pay(await books.checkout_of(purchase))
    (subscription,) = polar.market.tables["subscriptions"].values()
    polar.change_plan(subscription["id"], str(SMALL_PLAN.product_id))
    for _ in range(2):
        polar.renew(subscription["id"])
    await reconciliation.run(engine, app_settings, days=2)
    assert await books.available(user.id) == LARGE_PLAN.credits + 2 * SMALL_PLAN.credits
    assert list(await commands.parked(app_settings)) == []
    polar.market.organization["customer_portal_settings"]["subscription"]["update_plan"] = False
    with pytest.raises(Refusal, match="not allowed"):
        polar.change_plan(subscription["id"], str(LARGE_PLAN.product_id))


async def test_reconciliation_alone_repairs_what_no_webhook_brought(
    make_client: MakeClient,
    make_user: MakeUser,
    polar: PolarStandIn,
    books: Books,
    engine: AsyncEngine,
    app_settings: Settings,
) -> None:
    users = [await make_user(f"buyer{number}@example.org") for number in range(5)]
    orders = []
    for user in users:
        purchase = await bought(await make_client(user))
        orders.append(polar.pay(await books.checkout_of(purchase)))
    first = await reconciliation.run(engine, app_settings, days=2)
    assert (first.error, first.failed, first.orders) == (None, 0, 5)
    assert [await books.available(user.id) for user in users] == [STARTER.credits] * 5
    polar.refund(orders[1]["id"], orders[1]["net_amount"])
    half = orders[2]["net_amount"] // 2
    refund = polar.refund(orders[2]["id"], half)
    polar.dispute(orders[3]["id"], "lost")
    polar.dispute(orders[4]["id"], "needs_response")
    await reconciliation.run(engine, app_settings, days=2)
    share = Decimal(STARTER.credits) * half / orders[2]["net_amount"]
    left = STARTER.credits - int(share.to_integral_value(rounding="ROUND_HALF_UP"))
    assert [await books.available(user.id) for user in users] == [STARTER.credits, 0, left, 0, STARTER.credits]
    polar.fail_refund(refund["id"])
    await reconciliation.run(engine, app_settings, days=2)
    assert await books.available(users[2].id) == STARTER.credits
    again = await reconciliation.run(engine, app_settings, days=2)
    assert (again.repaired, again.failed) == (0, 0)
    await books.agree()


async def test_a_reconciliation_that_cannot_ask_says_why_and_the_next_looks_back_as_far(
    client: httpx.AsyncClient,
    polar: PolarStandIn,
    books: Books,
    engine: AsyncEngine,
    app_settings: Settings,
    user: User,
) -> None:
    purchase = await bought(client)
    polar.pay(await books.checkout_of(purchase))
    polar.faults.add(Fault("GET", "/v1/orders/", status=401))
    broken = await reconciliation.run(engine, app_settings, days=2)
    assert broken.error
    assert polar.token not in broken.error
    assert await books.available(user.id) == 0
    await reconciliation.run(engine, app_settings, days=2)
    assert await books.available(user.id) == STARTER.credits
