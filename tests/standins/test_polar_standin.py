"""The stand-in for Polar keeps Polar's promises: shapes (by Polar's own SDK), money, pages, deliveries."""

import asyncio
import importlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.local.ports import free_port
from tests.fixtures_polar import PACK, PLAN
from tests.standins.polar import Fault, Key, PolarStandIn, make_key, money, signed
from tests.standins.polar.money import Tax
from tests.standins.polar.refusals import Refusal
from tests.standins.polar.shapes import Json, time_of
from tests.standins.serving import serving

pytestmark = pytest.mark.anyio

VERSIONS = ("v2026_04", "v2026_10", "v2027_01")
USER = "018f2c7e-0000-7000-8000-000000000001"


class Sink:
    """A webhook endpoint that remembers what came, and answers what it is told to: at first `answers`, then 202."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], str]] = []
        self.answers: list[int] = []
        self.slow_s = 0.0
        self.url = ""
        self.reached = asyncio.Event()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.received]

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.received]

    async def take(self, request: Request) -> Response:
        self.received.append((dict(request.headers), (await request.body()).decode()))
        self.reached.set()
        await asyncio.sleep(self.slow_s)
        status = self.answers.pop(0) if self.answers else 202
        return Response(status_code=status, headers={"Location": "/elsewhere"} if 300 <= status < 400 else {})


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    async with serving(Starlette(routes=[Route("/webhooks/polar", sink.take, methods=["POST"])])) as url:
        sink.url = f"{url}/webhooks/polar"
        yield sink


@pytest.fixture
async def polar(sink: Sink, polar_standin: PolarStandIn) -> PolarStandIn:
    """The stand-in with its deliveries going to the sink."""
    polar_standin.deliveries.aim(sink.url)
    return polar_standin


@pytest.fixture
async def api(polar_standin: PolarStandIn) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {polar_standin.token}"}
    async with httpx.AsyncClient(base_url=polar_standin.url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


async def open_checkout(api: httpx.AsyncClient, product_id: object = PACK, **more: Any) -> Json:
    body = {
        "products": [str(product_id)],
        "external_customer_id": USER,
        "customer_email": "ada@example.com",
        "success_url": "https://octavia.example/billing?checkout={CHECKOUT_ID}",
        "return_url": "https://octavia.example/billing?a=1&b=2",
        "metadata": {"purchase_id": "p1"},
        **more,
    }
    answer = await api.post("/v1/checkouts/", json=body)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def everything_happens(polar: PolarStandIn, api: httpx.AsyncClient) -> None:
    """Every kind of event that the stand-in has."""
    expired = await open_checkout(api)
    polar.expire(expired["id"])
    pack = polar.pay((await open_checkout(api))["id"], tax=Tax(19))
    half = polar.refund(pack["id"], 300)
    polar.fail_refund(half["id"])
    polar.refunds_pending = True
    later = polar.refund(pack["id"], 999)
    polar.succeed_refund(later["id"])
    polar.refunds_pending = False
    inclusive = polar.pay((await open_checkout(api))["id"], tax=Tax(20, inclusive=True))
    polar.dispute(inclusive["id"], "needs_response")
    polar.dispute(inclusive["id"], "prevented")
    polar.pay((await open_checkout(api))["id"], discount=999)
    plan = polar.pay((await open_checkout(api, PLAN))["id"])
    id_ = plan["subscription_id"]
    polar.renew(id_)
    polar.prorate(id_, -700)
    polar.renew(id_)
    failed = polar.fail_renewal(id_)
    polar.pay_renewal(failed["id"])
    polar.cancel(id_)
    polar.uncancel(id_)
    polar.subscriptions.change_plan(id_, str(PLAN), "next_period")
    polar.subscriptions.drop_change(id_)
    lost = polar.fail_renewal(id_)
    polar.give_up_renewal(lost["id"])
    other = polar.pay(
        (await open_checkout(api, PLAN, external_customer_id="u2", customer_email="bob@example.com"))["id"]
    )
    polar.cancel(other["subscription_id"])
    polar.end_period(other["subscription_id"])
    third = polar.pay(
        (await open_checkout(api, PLAN, external_customer_id="u3", customer_email="cy@example.com"))["id"]
    )
    polar.dispute(third["id"], "lost")


KINDS = {
    *("checkout.created", "checkout.updated", "checkout.expired", "customer.created", "customer.state_changed"),
    *("order.created", "order.updated", "order.paid", "order.refunded", "refund.created", "refund.updated"),
    *("subscription.created", "subscription.updated", "subscription.active", "subscription.canceled"),
    *("subscription.uncanceled", "subscription.cycled", "subscription.revoked", "subscription.past_due"),
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_event_is_taken_by_polars_own_sdk(
    polar_standin: PolarStandIn, api: httpx.AsyncClient, version: str
) -> None:
    hooks = importlib.import_module(f"polar.{version}.webhooks")
    await everything_happens(polar_standin, api)
    assert {event.type for event in polar_standin.deliveries.events} == KINDS
    told_apart = {
        (event.type, event.data.get("status"), event.data.get("billing_reason"), event.data.get("reason")): event
        for event in polar_standin.deliveries.events
    }
    keys = itertools.cycle([make_key("old"), make_key("new")])
    for event, key in zip(told_apart.values(), keys):  # noqa: B905  (keys have no end)
        if event.type == "customer.state_changed" and event.data["active_subscriptions"]:
            continue  # polar-sdk 1.0.2 gives the status of these subscriptions the values of benefit grants
        read = hooks.validate_event(event.body, signed(key, event.id, event.body), key.secret)
        assert read.type == event.type


async def test_every_order_adds_up_whatever_happened_to_it(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    await everything_happens(polar_standin, api)
    orders = [event.data for event in polar_standin.deliveries.events if event.type.startswith("order.")]
    assert {order["status"] for order in orders} == {"pending", "paid", "partially_refunded", "refunded", "void"}
    assert any(order["applied_balance_amount"] < 0 for order in orders), "the credit of a negative order is used"
    assert any(order["total_amount"] < 0 for order in orders)
    assert [problems for order in orders if (problems := money.problems(order))] == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_answer_is_read_by_polars_own_client(polar_standin: PolarStandIn, version: str) -> None:
    module = importlib.import_module(f"polar.{version}.client")
    async with module.PolarAsync(polar_standin.token, base_url=polar_standin.url) as sdk:
        wish = {"products": [str(PLAN)], "external_customer_id": USER, "customer_email": "ada@example.com"}
        checkout = await sdk.checkouts.create(**wish)
        polar_standin.pay(checkout.id, tax=Tax(19))
        assert (await sdk.checkouts.get(checkout.id)).status == "succeeded"
        assert (await sdk.checkouts.list(external_customer_id=USER)).pagination.total_count == 1
        [order] = (await sdk.orders.list(checkout_id=checkout.id)).items
        assert (await sdk.orders.get(order.id)).total_amount == 2261
        refund = await sdk.refunds.create(order_id=order.id, reason="other", amount=100)
        assert refund.tax_amount == 19
        assert [each.id for each in (await sdk.refunds.list(order_id=order.id)).items] == [refund.id]
        polar_standin.dispute(order.id, "under_review", 50)
        assert [each.status for each in (await sdk.disputes.list()).items] == ["under_review"]
        session = await sdk.customer_sessions.create(external_customer_id=USER)
        assert session.token in session.customer_portal_url
        subscription = await sdk.subscriptions.get(order.subscription_id)
        assert subscription.status == "active"
        await sdk.subscriptions.update(subscription.id, cancel_at_period_end=True)
        assert (await sdk.subscriptions.revoke(subscription.id)).status == "canceled"
        assert {each.name for each in (await sdk.products.list()).items} == {"Starter", "Plan"}
        assert (await sdk.customers.list()).pagination.total_count == 1
        await sdk.orders.generate_invoice(order.id)


@pytest.mark.parametrize("version", VERSIONS)
async def test_refusals_are_known_to_polars_own_client(polar_standin: PolarStandIn, version: str) -> None:
    client = importlib.import_module(f"polar.{version}.client")
    errors = importlib.import_module(f"polar.{version}.errors")
    base = importlib.import_module("polar.base")
    async with client.PolarAsync(polar_standin.token, base_url=polar_standin.url) as sdk:
        with pytest.raises(errors.ResourceNotFound):
            await sdk.orders.get(str(uuid4()))
        with pytest.raises(errors.HTTPValidationError):
            await sdk.checkouts.create(products=[str(uuid4())])
        order = polar_standin.pay((await sdk.checkouts.create(products=[str(PACK)], customer_email="a@example.com")).id)
        polar_standin.refund(order["id"], 999)
        with pytest.raises(errors.RefundedAlready):
            await sdk.refunds.create(order_id=order["id"], reason="other", amount=1)
        polar_standin.faults.add(Fault(status=429, retry_after="7"))
        with pytest.raises(base.PolarRateLimitError):
            await sdk.orders.list()


async def test_a_first_purchase_is_told_three_times_as_paid(
    polar: PolarStandIn, api: httpx.AsyncClient, sink: Sink
) -> None:
    checkout = await open_checkout(api)
    polar.pay(checkout["id"])
    await polar.settled()
    assert sink.types == [
        *("checkout.created", "checkout.updated", "customer.created", "customer.state_changed", "checkout.updated"),
        *("order.created", "order.updated", "order.paid"),
    ]
    told = [json.loads(body)["data"] for _, body in sink.received if '"order.' in body]
    assert {each["status"] for each in told} == {"paid"}
    assert told[0]["metadata"] == {"purchase_id": "p1"}
    assert told[0]["checkout_id"] == checkout["id"]
    assert told[0]["customer"]["external_id"] == USER


async def test_a_renewal_is_pending_first_and_names_no_checkout(
    polar: PolarStandIn, api: httpx.AsyncClient, sink: Sink
) -> None:
    order = polar.pay((await open_checkout(api, PLAN))["id"])
    await polar.settled()
    sink.received.clear()
    renewal = polar.renew(order["subscription_id"])
    await polar.settled()
    assert [each for each in sink.types if each != "customer.state_changed"] == [
        *("subscription.cycled", "subscription.updated", "order.created", "order.updated", "order.paid"),
    ]
    created = next(json.loads(body)["data"] for _, body in sink.received if '"order.created"' in body)
    assert (created["status"], created["paid"], created["checkout_id"]) == ("pending", False, None)
    assert (renewal["billing_reason"], renewal["metadata"]) == ("subscription_cycle", {"purchase_id": "p1"})


async def test_a_lost_dispute_is_told_by_no_event_and_leaves_the_order_paid(
    polar: PolarStandIn, api: httpx.AsyncClient, sink: Sink
) -> None:
    order = polar.pay((await open_checkout(api))["id"])
    await polar.settled()
    sink.received.clear()
    polar.dispute(order["id"], "lost")
    await polar.settled()
    assert sink.received == []
    assert polar.order(order["id"])["status"] == "paid"


async def test_a_refund_that_fails_later_lowers_the_totals_again(
    polar: PolarStandIn, api: httpx.AsyncClient, sink: Sink
) -> None:
    order = polar.pay((await open_checkout(api))["id"])
    refund = polar.refund(order["id"], 999)
    assert polar.order(order["id"])["status"] == "refunded"
    await polar.settled()
    sink.received.clear()
    polar.fail_refund(refund["id"])
    await polar.settled()
    assert sink.types == ["refund.updated", "order.updated"]
    assert (polar.order(order["id"])["status"], polar.order(order["id"])["refunded_amount"]) == ("paid", 0)


async def test_two_pending_refunds_cannot_take_more_than_there_is(
    polar_standin: PolarStandIn, api: httpx.AsyncClient
) -> None:
    order = polar_standin.pay((await open_checkout(api))["id"])
    polar_standin.refunds_pending = True
    polar_standin.refund(order["id"], 600)
    with pytest.raises(Refusal, match="422"):
        polar_standin.refund(order["id"], 600)


async def test_a_buyer_with_a_known_address_is_the_customer_of_that_address(
    polar_standin: PolarStandIn, api: httpx.AsyncClient
) -> None:
    polar_standin.add_customer("ada@example.com", "somebody else")
    order = polar_standin.pay((await open_checkout(api))["id"])
    assert polar_standin.order(order["id"])["customer"]["external_id"] == "somebody else"


async def test_the_address_of_a_known_customer_is_locked(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    polar_standin.pay((await open_checkout(api))["id"])
    again = await open_checkout(api, customer_email=None)
    assert again["customer_email"] == "ada@example.com"
    polar_standin.pay(again["id"], email="other@example.com")
    assert polar_standin.checkout(again["id"])["customer_email"] == "ada@example.com"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"products": []}, ["body", "products"]),
        ({"products": ["x"]}, ["body", "products", 0]),
        ({"products": [str(uuid4())]}, ["body", "products", 0]),
        ({"metadata": {"k": "v" * 501}}, ["body", "metadata", "k"]),
        ({"metadata": {"k" * 41: "v"}}, ["body", "metadata"]),
        ({"metadata": {f"k{number}": 1 for number in range(51)}}, ["body", "metadata"]),
        ({"success_url": "octavia.example"}, ["body", "success_url"]),
        ({"customer_email": "ada@nowhere.invalid"}, ["body", "customer_email"]),
        ({"customer_email": "ada"}, ["body", "customer_email"]),
        ({"customer_ip_address": "here"}, ["body", "customer_ip_address"]),
    ],
)
async def test_a_wrong_wish_is_refused_at_its_place(api: httpx.AsyncClient, change: Json, where: list[object]) -> None:
    answer = await api.post("/v1/checkouts/", json={"products": [str(PACK)], **change})
    assert answer.status_code == 422
    place = answer.json()["detail"][0]["loc"]
    assert place[: len(where)] == where


@pytest.mark.parametrize("body", [b"{", b"", b"[]"], ids=["broken", "none", "a list"])
async def test_a_body_that_is_no_object_is_refused(api: httpx.AsyncClient, body: bytes) -> None:
    assert (await api.post("/v1/checkouts/", content=body)).status_code == 422


async def test_an_archived_product_is_not_sold(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    old = polar_standin.add_product("Old", 100, archived=True)
    answer = await api.post("/v1/checkouts/", json={"products": [old["id"]]})
    assert (answer.status_code, answer.json()["detail"][0]["msg"]) == (422, "Product is archived.")


async def test_without_the_right_token_nothing_is_told(polar_standin: PolarStandIn) -> None:
    async with httpx.AsyncClient(base_url=polar_standin.url, trust_env=False, timeout=60) as client:
        for headers in ({}, {"Authorization": "Bearer polar_oat_other"}):
            answer = await client.get("/v1/orders/", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


async def test_each_route_wants_its_scope(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    polar_standin.scopes = {"orders:read"}
    assert (await api.get("/v1/orders/")).status_code == 200
    answer = await api.get("/v1/refunds/")
    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
    polar_standin.scopes = {"refunds:write"}
    assert (await api.get("/v1/refunds/")).status_code == 200


async def test_collections_have_a_slash_and_items_have_none(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/orders")
    assert (answer.status_code, httpx.URL(answer.headers["Location"]).path) == (307, "/v1/orders/")


async def test_an_unknown_version_is_not_found_and_a_known_one_is_confirmed(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/orders/", headers={"Polar-Version": "2031-01"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    answer = await api.get("/v1/orders/", headers={"Polar-Version": "2026-10"})
    assert (answer.status_code, answer.headers["Polar-Version"]) == (200, "2026-10")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "page=0", "page=-1"])
async def test_a_page_that_cannot_be_is_refused(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.get(f"/v1/orders/?{query}")).status_code == 422


async def test_unknown_keys_in_a_change_of_a_subscription_are_refused(
    polar_standin: PolarStandIn, api: httpx.AsyncClient
) -> None:
    id_ = polar_standin.pay((await open_checkout(api, PLAN))["id"])["subscription_id"]
    bodies: list[Any] = [
        {"cancel_at_period_end": True, "revoke": True},
        {"colour": 1},
        {},
        [],
        {"product_id": str(PACK)},
    ]
    for body in bodies:
        assert (await api.patch(f"/v1/subscriptions/{id_}", json=body)).status_code == 422
    assert polar_standin.market.get("subscriptions", id_)["status"] == "active"


async def test_one_clicks_through_the_checkout_page(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    checkout = await open_checkout(api)
    page = await api.get(checkout["url"])
    assert page.status_code == 200
    for shown in ("Starter", "9.99 USD", "ada@example.com", "id=pay", "https://octavia.example/billing?a=1&amp;b=2"):
        assert shown in page.text
    declined = await api.post(checkout["url"], data={"email": "ada@example.com", "card": "declined"})
    assert (declined.status_code, "declined. Nothing was charged" in declined.text) == (402, True)
    assert polar_standin.checkout(checkout["id"])["status"] == "open"
    assert polar_standin.market.tables["orders"] == {}
    for _ in range(2):  # a second press changes nothing
        paid = await api.post(checkout["url"], data={"email": "ada@example.com", "card": "good"})
        assert paid.status_code == 303
        assert paid.headers["Location"] == f"https://octavia.example/billing?checkout={checkout['id']}"
    assert len(polar_standin.market.tables["orders"]) == 1
    assert (await api.get(checkout["url"])).status_code == 303


async def test_the_checkout_page_says_what_is_wrong(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    checkout = await open_checkout(api, customer_email=None)
    missing = await api.post(checkout["url"], data={"email": "", "card": "good"})
    assert (missing.status_code, "Email address is required" in missing.text) == (422, True)
    wrong = await api.post(checkout["url"], data={"email": "<b>@nowhere.invalid", "card": "good"})
    assert wrong.status_code == 422
    assert "<b>" not in wrong.text
    polar_standin.advance(hours=25)
    assert (await api.post(checkout["url"], data={"email": "ada@example.com", "card": "good"})).status_code == 410
    assert polar_standin.checkout(checkout["id"])["status"] == "expired"
    assert (await api.get(checkout["url"])).status_code == 410
    assert (await api.get(f"{polar_standin.url}/checkout/polar_c_none")).status_code == 404


async def test_the_portal_shows_purchases_and_cancels(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    order = polar_standin.pay((await open_checkout(api, PLAN))["id"])
    wish = {"external_customer_id": USER, "return_url": "https://octavia.example/billing"}
    url = (await api.post("/v1/customer-sessions/", json=wish)).json()["customer_portal_url"]
    page = await api.get(url)
    assert "Plan, 19.00 USD, paid" in page.text
    token = httpx.URL(url).params["customer_session_token"]
    pressed = {"customer_session_token": token, "subscription": order["subscription_id"]}
    assert (await api.post("/portal", data=pressed)).status_code == 303
    assert polar_standin.market.get("subscriptions", order["subscription_id"])["cancel_at_period_end"]
    polar_standin.advance(hours=2)
    assert (await api.get(url)).status_code == 401


async def test_an_invoice_can_be_read_once_it_is_made(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    order = polar_standin.pay((await open_checkout(api))["id"])
    assert (await api.get(f"{polar_standin.url}/invoices/{order['id']}")).status_code == 404
    polar_standin.market.finish_invoice(polar_standin.market.get("orders", order["id"]))
    url = (await api.get(f"/v1/orders/{order['id']}/invoice")).json()["url"]
    assert (await api.get(url)).text == "Invoice ADA-0001: 9.99 USD"


async def test_a_retry_has_the_same_id_and_body_and_a_signature_of_its_own(polar: PolarStandIn, sink: Sink) -> None:
    sink.answers = [500, 302, 404]
    event = polar.send("order.paid", {"n": 1})
    await polar.settled()
    assert [attempt.status for attempt in polar.attempts] == [500, 302, 404, 202]
    assert [attempt.number for attempt in polar.attempts] == [1, 2, 3, 4]
    assert set(sink.ids) == {event.id}
    assert len({body for _, body in sink.received}) == 1
    assert event.state == "delivered"
    for headers, body in sink.received:
        key, at = polar.deliveries.key, float(headers["webhook-timestamp"])
        assert abs(at - time.time()) < 10
        assert headers["webhook-signature"] == signed(key, event.id, body, at=at)["webhook-signature"]


async def test_after_ten_attempts_an_event_is_given_up(polar: PolarStandIn, sink: Sink) -> None:
    sink.answers = [503] * 10
    event = polar.send("order.paid", {})
    await polar.settled()
    assert (len(sink.received), event.state) == (10, "failed")


@pytest.mark.parametrize("seed", range(5))
async def test_pauses_grow_to_half_an_hour_and_more_in_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)  # whoever waits in a loop lets others work

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with PolarStandIn(f"http://127.0.0.1:{nobody.getsockname()[1]}/", seed=seed) as polar:
            monkeypatch.setattr("tests.standins.polar.deliveries.asyncio.sleep", note)
            polar.send("order.paid", {})
            await polar.settled()
            monkeypatch.undo()
    waits = [pause for pause in pauses if pause > 1]
    assert len(waits) == 9
    assert 4 <= waits[0] <= 8
    assert all(wait <= 1200 for wait in waits)
    assert 27 * 60 * 0.9 <= sum(waits) <= 54 * 60


async def test_an_endpoint_whose_last_ten_events_failed_gets_nothing_more(polar: PolarStandIn, sink: Sink) -> None:
    sink.answers = [503] * 100
    for number in range(10):
        polar.send("order.paid", {"n": number})
    await polar.settled()
    assert not polar.deliveries.enabled
    lost = polar.send("order.paid", {"n": 10})
    await polar.settled()
    assert len(sink.received) == 100
    assert polar.deliveries.lost == [lost]
    polar.deliveries.enable()
    polar.send("order.paid", {"n": 11})
    await polar.settled()
    assert json.loads(sink.received[-1][1])["data"] == {"n": 11}


async def test_an_answer_that_takes_too_long_is_a_failure(polar: PolarStandIn, sink: Sink) -> None:
    polar.deliveries.timeout_s = 0.1
    sink.slow_s = 5
    polar.send("order.paid", {})
    async with asyncio.timeout(60):
        while not polar.attempts:  # noqa: ASYNC110  (a list tells no one)
            await asyncio.sleep(0.01)
    sink.slow_s, polar.deliveries.timeout_s = 0, 30
    await polar.settled()
    assert (polar.attempts[0].status, polar.attempts[0].error) == (None, "TimeoutError")
    assert polar.attempts[-1].status == 202


async def test_events_come_in_order_unless_they_are_held_and_shuffled(polar: PolarStandIn, sink: Sink) -> None:
    first = [polar.send("a", {"n": number}).id for number in range(20)]
    await polar.settled()
    assert sink.ids == first
    polar.hold()
    second = [polar.send("a", {"n": number}).id for number in range(20)]
    await asyncio.sleep(0.05)
    assert sink.ids == first
    polar.release(shuffle=1)
    await polar.settled()
    assert sorted(sink.ids[20:]) == sorted(second)
    assert sink.ids[20:] != second


async def test_a_retry_is_held_too(polar: PolarStandIn, sink: Sink) -> None:
    sink.answers = [500]
    polar.send("a", {})
    await sink.reached.wait()
    polar.hold()
    await asyncio.sleep(0.1)
    assert len(sink.received) == 1
    polar.release()
    await polar.settled()
    assert len(sink.received) == 2


async def test_duplicates_lost_events_and_redelivery(polar: PolarStandIn, sink: Sink) -> None:
    polar.deliveries.copies = 3
    event = polar.send("a", {})
    await polar.settled()
    assert sink.ids == [event.id] * 3
    polar.deliveries.copies = 1
    polar.deliveries.lose()
    lost, next_ = polar.send("b", {}), polar.send("c", {})
    await polar.settled()
    assert sink.ids[3:] == [next_.id]
    polar.deliveries.redeliver(lost.id)
    await polar.settled()
    assert sink.ids[4:] == [lost.id]
    with pytest.raises(LookupError):
        polar.deliveries.redeliver("none")


async def test_delayed_events_overtake_each_other(sink: Sink) -> None:
    async with PolarStandIn(sink.url, delay_s=0.3, concurrency=4, seed=3) as polar:
        sent = [polar.send("a", {"n": number}).id for number in range(20)]
        await polar.settled()
    assert sorted(sink.ids) == sorted(sent)
    assert sink.ids != sent


async def test_a_rotated_secret_signs_what_is_under_way(polar: PolarStandIn, sink: Sink) -> None:
    before = polar.deliveries.key
    sink.answers = [401]
    event = polar.send("a", {})
    await sink.reached.wait()
    after = polar.deliveries.rotate("old")
    await polar.settled()
    assert polar.secret == after.secret != before.secret
    for key, (headers, body) in zip((before, after), sink.received, strict=True):
        at = float(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signed(key, event.id, body, at=at)["webhook-signature"]


async def test_stale_timestamps_on_demand(polar: PolarStandIn, sink: Sink) -> None:
    polar.deliveries.stale_s = 400
    polar.send("a", {})
    await polar.settled()
    assert 390 < time.time() - int(sink.received[0][0]["webhook-timestamp"]) < 410


def test_secrets_look_as_polars_do() -> None:
    assert make_key("old").secret.startswith("polar_whs_")
    assert len(make_key("old").secret) == 53
    assert make_key("new").secret.startswith("whsec_")
    assert len(make_key("new").bytes) == 32
    assert Key("whsec_abc", "old").bytes == b"whsec_abc"


async def test_what_is_kept_in_a_file_survives_a_restart(tmp_path: Path, sink: Sink) -> None:
    file = tmp_path / "polar.json"
    async with PolarStandIn(file=file, key=make_key("old"), token="polar_oat_kept") as polar:
        polar.add_product("Starter", 999, id_=str(PACK))
        headers = {"Authorization": f"Bearer {polar.token}"}
        async with httpx.AsyncClient(base_url=polar.url, headers=headers, trust_env=False, timeout=60) as api:
            checkout = await open_checkout(api)
        secret = polar.secret
    async with PolarStandIn(sink.url, file=file, token="polar_oat_kept") as polar:
        assert polar.secret == secret
        await polar.settled()
        assert sink.types == ["checkout.created"]
        order = polar.pay(checkout["id"])
        assert order["checkout_id"] == checkout["id"]
        await polar.settled()
    async with PolarStandIn(sink.url, file=file) as polar:
        await polar.settled()
        assert polar.order(order["id"])["paid"]
        assert sink.types.count("order.paid") == 1, "what was delivered is not delivered again"


async def test_faults_come_as_often_as_told_and_where_told(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    polar_standin.faults.add(Fault("GET", "/v1/orders/", status=503, times=2))
    polar_standin.faults.add(Fault("GET", "/v1/refunds/", status=429, retry_after="3"))
    assert [(await api.get("/v1/orders/")).status_code for _ in range(3)] == [503, 503, 200]
    answer = await api.get("/v1/refunds/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    polar_standin.faults.add(Fault("GET", ".*", status=500))
    polar_standin.faults.clear()
    assert (await api.get("/v1/orders/")).status_code == 200


async def test_a_timeout_after_success_carries_the_request_out(
    polar_standin: PolarStandIn, api: httpx.AsyncClient
) -> None:
    polar_standin.faults.timeout_after_success("POST", "/v1/checkouts/")
    with pytest.raises(httpx.ReadTimeout):
        await api.post("/v1/checkouts/", json={"products": [str(PACK)]}, timeout=2)
    assert len(polar_standin.market.tables["checkouts"]) == 1


async def test_lists_are_filtered_and_paged_newest_first(polar_standin: PolarStandIn, api: httpx.AsyncClient) -> None:
    orders = [polar_standin.pay((await open_checkout(api))["id"])["id"] for _ in range(5)]
    pages = [(await api.get(f"/v1/orders/?limit=2&page={page}")).json() for page in (1, 2, 3, 4)]
    listed = [each["id"] for each in itertools.chain(*(page["items"] for page in pages))]
    assert listed == orders[::-1]
    assert pages[0]["pagination"] == {"total_count": 5, "max_page": 3}
    oldest = (await api.get("/v1/orders/?sorting=created_at&limit=1")).json()["items"]
    assert [each["id"] for each in oldest] == orders[:1]
    filtered = (await api.get("/v1/orders/?metadata[purchase_id]=p2")).json()["items"]
    assert filtered == []
    times = [time_of(each["created_at"]) for page in pages for each in page["items"]]
    assert times == sorted(times, reverse=True)
    assert (await api.get("/v1/subscriptions/?sorting=-started_at")).status_code == 200
    refused = await api.get("/v1/subscriptions/?sorting=-created_at")
    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["query", "sorting"])


async def test_a_process_of_its_own_is_told_by_http_what_to_do(tmp_path: Path, sink: Sink) -> None:
    port, secret = free_port(), make_key("new").secret
    command = [sys.executable, "-m", "tests.standins.polar", "--port", str(port), "--secret", secret]
    command += ["--webhook", sink.url, "--time-scale", "0.001", "--tax", "19"]
    command += ["--product", f"A: Starter:999eur:{PACK}", "--product", f"Plan:1900:{PLAN}:month"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "POLAR_STANDIN_TOKEN": "polar_oat_dev"}
    process = subprocess.Popen(  # noqa: ASYNC220  (quick, and read in a thread)
        [*command, "--file", str(tmp_path / "state.json")], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line == f"Polar stand-in at http://127.0.0.1:{port}\n", "secrets that were given are not printed"
        headers = {"Authorization": "Bearer polar_oat_dev"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=60
        ) as api:
            checkout = await open_checkout(api)
            assert (checkout["product"]["name"], checkout["currency"]) == ("A: Starter", "eur")
            order = (await api.post("/_standin/pay", json={"checkout_id": checkout["id"]})).json()
            assert (order["total_amount"], order["status"]) == (1189, "paid")
            refund = await api.post("/_standin/refund", json={"order_id": order["id"], "amount": 100})
            assert refund.json()["tax_amount"] == 19
            too_much = await api.post("/_standin/refund", json={"order_id": order["id"], "amount": 9999})
            assert too_much.status_code == 422
            assert (await api.post("/_standin/refund", json={"order": 1})).status_code == 400
            assert (await api.post("/_standin/close")).status_code == 400
            await api.post("/_standin/fault", json={"path": "/v1/orders/", "status": 503})
            assert (await api.get("/v1/orders/")).status_code == 503
            rotated = (await api.post("/_standin/rotate", json={"scheme": "old"})).json()["secret"]
            assert rotated.startswith("polar_whs_")
            shown = (await api.get("/_standin/")).json()
            assert [each["id"] for each in shown["orders"]] == [order["id"]]
            deadline = time.monotonic() + 10
            while "order.refunded" not in sink.types:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, 10)
    assert code == 0
    assert json.loads((tmp_path / "state.json").read_text())["deliveries"]["key"]["secret"] == rotated
