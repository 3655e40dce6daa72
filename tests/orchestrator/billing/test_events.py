"""What events about checkouts, subscriptions and customers do to our copies, and what becomes of those that fail."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts import deletion, export
from orchestrator.accounts.models import User
from orchestrator.billing import commands, events, inbox, wire
from orchestrator.billing.events import BodyGoneError, UnreadableEventError
from orchestrator.billing.models import ForgottenEmail, PolarEvent, PolarSubscription
from orchestrator.errors import NotFoundError
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.fixtures_control_plane import MakeUser, QueueStandIn
from tests.orchestrator.billing.conftest import Books, Buy
from tests.orchestrator.billing.payloads import (
    SMALL_PLAN,
    at,
    checkout,
    event,
    order,
    refunded,
    subscription,
)

pytestmark = pytest.mark.anyio

Deliver = Callable[[str, dict[str, Any]], Awaitable[str]]


async def test_a_checkout_whose_making_was_never_answered_is_remembered(books: Books, buy: Buy) -> None:
    purchase = await buy(checkout_id=None, checkout_amount=None, checkout_currency=None, expires_at=None)
    made = checkout(purchase)
    assert (await books.hear("checkout.created", made)).outcome == "handled"
    known = await books.purchase(purchase)
    assert str(known.checkout_id) == made["id"]
    assert (known.checkout_amount, known.checkout_currency, known.expires_at) == (999, "usd", at(1440))


async def test_the_first_checkout_and_its_first_price_stay(books: Books, buy: Buy) -> None:
    purchase = await buy()
    assert (await books.hear("checkout.updated", checkout(purchase, amount=880, currency="eur"))).outcome == "handled"
    assert (await books.hear("checkout.created", checkout(purchase, id=str(uuid4())))).outcome == "parked"
    known = await books.purchase(purchase)
    assert known.checkout_id == purchase.checkout_id
    assert (known.checkout_amount, known.checkout_currency) == (999, "usd")


@pytest.mark.parametrize("status", ["confirmed", "succeeded"])
async def test_a_checkout_that_says_it_is_paid_grants_nothing(books: Books, buy: Buy, user: User, status: str) -> None:
    purchase = await buy()
    await books.hear("checkout.updated", checkout(purchase, status=status))
    assert await books.available(user.id) == 0
    assert (await books.purchase(purchase)).status == "pending"


async def test_a_checkout_that_expired_ends_its_purchase_unless_it_was_paid(books: Books, buy: Buy, user: User) -> None:
    unpaid, paid = await buy(), await buy()
    await books.hear("order.paid", order(paid))
    for purchase in (unpaid, paid):
        await books.hear("checkout.expired", checkout(purchase, status="expired"))
    assert (await books.purchase(unpaid)).status == "expired"
    assert (await books.purchase(paid)).status == "paid"
    await books.hear("order.paid", order(unpaid))
    assert (await books.purchase(unpaid)).status == "paid", "money that comes late is money"
    assert await books.available(user.id) == 200


async def test_a_checkout_with_another_users_name_is_parked(books: Books, buy: Buy, make_user: MakeUser) -> None:
    stranger = await make_user("willoughby@example.org")
    purchase = await buy(checkout_id=None)
    forged = checkout(purchase, external_customer_id=str(stranger.id), status="expired")
    assert (await books.hear("checkout.expired", forged)).outcome == "parked"
    assert (await books.purchase(purchase)).status == "pending"


async def mirror(books: Books, first: dict[str, Any]) -> PolarSubscription:
    async with books.make() as session:
        return await session.get_one(PolarSubscription, UUID(first["subscription_id"]))


async def test_the_newest_copy_of_a_subscription_is_kept_whatever_comes_when(
    books: Books, buy: Buy, user: User
) -> None:
    first = order(await buy(SMALL_PLAN))
    ending = subscription(first, 20, cancel_at_period_end=True, ends_at=at(900).isoformat())
    sequence: list[tuple[str, dict[str, Any], float]] = [
        ("subscription.canceled", ending, 20),
        ("subscription.created", subscription(first, 0, status="incomplete"), 0),
        ("subscription.active", subscription(first, 1), 1),
        ("subscription.canceled", ending, 20),
    ]
    for type_, copy, minutes in sequence:
        assert (await books.hear(type_, copy, minutes)).outcome == "handled"
        row = await mirror(books, first)
        assert (row.user_id, row.status, row.cancel_at_period_end, row.ends_at) == (user.id, "active", True, at(900))
    await books.hear("subscription.revoked", subscription(first, 30, status="canceled"), 30)
    assert (await mirror(books, first)).status == "canceled"


async def test_a_subscription_of_nobody_is_kept_without_an_owner(books: Books, buy: Buy) -> None:
    first = order(await buy(SMALL_PLAN), metadata={}, customer=None, checkout_id=str(uuid4()))
    assert (await books.hear("subscription.active", subscription(first))).outcome == "parked"
    assert (await mirror(books, first)).user_id is None


def state(first: dict[str, Any], *active: dict[str, Any]) -> dict[str, Any]:
    """The state of an order's customer, with these subscriptions."""
    brief = [{key: value for key, value in each.items() if key not in ("customer", "customer_id")} for each in active]
    customer = {"id": first["customer_id"], "external_id": first["customer"]["external_id"], "email": "x@example.org"}
    return {**customer, "active_subscriptions": brief, "granted_benefits": [], "active_meters": []}


async def test_a_customers_state_repairs_what_was_missed(books: Books, buy: Buy, user: User) -> None:
    first = order(await buy(SMALL_PLAN))
    current = subscription(first, 1)
    assert (await books.hear("customer.state_changed", state(first, current), 2)).outcome == "handled"
    row = await mirror(books, first)
    assert (row.user_id, row.status) == (user.id, "active")
    await books.hear("customer.state_changed", state(first), 40)
    assert (await mirror(books, first)).status == "canceled"
    await books.hear("customer.state_changed", state(first, current), 2)
    assert (await mirror(books, first)).status == "canceled", "a snapshot of before"


@pytest.mark.parametrize(
    "data",
    [{}, {"id": "1"}, {"id": str(uuid4()), "created_at": "2026-10-01T10:00:00Z", "status": "paid"}],
    ids=["empty", "no id", "no amounts"],
)
@pytest.mark.parametrize("type_", ["order.paid", "refund.updated", "checkout.updated", "subscription.active"])
async def test_an_event_without_its_fields_is_unreadable_and_says_which(
    books: Books, type_: str, data: dict[str, Any]
) -> None:
    with pytest.raises(UnreadableEventError, match=r"created_at|subtotal_amount|order_id|url|product_id"):
        await books.hear(type_, data)


async def keep(books: Books, body: bytes, type_: str, outcome: str | None = None, **values: Any) -> str:
    webhook_id = str(uuid4())
    handled_at = values.pop("handled_at", datetime.now(UTC) if outcome else None)
    row = PolarEvent(
        webhook_id=webhook_id,
        type=type_,
        timestamp=at(0),
        body=body.decode(),
        outcome=outcome,
        handled_at=handled_at,
        **values,
    )
    async with books.make.begin() as session:
        session.add(row)
    return webhook_id


async def test_handling_is_done_once_and_a_failed_event_can_be_handled_again(
    books: Books, buy: Buy, user: User
) -> None:
    webhook_id = await keep(books, event("order.paid", order(await buy())), "order.paid", "failed", reason="a bug")
    assert (await books.handle(webhook_id)).outcome == "handled"
    assert (await books.handle(webhook_id)).outcome == "handled"
    assert await books.available(user.id) == 100
    async with books.make.begin() as session:
        await events.note_failure(session, webhook_id, "too late")
    assert (await books.event(webhook_id)).outcome == "handled"


async def test_an_event_that_is_gone_or_empty_cannot_be_handled(books: Books) -> None:
    with pytest.raises(NotFoundError):
        await books.handle("unknown")
    empty = await keep(books, b"", "order.paid", "failed")
    with pytest.raises(BodyGoneError):
        await books.handle(empty)


async def test_replay_handles_what_failed_and_leaves_the_rest(
    books: Books, buy: Buy, user: User, app_settings: Settings
) -> None:
    good = await keep(books, event("order.paid", order(await buy())), "order.paid", "failed", reason="a bug")
    bad = await keep(books, event("order.paid", {"id": "1"}), "order.paid", "failed", reason="a bug")
    await keep(books, event("order.paid", order(await buy())), "order.paid", "parked")
    told = {each.webhook_id: each async for each in commands.replay(app_settings)}
    assert set(told) == {good, bad}
    assert (told[good].outcome, told[bad].outcome) == ("handled", "failed")
    assert "created_at" in ((await books.event(bad)).reason or "")
    assert await books.available(user.id) == 100


async def test_an_event_that_no_workflow_looks_after_is_noted_as_failed(books: Books, engine: AsyncEngine) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=2)
    lost = await keep(books, event("order.paid", {}), "order.paid", received_at=long_ago)
    fresh = await keep(books, event("order.paid", {}), "order.paid")
    await inbox.give_up_lost(engine)
    assert ((await books.event(lost)).outcome, (await books.event(fresh)).outcome) == ("failed", None)


async def test_bodies_are_forgotten_90_days_after_they_were_handled(books: Books) -> None:
    now, body = datetime.now(UTC), event("order.paid", {"name": "Ada"})
    old = await keep(books, body, "order.paid", "handled", handled_at=now - timedelta(days=91))
    recent = await keep(books, body, "order.paid", "handled", handled_at=now - timedelta(days=89))
    waiting = await keep(books, body, "order.paid", received_at=now - timedelta(days=200))
    async with books.make.begin() as session:
        await inbox.empty_old(session)
    assert [bool((await books.event(each)).body) for each in (old, recent, waiting)] == [False, True, True]


@pytest.fixture
def deliver(books: Books, queue: QueueStandIn) -> Deliver:
    """Takes an event in as the API does; its id."""

    async def deliver(type_: str, data: dict[str, Any]) -> str:
        webhook_id, body = str(uuid4()), event(type_, data)
        delivery = wire.Delivery(webhook_id, wire.Event.model_validate_json(body), body.decode())
        async with books.make.begin() as session:
            assert await inbox.keep(session, queue.enqueue_polar_events, [delivery]) == [True]
        return webhook_id

    return deliver


async def close_and_purge(books: Books, storage: Storage, user: User) -> None:
    async with books.make.begin() as session:
        closed_at = datetime.now(UTC) - timedelta(days=31)
        this = sa.update(User).where(User.id == user.id)
        await session.execute(this.values(status="deleted", deleted_at=closed_at))
    assert await deletion.purge(books.make, storage) == 1


async def with_bodies(books: Books, *webhook_ids: str) -> list[bool]:
    return [bool((await books.event(each)).body) for each in webhook_ids]


async def sweep(books: Books) -> None:
    async with books.make.begin() as session:
        await inbox.empty_old(session)


def anonymous(data: dict[str, Any], email: str) -> dict[str, Any]:
    """A copy that names nobody of ours but by an address, somewhere in it."""
    customer = {"id": str(uuid4()), "external_id": None, "email": email}
    return {**data, "metadata": {}, "checkout_id": str(uuid4()), "customer": customer}


async def test_of_a_purged_account_bodies_are_forgotten_and_the_books_stay(
    books: Books, buy: Buy, user: User, make_user: MakeUser, storage: Storage, deliver: Deliver
) -> None:
    stranger = await make_user("willoughby@example.org")
    mine, theirs = await buy(), await buy(user_id=stranger.id)
    at_polar = {"customer": {"id": str(uuid4()), "external_id": str(user.id), "email": "other.address@example.org"}}
    others = {"customer": {"id": str(uuid4()), "external_id": str(stranger.id), "email": stranger.email}}
    kept = [
        await deliver("order.paid", order(mine, **at_polar)),
        await deliver("order.updated", anonymous(order(mine), user.email.upper())),
        await deliver("order.updated", anonymous(order(mine), "other.address@example.org")),
        await deliver("order.paid", order(theirs, **others)),
        await deliver("order.updated", anonymous(order(theirs), stranger.email)),
    ]
    await books.work()
    waiting = await deliver("order.updated", order(mine))
    before_that = await keep(books, event("order.updated", order(mine)), "order.updated", "handled")
    await close_and_purge(books, storage, user)
    await sweep(books)
    assert await with_bodies(books, *kept) == [False, False, False, True, True]
    assert await with_bodies(books, waiting, before_that) == [True, False], "what is not handled yet is needed"
    assert (await books.event(kept[0])).email_hashes == []
    await books.work()
    await sweep(books)
    assert await with_bodies(books, waiting) == [False]
    assert (await books.purchase(mine)).status == "paid"
    assert await books.available(user.id) == 100


async def test_what_comes_after_the_purge_is_forgotten_once_it_is_handled(
    books: Books, buy: Buy, user: User, make_user: MakeUser, storage: Storage, deliver: Deliver
) -> None:
    address, stranger = user.email, await make_user("willoughby@example.org")
    first = order(await buy(SMALL_PLAN))
    nobodys: dict[str, Any] = {"customer": None, "metadata": {}}
    await close_and_purge(books, storage, user)
    late = [
        await deliver("order.refunded", refunded(first, 950, 5) | nobodys | {"metadata": {"user_id": str(user.id)}}),
        await deliver("subscription.revoked", subscription(first) | nobodys | {"customer": first["customer"]}),
        await deliver("checkout.expired", checkout(await buy(), metadata={}, status="expired")),
        await deliver("order.updated", anonymous(first, f" {address.title()}")),
        await deliver("checkout.updated", checkout(await buy(), **nobody(), customer_email=address)),
        await deliver("customer.state_changed", {"id": str(uuid4()), "external_id": None, "email": address}),
    ]
    others = await deliver("order.updated", anonymous(order(await buy(user_id=stranger.id)), stranger.email))
    assert all(await with_bodies(books, *late))
    await books.work()
    await sweep(books)
    assert await with_bodies(books, *late) == [False] * len(late)
    assert await with_bodies(books, others) == [True]


def nobody() -> dict[str, Any]:
    return {"metadata": {}, "external_customer_id": None, "id": str(uuid4())}


async def test_who_signs_up_again_with_a_forgotten_address_is_somebody_new(
    books: Books, buy: Buy, user: User, make_user: MakeUser, storage: Storage, deliver: Deliver
) -> None:
    address = user.email
    await close_and_purge(books, storage, user)
    again = await make_user(address)
    customer = {"customer": {"id": str(uuid4()), "external_id": str(again.id), "email": address}}
    theirs = await deliver("order.paid", order(await buy(user_id=again.id), **customer))
    await books.work()
    await sweep(books)
    assert await with_bodies(books, theirs) == [True]
    assert await books.available(again.id) == 100


async def test_an_address_is_remembered_as_forgotten_for_as_long_as_polar_may_speak_of_it(
    books: Books, buy: Buy, user: User, storage: Storage, deliver: Deliver
) -> None:
    address = user.email
    await close_and_purge(books, storage, user)
    async with books.make.begin() as session:
        (known,) = (await session.scalars(sa.select(ForgottenEmail))).all()
        assert known.hash == hashlib.sha256(address.encode()).digest()
        known.forgotten_at = datetime.now(UTC) - timedelta(days=401)
    await sweep(books)
    assert await books.counted(ForgottenEmail) == 0


async def test_an_event_that_failed_is_forgotten_with_its_user_too(
    books: Books, user: User, storage: Storage, deliver: Deliver
) -> None:
    webhook_id = await deliver("order.paid", {"metadata": {"user_id": str(user.id)}})
    async with books.make.begin() as session:
        await events.note_failure(session, webhook_id, "a bug")
    await sweep(books)
    assert await with_bodies(books, webhook_id) == [True]
    await close_and_purge(books, storage, user)
    await sweep(books)
    assert await with_bodies(books, webhook_id) == [False]


async def test_what_a_user_bought_is_in_the_export_of_their_data(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy(SMALL_PLAN)
    first = order(purchase)
    await books.hear("order.paid", first)
    await books.hear("order.refunded", refunded(first, 950, 5))
    await books.hear("subscription.active", subscription(first))
    async with books.make() as session:
        document = await export.document(session, user.id)
    assert [each["id"] for each in document["purchases"]] == [purchase.id]
    assert [(each["granted"], each["taken_back"]) for each in document["orders"]] == [(300, 150)]
    assert [each["status"] for each in document["subscriptions"]] == ["active"]
