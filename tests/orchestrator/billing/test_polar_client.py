"""The client of Polar's API against a stand-in of it: what it sends, what it repeats, what its failures say."""

import asyncio
import logging
import socket
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from orchestrator.billing.polar import NewCheckout, Polar, Unreadable, is_public
from orchestrator.billing.polar_errors import (
    PolarAnswerError,
    PolarError,
    PolarNoCustomerError,
    PolarNotConfiguredError,
    PolarNotFoundError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarScopeError,
    PolarUnauthorizedError,
    PolarUnavailableError,
    without_secrets,
)
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from tests.fixtures_polar import PACK, PLAN, a_checkout
from tests.standins.polar import Fault, PolarStandIn
from tests.standins.polar.money import Tax

pytestmark = pytest.mark.anyio

CREATION = ("POST", "/v1/checkouts/")
ORDERS = ("GET", "/v1/orders/")


def asked(standin: PolarStandIn, method: str, path: str) -> int:
    """How often that was asked for."""
    return [request[:2] for request in standin.requests].count((method, path))


async def bought(client: Polar, standin: PolarStandIn, product_id: UUID = PACK) -> tuple[NewCheckout, UUID]:
    """A paid purchase: what was wished, and its order."""
    new = a_checkout(product_id)
    checkout = await client.create_checkout(new)
    return new, UUID(standin.pay(str(checkout.id))["id"])


async def test_a_checkout_names_user_and_purchase_and_takes_no_discount_codes(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    new = a_checkout(client_ip="1.1.1.1")
    checkout = await polar_client.create_checkout(new)
    made = polar_standin.checkout(str(checkout.id))
    assert made["metadata"] == {"purchase_id": str(new.purchase_id), "user_id": str(new.user_id)}
    assert made["external_customer_id"] == str(new.user_id)
    assert made["customer_email"] == "ada@example.com"
    assert made["customer_ip_address"] == "1.1.1.1"
    assert made["product_id"] == str(PACK)
    assert made["allow_discount_codes"] is False
    assert made["success_url"] == f"https://octavia.example/dashboard/billing?checkout={checkout.id}"
    assert made["return_url"] == new.return_url
    assert checkout.url == made["url"]
    assert (checkout.amount, checkout.currency, checkout.status) == (999, "usd", "open")


async def test_every_request_names_its_version_its_token_and_us(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    await polar_client.products()
    _, _, headers = polar_standin.requests[0]
    assert headers["polar-version"] == "2026-04"
    assert headers["authorization"] == f"Bearer {polar_standin.token}"
    assert headers["user-agent"] == f"octavia/{version('octavia')}"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("10.1.2.3", False),
        ("127.0.0.1", False),
        ("192.168.0.7", False),
        ("100.64.0.1", False),
        ("fd00::1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("none", False),
        ("", False),
        (None, False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str | None, public: bool) -> None:
    assert is_public(address) is public


async def test_an_address_that_is_not_public_is_not_sent(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    checkout = await polar_client.create_checkout(a_checkout(client_ip="10.1.2.3"))
    assert polar_standin.checkout(str(checkout.id))["customer_ip_address"] is None


async def test_an_email_that_polar_does_not_take_is_left_for_the_buyer_to_type(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    checkout = await polar_client.create_checkout(a_checkout(email="ada@nowhere.invalid"))
    assert polar_standin.checkout(str(checkout.id))["customer_email"] is None
    assert len(polar_standin.market.tables["checkouts"]) == 1
    assert asked(polar_standin, *CREATION) == 2


async def test_another_refusal_is_not_tried_without_the_email(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    with pytest.raises(PolarRefusedError) as refusal:
        await polar_client.create_checkout(a_checkout(uuid4()))
    assert asked(polar_standin, *CREATION) == 1
    assert refusal.value.fields == ("products.0",)
    assert refusal.value.polar_status == 422
    assert "Product does not exist" in refusal.value.message
    assert "Nothing was charged" in refusal.value.message
    assert refusal.value.status == 422


async def test_an_email_refused_twice_ends(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    detail = [{"type": "value_error", "loc": ["body", "customer_email"], "msg": "bad", "input": "ada@example.com"}]
    body = {"error": "PolarRequestValidationError", "detail": detail}
    polar_standin.faults.add(Fault(*CREATION, status=422, times=9, body=body))
    with pytest.raises(PolarRefusedError) as refusal:
        await polar_client.create_checkout(a_checkout())
    assert asked(polar_standin, *CREATION) == 2
    assert "ada@example.com" not in refusal.value.message


async def test_a_creation_without_an_answer_is_not_repeated_and_is_found_afterwards(
    polar_settings: Settings, polar_standin: PolarStandIn
) -> None:
    polar_standin.faults.timeout_after_success(*CREATION)
    new = a_checkout()
    settings = polar_settings.model_copy(update={"polar_timeout_s": 2})
    async with Polar.from_settings(settings, pause_s=0.005) as client:
        with pytest.raises(PolarUnavailableError) as failure:
            await client.create_checkout(new)
        assert failure.value.uncertain
        assert failure.value.status == 503
        assert "no answer within 2 s" in failure.value.message
        assert "Nothing was charged" in failure.value.message
        assert asked(polar_standin, *CREATION) == 1
        found = await client.find_checkout(new.user_id, new.purchase_id)
    assert found is not None
    assert found.metadata["purchase_id"] == str(new.purchase_id)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_creation_is_not_repeated_after_an_error_of_polars(
    polar_client: Polar, polar_standin: PolarStandIn, status: int
) -> None:
    polar_standin.faults.add(Fault(*CREATION, status=status, body="<html>Bad gateway</html>"))
    with pytest.raises(PolarUnavailableError, match=str(status)) as failure:
        await polar_client.create_checkout(a_checkout())
    assert failure.value.uncertain
    assert asked(polar_standin, *CREATION) == 1


async def test_what_was_never_created_is_not_found(polar_client: Polar) -> None:
    new = a_checkout()
    await polar_client.create_checkout(new)
    assert await polar_client.find_checkout(new.user_id, uuid4()) is None
    assert await polar_client.find_checkout(uuid4(), uuid4()) is None


async def test_a_checkout_is_found_where_polar_lists_those_of_paying_customers_only(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    polar_standin.checkouts_by_customer = True
    new = a_checkout()
    made = await polar_client.create_checkout(new)
    await polar_client.create_checkout(a_checkout())
    found = await polar_client.find_checkout(new.user_id, new.purchase_id)
    assert found is not None
    assert found.id == made.id


async def test_of_two_checkouts_of_a_purchase_the_newest_is_found(polar_client: Polar) -> None:
    new = a_checkout()
    await polar_client.create_checkout(new)
    second = await polar_client.create_checkout(new)
    found = await polar_client.find_checkout(new.user_id, new.purchase_id)
    assert found is not None
    assert found.id == second.id


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_reading_goes_on_after_passing_errors(
    polar_client: Polar, polar_standin: PolarStandIn, status: int
) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    polar_standin.faults.add(Fault("GET", f"/v1/orders/{order_id}", status=status, times=3))
    assert (await polar_client.order(order_id)).id == order_id
    assert asked(polar_standin, "GET", f"/v1/orders/{order_id}") == 4


async def test_reading_ends_after_four_attempts(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    polar_standin.faults.add(Fault(*ORDERS, status=503, times=99))
    with pytest.raises(PolarUnavailableError, match="503") as failure:
        [_ async for _ in polar_client.orders()]
    assert not failure.value.uncertain
    assert asked(polar_standin, *ORDERS) == 4


async def test_reading_is_repeated_where_there_was_no_answer(
    polar_settings: Settings, polar_standin: PolarStandIn
) -> None:
    polar_standin.faults.add(Fault(*ORDERS, hang_s=30))
    settings = polar_settings.model_copy(update={"polar_timeout_s": 2})
    async with Polar.from_settings(settings, pause_s=0.005) as client:
        assert [order async for order in client.orders()] == []
    assert asked(polar_standin, *ORDERS) == 2


async def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.02)

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    token = SecretStr("polar_oat_test")
    settings = Settings(polar_url=f"http://127.0.0.1:{port}", polar_access_token=token, polar_timeout_s=0.2)
    async with server, Polar.from_settings(settings, patience_s=0) as client:
        with pytest.raises(PolarUnavailableError, match="no answer within"):
            await asyncio.wait_for(client.order(uuid4()), 30)


@pytest.mark.parametrize("request_", [CREATION, ORDERS], ids=["creation", "reading"])
async def test_too_many_requests_are_waited_out(
    polar_client: Polar, polar_standin: PolarStandIn, request_: tuple[str, str]
) -> None:
    polar_standin.faults.add(Fault(*request_, status=429, retry_after="1"))
    began = asyncio.get_running_loop().time()
    if request_ == CREATION:
        await polar_client.create_checkout(a_checkout())
    else:
        assert [order async for order in polar_client.orders()] == []
    assert asyncio.get_running_loop().time() - began >= 1
    assert asked(polar_standin, *request_) == 2
    assert len(polar_standin.market.tables["checkouts"]) == (1 if request_ == CREATION else 0)


async def test_a_limit_is_waited_out_as_often_as_it_comes(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    polar_standin.faults.add(Fault(*ORDERS, status=429, retry_after="0", times=7))
    assert [order async for order in polar_client.orders()] == []
    assert asked(polar_standin, *ORDERS) == 8


@pytest.mark.parametrize("retry_after", ["3600", "Wed, 01 Jan 2200 00:00:00 GMT"])
async def test_a_wait_beyond_patience_is_told_instead(
    polar_client: Polar, polar_standin: PolarStandIn, retry_after: str
) -> None:
    polar_standin.faults.add(Fault(*ORDERS, status=429, retry_after=retry_after))
    with pytest.raises(PolarRateLimitedError) as refusal:
        [_ async for _ in polar_client.orders()]
    assert refusal.value.retry_after >= 3600
    assert refusal.value.status == 503
    assert int(refusal.value.headers["Retry-After"]) >= 3600
    assert asked(polar_standin, *ORDERS) == 1


@pytest.mark.parametrize(
    "retry_after",
    ["", "soon", "-5", "9" * 400, "Wed, 21 Oct 2015 07:28:00 GMT", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"],
)
async def test_a_retry_after_that_says_nothing_still_ends_well(
    polar_client: Polar, polar_standin: PolarStandIn, retry_after: str
) -> None:
    polar_standin.faults.add(Fault(*ORDERS, status=429, retry_after=retry_after))
    assert [order async for order in polar_client.orders()] == []
    assert asked(polar_standin, *ORDERS) == 2


async def test_a_server_that_is_not_there_was_surely_not_reached() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        token = SecretStr("polar_oat_test")
        settings = Settings(polar_url=f"http://127.0.0.1:{nobody.getsockname()[1]}", polar_access_token=token)
        async with Polar.from_settings(settings, pause_s=0.005) as client:
            with pytest.raises(PolarUnavailableError, match="cannot be reached") as failure:
                await client.create_checkout(a_checkout())
    assert not failure.value.uncertain


async def test_a_creation_is_repeated_where_it_was_surely_not_received(polar_settings: Settings) -> None:
    """The server comes up between two attempts."""
    port = free_port()
    settings = polar_settings.model_copy(update={"polar_url": f"http://127.0.0.1:{port}"})
    token = settings.polar_access_token
    assert token is not None
    async with Polar.from_settings(settings, pause_s=2) as client:
        creating = asyncio.create_task(client.create_checkout(a_checkout()))
        await asyncio.sleep(0.1)
        standin = PolarStandIn(token=token.get_secret_value(), port=port)
        standin.add_product("Starter", 999, id_=str(PACK))
        async with standin:
            assert (await creating).product_id == PACK
            assert len(standin.market.tables["checkouts"]) == 1


async def test_a_connection_that_breaks_leaves_a_creation_in_doubt() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received.append(1)
        writer.close()

    received: list[int] = []
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(polar_url=f"http://127.0.0.1:{port}", polar_access_token=SecretStr("polar_oat_test"))
    async with server, Polar.from_settings(settings, pause_s=0.005) as client:
        with pytest.raises(PolarUnavailableError, match="connection broke") as failure:
            await client.create_checkout(a_checkout())
        assert failure.value.uncertain
        assert len(received) == 1
        with pytest.raises(PolarUnavailableError) as failure:
            await client.order(uuid4())
        assert not failure.value.uncertain
        assert len(received) == 5


async def test_a_token_that_is_not_taken_says_where_to_look(polar_settings: Settings) -> None:
    settings = polar_settings.model_copy(update={"polar_access_token": SecretStr("polar_oat_wrong")})
    async with Polar.from_settings(settings) as client:
        with pytest.raises(PolarUnauthorizedError) as refusal:
            await client.products()
    assert "OCTAVIA_POLAR_ACCESS_TOKEN" in refusal.value.message
    assert "OCTAVIA_POLAR_SERVER" in refusal.value.message
    assert "polar_oat" not in refusal.value.message


async def test_a_scope_that_is_missing_is_told_from_a_wrong_token(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    polar_standin.scopes.discard("disputes:read")
    with pytest.raises(PolarScopeError, match="lacks the scope to list disputes"):
        [_ async for _ in polar_client.disputes()]


def test_without_a_token_billing_does_not_begin() -> None:
    with pytest.raises(PolarNotConfiguredError, match="OCTAVIA_POLAR_ACCESS_TOKEN"):
        Polar.from_settings(Settings(billing=True))


async def test_without_a_token_and_without_billing_only_asking_fails() -> None:
    async with Polar.from_settings(Settings()) as client:
        with pytest.raises(PolarNotConfiguredError):
            await client.products()


@pytest.mark.parametrize(
    ("server", "url"), [("sandbox", "https://sandbox-api.polar.sh"), ("production", "https://api.polar.sh")]
)
def test_one_setting_chooses_the_server(server: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTAVIA_POLAR_SERVER", server)
    settings = Settings(billing=True, polar_access_token=SecretStr("polar_oat_test"))
    assert str(Polar.from_settings(settings)._http._client.base_url).rstrip("/") == url


async def test_a_version_that_polar_does_not_know_is_told_from_a_missing_thing(
    polar_settings: Settings, polar_client: Polar
) -> None:
    settings = polar_settings.model_copy(update={"polar_version": "2031-01"})
    async with Polar.from_settings(settings) as client:
        with pytest.raises(PolarAnswerError, match="OCTAVIA_POLAR_VERSION"):
            await client.order(uuid4())
    with pytest.raises(PolarNotFoundError, match="it knows nothing of that id"):
        await polar_client.order(uuid4())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>", "not JSON"),
        ('"text"', "the answer"),
        ("{}", "items, pagination"),
        ('{"items": [{"id": 7}], "pagination": {"max_page": 1}}', "created_at"),
        ("", "the answer"),
    ],
)
async def test_an_answer_that_is_none_of_polars_is_said_without_its_contents(
    polar_client: Polar, polar_standin: PolarStandIn, body: str, said: str
) -> None:
    polar_standin.faults.add(Fault(*ORDERS, status=200, body=body))
    with pytest.raises(PolarAnswerError, match=said):
        [_ async for _ in polar_client.orders()]


async def test_a_redirection_is_not_followed(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    polar_standin.faults.add(Fault(*ORDERS, status=307))
    with pytest.raises(PolarAnswerError, match="another address"):
        [_ async for _ in polar_client.orders()]


async def test_what_cannot_be_read_in_a_list_is_left_to_who_asks_for_that(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    made = [(await bought(polar_client, polar_standin))[1] for _ in range(3)]
    polar_standin.market.get("orders", str(made[1])).pop("net_amount")
    left: list[Unreadable] = []
    assert [order.id async for order in polar_client.orders(leave=left.append)] == [made[2], made[0]]
    assert [(each.id, each.order_id) for each in left] == [(made[1], None)]
    assert "net_amount" in left[0].reason
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert [order async for order in polar_client.orders(since=soon, leave=left.append)] == []
    assert len(left) == 1, "what is older is not asked for, readable or not"
    with pytest.raises(PolarAnswerError, match="net_amount"):
        [_ async for _ in polar_client.orders()]


async def test_a_checkout_is_found_beside_one_that_cannot_be_read(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    new = a_checkout()
    made = await polar_client.create_checkout(new)
    other = await polar_client.create_checkout(a_checkout())
    polar_standin.market.get("checkouts", str(other.id)).pop("expires_at")
    found = await polar_client.find_checkout(new.user_id, new.purchase_id)
    assert found is not None
    assert found.id == made.id


async def test_subscriptions_are_listed_by_when_they_were_started(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    ids = []
    for _ in range(3):
        _, order_id = await bought(polar_client, polar_standin, PLAN)
        ids.append((await polar_client.order(order_id)).subscription_id)
    day = timedelta(days=1)
    now = datetime.now(UTC)
    for number, id_ in enumerate(ids):
        started = None if number == 2 else (now - (2 - number) * day).isoformat()
        polar_standin.market.get("subscriptions", str(id_))["started_at"] = started
    assert [each.id async for each in polar_client.subscriptions()] == ids[::-1]
    assert [each.id async for each in polar_client.subscriptions(since=now - 1.5 * day)] == ids[:0:-1]


async def test_a_refund_and_a_dispute_are_shown_by_their_ids(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    refunds = [polar_standin.refund(str(order_id), amount) for amount in (100, 200)]
    assert (await polar_client.one_refund(UUID(refunds[0]["id"]))).amount == 100
    dispute = polar_standin.dispute(str(order_id), "lost", 400)
    assert (await polar_client.dispute(UUID(dispute["id"]))).amount == 400
    for ask in (polar_client.one_refund, polar_client.dispute):
        with pytest.raises(PolarNotFoundError):
            await ask(uuid4())


async def test_unknown_keys_and_values_are_taken(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    order = polar_standin.market.get("orders", str(order_id))
    order |= {"status": "half_paid", "billing_reason": "whim", "novelty": {"deep": 1}}
    read = await polar_client.order(order_id)
    assert (read.status, read.billing_reason, read.net_amount) == ("half_paid", "whim", 999)


async def test_orders_come_newest_first_over_all_pages(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    checkouts = [await polar_client.create_checkout(a_checkout()) for _ in range(105)]
    made = [polar_standin.pay(str(checkout.id), email="ada@example.com")["id"] for checkout in checkouts]
    read = [str(order.id) async for order in polar_client.orders()]
    assert read == list(reversed(made))
    assert asked(polar_standin, *ORDERS) == 2


async def test_an_order_made_while_pages_are_read_gives_none_twice(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    for _ in range(101):
        checkout = await polar_client.create_checkout(a_checkout())
        polar_standin.pay(str(checkout.id))
    late = await polar_client.create_checkout(a_checkout())
    read: list[UUID] = []
    async for order in polar_client.orders():
        if not read:
            polar_standin.pay(str(late.id))
        read.append(order.id)
    assert len(read) == len(set(read)) == 101


async def test_orders_before_a_time_are_left_out(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    await bought(polar_client, polar_standin)
    polar_standin.advance(hours=1)
    _, late = await bought(polar_client, polar_standin)
    since = datetime.now(UTC) + timedelta(minutes=30)
    assert [order.id async for order in polar_client.orders(since=since)] == [late]


async def test_orders_of_a_checkout(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    new, order_id = await bought(polar_client, polar_standin)
    await bought(polar_client, polar_standin)
    order = await polar_client.order(order_id)
    assert order.checkout_id is not None
    found = [each async for each in polar_client.orders(checkout_id=order.checkout_id)]
    assert [each.id for each in found] == [order_id]
    assert found[0].metadata["purchase_id"] == str(new.purchase_id)
    assert found[0].paid


async def refund(client: Polar, order_id: UUID, amount: int, request_id: UUID) -> UUID:
    made = await client.refund(
        order_id, amount, reason="customer_request", comment="half unused", request_id=request_id
    )
    assert (made.amount, made.order_id) == (amount, order_id)
    return made.id


async def test_a_refund_gives_back_its_share_of_the_tax(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    checkout = await polar_client.create_checkout(a_checkout())
    order_id = UUID(polar_standin.pay(str(checkout.id), tax=Tax(19))["id"])
    made = await polar_client.refund(order_id, 500, reason="other", comment=None, request_id=uuid4())
    assert (made.amount, made.tax_amount, made.status) == (500, 95, "succeeded")
    assert (await polar_client.order(order_id)).refunded_amount == 500
    assert [each.id async for each in polar_client.refunds(order_id=order_id)] == [made.id]
    assert [each.id async for each in polar_client.refunds(order_id=uuid4())] == []


async def test_one_request_makes_one_refund_however_often_it_is_asked_for(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    request_id = uuid4()
    first = await refund(polar_client, order_id, 300, request_id)
    assert await refund(polar_client, order_id, 300, request_id) == first
    assert await refund(polar_client, order_id, 300, uuid4()) != first
    assert (await polar_client.order(order_id)).refunded_amount == 600


async def test_a_refund_that_was_made_without_an_answer_is_found(
    polar_settings: Settings, polar_standin: PolarStandIn
) -> None:
    settings = polar_settings.model_copy(update={"polar_timeout_s": 2})
    async with Polar.from_settings(settings, pause_s=0.005) as client:
        _, order_id = await bought(client, polar_standin)
        polar_standin.faults.timeout_after_success("POST", "/v1/refunds/")
        await refund(client, order_id, 300, uuid4())
        assert (await client.order(order_id)).refunded_amount == 300
    assert asked(polar_standin, "POST", "/v1/refunds/") == 1


async def test_a_refund_in_doubt_is_told_and_safe_to_ask_for_again(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    polar_standin.faults.add(Fault("POST", "/v1/refunds/", status=500))
    request_id = uuid4()
    with pytest.raises(PolarUnavailableError, match="makes no second one") as failure:
        await refund(polar_client, order_id, 300, request_id)
    assert failure.value.uncertain
    await refund(polar_client, order_id, 300, request_id)
    assert (await polar_client.order(order_id)).refunded_amount == 300


async def test_a_refund_is_not_made_where_earlier_ones_cannot_be_looked_at(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    polar_standin.faults.add(Fault("GET", "/v1/refunds/", status=500, times=99))
    with pytest.raises(PolarUnavailableError):
        await refund(polar_client, order_id, 300, uuid4())
    assert asked(polar_standin, "POST", "/v1/refunds/") == 0


async def test_more_than_is_left_is_refused(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    with pytest.raises(PolarRefusedError, match="exceeds") as refusal:
        await refund(polar_client, order_id, 1000, uuid4())
    assert refusal.value.fields == ("amount",)
    await refund(polar_client, order_id, 999, uuid4())
    with pytest.raises(PolarRefusedError) as refusal:
        await refund(polar_client, order_id, 1, uuid4())
    assert (refusal.value.reason, refusal.value.polar_status) == ("RefundedAlready", 403)


async def test_disputes_are_listed(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    polar_standin.dispute(str(order_id), "lost", 400)
    disputes = [each async for each in polar_client.disputes()]
    assert [(each.order_id, each.status, each.amount) for each in disputes] == [(order_id, "lost", 400)]


async def test_the_portal_opens_for_who_has_bought(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    new, _ = await bought(polar_client, polar_standin)
    url = await polar_client.portal(new.user_id, "https://octavia.example/dashboard")
    assert url.startswith(f"{polar_standin.url}/portal?customer_session_token=polar_cst_")
    with pytest.raises(PolarNoCustomerError, match="nothing to manage yet") as refusal:
        await polar_client.portal(uuid4(), "https://octavia.example/dashboard")
    assert (refusal.value.status, refusal.value.code) == (404, "no_purchases_yet")


async def test_an_invoice_is_asked_for_and_comes(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    assert await polar_client.invoice(order_id) is None
    deadline = asyncio.get_running_loop().time() + 5
    while (url := await polar_client.invoice(order_id)) is None:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)
    assert url == f"{polar_standin.url}/invoices/{order_id}"


async def test_an_invoice_without_name_and_address_is_refused_in_polars_words(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    _, order_id = await bought(polar_client, polar_standin)
    polar_standin.market.get("orders", str(order_id))["billing_address"] = None
    with pytest.raises(PolarRefusedError, match="name and address are required") as refusal:
        await polar_client.invoice(order_id)
    assert refusal.value.reason == "MissingInvoiceBillingDetails"
    with pytest.raises(PolarNotFoundError):
        await polar_client.invoice(uuid4())


async def test_a_subscription_is_cancelled_kept_changed_and_ended(
    polar_client: Polar, polar_standin: PolarStandIn
) -> None:
    large = polar_standin.add_product("Large", 4900, interval="month")["id"]
    _, order_id = await bought(polar_client, polar_standin, PLAN)
    subscription_id = (await polar_client.order(order_id)).subscription_id
    assert subscription_id is not None
    assert (await polar_client.subscription(subscription_id)).status == "active"
    assert (await polar_client.cancel(subscription_id)).cancel_at_period_end
    with pytest.raises(PolarRefusedError) as refusal:
        await polar_client.cancel(subscription_id)
    assert refusal.value.reason == "AlreadyCanceledSubscription"
    assert not (await polar_client.resume(subscription_id)).cancel_at_period_end
    changed = await polar_client.change_plan(subscription_id, UUID(large))
    assert changed.product_id == PLAN, "a change takes effect with the next period"
    assert len(polar_standin.market.tables["orders"]) == 1, "nothing is charged for it"
    assert str(polar_standin.renew(str(subscription_id))["product_id"]) == large
    assert (await polar_client.revoke(subscription_id)).status == "canceled"
    with pytest.raises(PolarRefusedError, match="not active"):
        await polar_client.change_plan(subscription_id, PLAN)


async def test_a_change_of_plan_without_an_answer_says_to_look_first(
    polar_settings: Settings, polar_standin: PolarStandIn
) -> None:
    settings = polar_settings.model_copy(update={"polar_timeout_s": 2})
    async with Polar.from_settings(settings, pause_s=0.005) as client:
        _, order_id = await bought(client, polar_standin, PLAN)
        subscription_id = (await client.order(order_id)).subscription_id
        assert subscription_id is not None
        path = f"/v1/subscriptions/{subscription_id}"
        polar_standin.faults.timeout_after_success("PATCH", path)
        with pytest.raises(PolarUnavailableError, match="look before you try again"):
            await client.cancel(subscription_id)
        assert asked(polar_standin, "PATCH", path) == 1


async def test_all_products_are_listed(polar_client: Polar, polar_standin: PolarStandIn) -> None:
    for number in range(101):
        polar_standin.add_product(f"Product {number}", 100, archived=number == 0)
    products = await polar_client.products()
    assert len(products) == 103
    assert [each.name for each in products if each.is_archived] == ["Product 0"]
    assert {each.id for each in products} >= {PACK, PLAN}


@pytest.mark.parametrize(
    "secret",
    [
        "polar_oat_1a2B3c",
        "polar_c_abc123",
        "polar_cst_abc",
        "whsec_c2VjcmV0",
        "polar_whs_abc",
        "https://sandbox.polar.sh/checkout/polar_c_abc",
        "ada@example.com",
        "“ada+credits@example.com”",
    ],
)
def test_what_polar_says_is_repeated_without_secrets_and_addresses(secret: str) -> None:
    told = without_secrets(f"Value ({secret}) is not\n valid")
    assert "abc" not in told
    assert "ada" not in told
    assert secret.strip("“”") not in told
    assert told.startswith("Value (")
    assert told.endswith("valid")


async def test_neither_errors_nor_logs_hold_secrets_or_addresses(
    polar_settings: Settings,
    polar_standin: PolarStandIn,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG, "orchestrator")
    told: list[str] = []
    async with Polar.from_settings(polar_settings, pause_s=0.005, patience_s=1) as client:
        checkout = await client.create_checkout(a_checkout())
        made = polar_standin.checkout(str(checkout.id))
        leak = f"{polar_standin.token} {made['url']} {made['client_secret']} ada@example.com"
        for status in (400, 401, 403, 404, 409, 422, 429, 500):
            body = {"error": "Oops", "detail": leak}
            polar_standin.faults.add(Fault(*CREATION, status=status, retry_after="9", body=body))
            with pytest.raises(PolarError) as failure:
                await client.create_checkout(a_checkout())
            told += [str(failure.value), repr(failure.value), failure.value.message, str(failure.value.detail)]
    output = capsys.readouterr()
    everything = " ".join([*told, caplog.text, output.out, output.err])
    for secret in (polar_standin.token, made["url"], made["client_secret"], "ada@example.com"):
        assert secret not in everything
