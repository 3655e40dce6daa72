"""What orders, refunds and disputes do to the credits of a buyer, in whatever order we hear of them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.accounts.models import User
from orchestrator.billing import commands, orders, wire
from orchestrator.billing.models import PolarRefund
from orchestrator.billing.orders import NothingSoldError, NotPaidError, NotParkedError, UnknownProductError
from orchestrator.credits import ledger
from orchestrator.credits.errors import InsufficientCreditsError
from orchestrator.credits.models import CreditEntry, CreditLot
from orchestrator.errors import NotFoundError
from orchestrator.settings import Settings
from tests.fixtures_control_plane import MakeUser
from tests.orchestrator.billing.conftest import Books, Buy
from tests.orchestrator.billing.payloads import (
    LARGE_PLAN,
    PASSING,
    SMALL_PLAN,
    STARTER,
    at,
    dispute,
    order,
    refund,
    refunded,
    renewal,
)

pytestmark = pytest.mark.anyio


async def kinds(books: Books, user_id: UUID) -> list[tuple[str, int]]:
    """The ledger's entries of a user, in order."""
    async with books.make() as session:
        query = sa.select(CreditEntry.kind, CreditEntry.amount).where(CreditEntry.user_id == user_id)
        return [(row.kind, row.amount) for row in await session.execute(query.order_by(CreditEntry.sequence))]


async def test_a_paid_order_brings_the_credits_of_its_purchase_once(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy()
    data = order(purchase)
    for type_ in ("order.created", "order.updated", "order.paid", "order.paid", "order.updated"):
        assert (await books.hear(type_, data)).outcome == "handled"
    assert await kinds(books, user.id) == [("purchase", 100)]
    assert (await books.order(data)).state == "granted"
    bought = await books.purchase(purchase)
    assert (bought.status, bought.paid_at) == ("paid", at(0))


async def test_before_order_paid_nothing_is_granted_whatever_the_copies_say(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy()
    data = order(purchase)
    await books.hear("order.created", data)
    await books.hear("order.updated", data)
    assert await books.available(user.id) == 0
    assert (await books.order(data)).state == "pending"
    assert (await books.purchase(purchase)).status == "pending"


async def test_an_order_paid_that_is_not_paid_grants_nothing(books: Books, buy: Buy, user: User) -> None:
    await books.hear("order.paid", order(await buy(), status="pending", paid=False))
    assert await books.available(user.id) == 0


async def test_the_credits_are_those_of_the_moment_of_buying(books: Books, buy: Buy, user: User) -> None:
    await books.hear("order.paid", order(await buy(credits=77)))
    assert await books.available(user.id) == 77


@pytest.mark.parametrize("days", [0, 40])
async def test_credits_of_an_offer_with_a_term_end_so_long_after_they_come(
    books: Books, buy: Buy, user: User, days: int
) -> None:
    """However late its event is handled."""
    began = datetime.now(UTC)
    await books.hear("order.paid", order(await buy(PASSING), created_at=at(-days * 1440).isoformat()))
    async with books.make() as session:
        (lot,) = await session.scalars(sa.select(CreditLot).where(CreditLot.user_id == user.id))
    assert lot.expires_at is not None
    assert began <= lot.expires_at - timedelta(days=30) <= datetime.now(UTC)
    assert await books.available(user.id) == 40


async def test_someone_elses_purchase_in_the_metadata_grants_nobody_anything(
    books: Books, buy: Buy, user: User, make_user: MakeUser
) -> None:
    stranger = await make_user("willoughby@example.org")
    mine, theirs = await buy(), await buy(user_id=stranger.id)
    forged = order(mine, metadata={"purchase_id": str(theirs.id), "user_id": str(stranger.id)})
    event = await books.hear("order.paid", forged)
    assert event.outcome == "parked"
    assert event.reason
    assert await books.counted(CreditEntry) == 0
    assert (await books.purchase(theirs)).status == (await books.purchase(mine)).status == "pending"


@pytest.mark.parametrize(
    "change",
    [
        {"product_id": "00000000-0000-4000-8000-000000000000"},
        {"product_id": None},
        {"amount": 1},
        {"billing_reason": "gift"},
        {"billing_reason": "subscription_cycle"},
    ],
    ids=str,
)
async def test_a_paid_order_that_is_not_what_was_bought_is_parked_and_its_purchase_says_so(
    books: Books, buy: Buy, change: dict[str, Any]
) -> None:
    purchase = await buy()
    data = order(purchase, **change)
    assert (await books.hear("order.paid", data)).outcome == "parked"
    row = await books.order(data)
    assert (row.state, row.user_id, row.purchase_id) == ("parked", purchase.user_id, purchase.id)
    assert await books.counted(CreditEntry) == 0
    expected = "parked" if data["billing_reason"] == "purchase" else "pending"
    assert (await books.purchase(purchase)).status == expected


async def test_metadata_may_be_missing_where_the_checkout_is_ours(books: Books, buy: Buy, user: User) -> None:
    await books.hear("order.paid", order(await buy(), metadata={}))
    assert await books.available(user.id) == 100


async def test_without_any_name_of_ours_a_paid_order_is_parked(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy(), metadata={}, checkout_id=str(uuid4()))
    event = await books.hear("order.paid", data)
    assert event.outcome == "parked"
    assert str(user.id) in (event.reason or "")
    assert await books.available(user.id) == 0


async def test_another_currency_grants_by_the_product(books: Books, buy: Buy, user: User) -> None:
    await books.hear("order.paid", order(await buy(), amount=149_000, currency="jpy"))
    assert await books.available(user.id) == 100


async def test_a_purchase_whose_checkout_was_never_answered_learns_it_from_its_order(
    books: Books, buy: Buy, user: User
) -> None:
    purchase, checkout_id = await buy(checkout_id=None, checkout_amount=None, checkout_currency=None), uuid4()
    await books.hear("order.paid", order(purchase, amount=999, checkout_id=str(checkout_id)))
    assert await books.available(user.id) == 100
    assert (await books.purchase(purchase)).checkout_id == checkout_id


async def test_a_second_order_of_one_purchase_is_parked(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy()
    await books.hear("order.paid", order(purchase))
    event = await books.hear("order.paid", order(purchase))
    assert event.outcome == "parked"
    assert await books.available(user.id) == 100
    assert (await books.purchase(purchase)).status == "paid"


async def test_of_two_orders_of_one_purchase_at_once_one_brings_credits(books: Books, buy: Buy, user: User) -> None:
    for _ in range(5):
        purchase = await buy()
        before = await books.available(user.id)
        await asyncio.gather(*(books.hear("order.paid", order(purchase)) for _ in range(3)))
        assert await books.available(user.id) == before + 100


async def test_many_events_of_one_order_at_once_grant_once(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy())
    half = refunded(data, 500, 5)
    deliveries = [("order.paid", data), ("order.updated", data), ("order.refunded", half), ("order.updated", half)] * 4
    await asyncio.gather(*(books.hear(type_, copy) for type_, copy in deliveries))
    assert await books.available(user.id) == 50
    assert [amount for kind, amount in await kinds(books, user.id) if kind == "purchase"] == [100]


async def test_a_refund_takes_back_its_share_and_the_rest_later(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy()
    data = order(purchase)
    await books.hear("order.paid", data)
    await books.hear("order.refunded", refunded(data, 250, 5))
    assert await books.available(user.id) == 75
    assert (await books.purchase(purchase)).status == "partially_refunded"
    await books.hear("order.refunded", refunded(data, 999, 10))
    assert await books.available(user.id) == 0
    assert (await books.purchase(purchase)).status == "refunded"
    assert await kinds(books, user.id) == [("purchase", 100), ("refund", -25), ("refund", -75)]


async def test_a_refund_that_failed_after_all_is_given_back(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy()
    data = order(purchase)
    await books.hear("order.paid", data)
    await books.hear("order.refunded", refunded(data, 999, 5))
    await books.hear("refund.updated", refund(data, 999, "failed", 7))
    await books.hear("order.updated", refunded(data, 0, 7))
    assert await books.available(user.id) == 100
    assert (await books.purchase(purchase)).status == "paid"


async def test_an_older_copy_undoes_nothing(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy())
    await books.hear("order.refunded", refunded(data, 999, 5))
    assert await books.available(user.id) == 0
    await books.hear("order.paid", data, minutes=30)
    assert await books.available(user.id) == 0
    assert await kinds(books, user.id) == [("purchase", 100), ("refund", -100)]


async def test_of_two_copies_changed_at_the_same_time_the_later_told_counts(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy())
    await books.hear("order.paid", data)
    await books.hear("order.refunded", refunded(data, 999, 5), minutes=6)
    await books.hear("order.updated", refunded(data, 0, 5), minutes=5)
    assert await books.available(user.id) == 0


async def test_a_refund_of_spent_credits_becomes_a_debt_that_the_next_purchase_pays(
    books: Books, buy: Buy, user: User
) -> None:
    data = order(await buy())
    await books.hear("order.paid", data)
    async with books.make.begin() as session:
        held = await ledger.hold(session, user.id, 70, key="job", reference="job:1")
        await ledger.capture(session, held.id)
    await books.hear("order.refunded", refunded(data, 999, 5))
    assert await books.available(user.id) == -70
    with pytest.raises(InsufficientCreditsError, match="credits"):
        async with books.make.begin() as session:
            await ledger.hold(session, user.id, 1, key="job2", reference="job:2")
    await books.hear("order.paid", order(await buy()))
    assert await books.available(user.id) == 30
    async with books.make.begin() as session:
        await ledger.hold(session, user.id, 30, key="job3", reference="job:3")


async def test_a_lost_dispute_takes_back_and_one_that_is_won_after_all_gives_back(
    books: Books, buy: Buy, user: User
) -> None:
    purchase = await buy()
    data = order(purchase)
    await books.hear("order.paid", data)
    case = dispute(data, 999, "under_review", 9)

    async def hear(status: str, minutes: float) -> None:
        copy = wire.Dispute.model_validate(case | {"status": status, "modified_at": at(minutes).isoformat()})
        async with books.make.begin() as session:
            await orders.take_dispute(session, copy, at=at(minutes))

    await hear("under_review", 9)
    assert await books.available(user.id) == 100
    await hear("lost", 10)
    assert await books.available(user.id) == 0
    assert (await books.purchase(purchase)).status == "refunded"
    await hear("under_review", 9)
    assert await books.available(user.id) == 0, "an older copy"
    await hear("won", 11)
    assert await books.available(user.id) == 100


async def test_a_dispute_and_a_refund_of_the_same_money_take_it_back_once(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy())
    await books.hear("order.paid", data)
    async with books.make.begin() as session:
        await orders.take_dispute(session, wire.Dispute.model_validate(dispute(data, 999)), at=at(9))
    await books.hear("order.refunded", refunded(data, 999, 12))
    assert await books.available(user.id) == 0


async def test_a_dispute_heard_of_before_its_order_counts_once_that_comes(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy())
    async with books.make.begin() as session:
        early = await orders.take_dispute(session, wire.Dispute.model_validate(dispute(data, 999)), at=at(9))
    assert early is None
    await books.hear("order.paid", data)
    assert await books.available(user.id) == 0


async def test_a_wholly_discounted_order_grants_and_one_of_nothing_does_not(books: Books, buy: Buy, user: User) -> None:
    await books.hear("order.paid", order(await buy(), net_amount=0, discount_amount=999))
    assert await books.available(user.id) == 100
    free = order(await buy(), amount=0)
    assert (await books.hear("order.paid", free)).outcome == "handled"
    assert await books.available(user.id) == 100
    assert (await books.order(free)).state == "nothing"


async def test_a_plan_brings_its_credits_with_each_paid_period(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy(SMALL_PLAN)
    first = order(purchase)
    await books.hear("order.paid", first)
    assert await books.available(user.id) == 300
    second = renewal(first, status="pending", paid=False)
    await books.hear("order.created", second)
    await books.hear("subscription.cycled", {"id": first["subscription_id"]} | _subscription(first))
    assert await books.available(user.id) == 300, "a period begun is not a period paid"
    await books.hear("order.paid", second | {"status": "paid", "paid": True, "modified_at": at(3).isoformat()})
    assert await books.available(user.id) == 600
    assert (await books.purchase(purchase)).status == "paid"


def _subscription(first: dict[str, Any]) -> dict[str, Any]:
    return {
        "created_at": at(0).isoformat(),
        "status": "active",
        "product_id": first["product_id"],
        "customer_id": first["customer_id"],
        "metadata": first["metadata"],
    }


async def test_a_trial_brings_nothing_and_its_first_paid_period_does(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy(SMALL_PLAN)
    trial = order(purchase, amount=0)
    await books.hear("order.paid", trial)
    assert await books.available(user.id) == 0
    assert (await books.purchase(purchase)).status == "paid"
    await books.hear("order.paid", renewal(trial, subtotal_amount=1900, net_amount=1900))
    assert await books.available(user.id) == 300


@pytest.mark.parametrize(("amount", "outcome"), [(3000, "parked"), (0, "handled"), (-1500, "parked")])
async def test_a_change_of_plan_brings_nothing_and_the_next_period_the_new_plans_credits(
    books: Books, buy: Buy, user: User, amount: int, outcome: str
) -> None:
    first = order(await buy(SMALL_PLAN))
    await books.hear("order.paid", first)
    larger: dict[str, Any] = {"product_id": str(LARGE_PLAN.product_id)}
    change = renewal(first, billing_reason="subscription_update", subtotal_amount=amount, net_amount=amount, **larger)
    assert (await books.hear("order.paid", change)).outcome == outcome
    assert await books.available(user.id) == 300
    await books.hear("order.paid", renewal(first, 2, subtotal_amount=4900, net_amount=4900, **larger))
    assert await books.available(user.id) == 1200


async def test_a_refund_of_one_period_leaves_the_others_and_the_purchase(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy(SMALL_PLAN)
    first = order(purchase)
    second = renewal(first)
    await books.hear("order.paid", first)
    await books.hear("order.paid", second)
    await books.hear("order.refunded", refunded(second, 1900, 50))
    assert await books.available(user.id) == 300
    assert (await books.purchase(purchase)).status == "paid"


async def test_a_refund_heard_of_before_its_order_is_kept(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy())
    early = await books.hear("refund.created", refund(data, 999))
    assert early.outcome == "parked"
    assert await books.counted(PolarRefund) == 1
    await books.hear("order.refunded", refunded(data, 999, 5))
    await books.hear("order.paid", data)
    assert await books.available(user.id) == 0


async def test_a_parked_order_is_granted_once_a_human_has_said_to_whom(books: Books, buy: Buy, user: User) -> None:
    data = order(await buy(), metadata={}, checkout_id=str(uuid4()), customer=None)
    await books.hear("order.paid", data)
    offers = (STARTER, SMALL_PLAN)
    async with books.make.begin() as session:
        applied = await orders.assign(session, UUID(data["id"]), user.id, offers)
    assert applied.change == await books.available(user.id) == 100
    with pytest.raises(NotParkedError):
        async with books.make.begin() as session:
            await orders.assign(session, UUID(data["id"]), user.id, offers)
    await books.hear("order.paid", data)
    assert await books.available(user.id) == 100
    await books.hear("order.refunded", refunded(data, 500, 5))
    assert await books.available(user.id) == 50, "its refunds are taken back as any order's"


async def test_what_cannot_be_assigned_says_why_and_stays_parked(books: Books, buy: Buy, user: User) -> None:
    nobodys: dict[str, Any] = {"metadata": {}, "checkout_id": str(uuid4()), "customer": None}
    unpaid, strange = order(await buy(), **nobodys), order(await buy(), **nobodys, product_id=str(uuid4()))
    await books.hear("order.updated", unpaid)
    await books.hear("order.paid", strange)
    for data, error in ((unpaid, NotPaidError), (strange, UnknownProductError)):
        with pytest.raises(error):
            async with books.make.begin() as session:
                await orders.assign(session, UUID(data["id"]), user.id, (STARTER,))
        assert (await books.order(data)).state == "parked"
    with pytest.raises(NotFoundError):
        async with books.make.begin() as session:
            await orders.assign(session, uuid4(), user.id, (STARTER,))
    assert await books.counted(CreditEntry) == 0


async def test_what_sold_no_credits_is_not_assigned_and_settled_it_is_parked_no_more(
    books: Books, buy: Buy, user: User, app_settings: Settings
) -> None:
    first = order(await buy(SMALL_PLAN))
    await books.hear("order.paid", first)
    change = renewal(first, billing_reason="subscription_update", net_amount=-1500, total_amount=-1785)
    await books.hear("order.paid", change)
    with pytest.raises(NothingSoldError, match="octavia billing settle"):
        async with books.make.begin() as session:
            await orders.assign(session, UUID(change["id"]), user.id, (SMALL_PLAN,))
    assert [each.id for each in await commands.parked(app_settings)] == [UUID(change["id"])]
    await commands.settle(app_settings, UUID(change["id"]))
    assert list(await commands.parked(app_settings)) == []
    await books.hear("order.updated", change | {"modified_at": at(30).isoformat()}, 30)
    row = await books.order(change)
    assert (row.state, row.reason) == ("nothing", orders.SETTLED)
    with pytest.raises(NotParkedError):
        await commands.settle(app_settings, UUID(change["id"]))
    assert await books.available(user.id) == 300


async def test_a_parked_order_whose_money_went_back_waits_for_nobody(
    books: Books, buy: Buy, user: User, app_settings: Settings
) -> None:
    purchase = await buy()
    data = order(purchase, amount=1)
    await books.hear("order.paid", data)
    await books.hear("order.updated", order(await buy(), amount=1, status="void", paid=False))
    assert [each.id for each in await commands.parked(app_settings)] == [UUID(data["id"])]
    await books.hear("order.refunded", refunded(data, 1, 5))
    assert list(await commands.parked(app_settings)) == []
    assert await books.available(user.id) == 0
    await commands.settle(app_settings, UUID(data["id"]))
    assert (await books.purchase(purchase)).status == "refunded"


async def test_a_parked_order_of_a_purchase_settles_that_when_it_is_assigned(
    books: Books, buy: Buy, user: User
) -> None:
    purchase = await buy()
    data = order(purchase, amount=1)
    await books.hear("order.paid", data)
    assert (await books.purchase(purchase)).status == "parked"
    async with books.make.begin() as session:
        await orders.assign(session, UUID(data["id"]), user.id, (STARTER,))
    assert (await books.purchase(purchase)).status == "paid"
    assert await books.available(user.id) == 100


async def test_a_second_order_may_be_assigned_too(books: Books, buy: Buy, user: User) -> None:
    purchase = await buy()
    second = order(purchase)
    await books.hear("order.paid", order(purchase))
    await books.hear("order.paid", second)
    async with books.make.begin() as session:
        await orders.assign(session, UUID(second["id"]), user.id, (STARTER,))
    assert await books.available(user.id) == 200


async def test_a_parked_order_is_looked_at_again_when_it_is_heard_of_again(books: Books, buy: Buy, user: User) -> None:
    first = order(await buy(SMALL_PLAN))
    await books.hear("order.paid", first)
    unknown = uuid4()
    cycle = renewal(first, product_id=str(unknown))
    assert (await books.hear("order.paid", cycle)).outcome == "parked"
    plans = (SMALL_PLAN, SMALL_PLAN.model_copy(update={"id": "later_plan", "product_id": unknown, "credits": 40}))
    async with books.make.begin() as session:
        read = wire.Order.model_validate(cycle)
        await orders.apply(session, read, source="reconciliation", paid_seen=True, at=at(99), plans=plans)
    assert await books.available(user.id) == 340


Heard = tuple[str, int]
"""The type of an event, and which state of the order it tells of: 0 is the payment."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], int, list[Heard]]:
    """What is refunded in all, one step after the other (it falls where a refund fails); what a dispute loses; and
    everything there is to hear of it, some of it twice, in any sequence."""
    totals = draw(st.lists(st.sampled_from([0, 1, 99, 333, 500, 998, 999]), max_size=4))
    lost = draw(st.sampled_from([0, 0, 250, 999]))
    heard: list[Heard] = [("order.created", 0), ("order.updated", 0), ("order.paid", 0)]
    for step, total in enumerate(totals, 1):
        heard += [("order.updated", step), ("refund.updated", step)] + ([("order.refunded", step)] if total else [])
    if lost:
        heard += [("dispute", 1), ("dispute", 2)]
    twice = draw(st.lists(st.sampled_from(heard), max_size=6))
    return totals, lost, draw(st.permutations(heard + twice))


def expected(granted: int, back: int, charged: int) -> int:
    """Half a credit up, by another way of reckoning than the rules'."""
    forfeited = int(granted * min(back, charged) / charged + 0.5)
    return granted - forfeited


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(histories())
async def test_any_sequence_of_an_orders_events_ends_in_the_same_balance(
    books: Books, make_user: MakeUser, buy: Buy, history: tuple[list[int], int, list[Heard]]
) -> None:
    totals, lost, sequence = history
    buyer = await make_user(f"{uuid4()}@example.org")
    paid = order(await buy(user_id=buyer.id))
    case = dispute(paid, lost)
    for type_, step in sequence:
        total = totals[step - 1] if 0 < step <= len(totals) else 0
        if type_ == "dispute":
            status = {"status": ("under_review", "lost")[step - 1], "modified_at": at(step).isoformat()}
            async with books.make.begin() as session:
                await orders.take_dispute(session, wire.Dispute.model_validate(case | status), at=at(step))
        elif type_ == "refund.updated":
            await books.hear(type_, refund(paid, total, "succeeded" if total else "failed", step), step)
        else:
            await books.hear(type_, refunded(paid, total, step) if step else paid, step)
    back = (totals[-1] if totals else 0) + lost
    assert await books.available(buyer.id) == expected(100, back, 999)
    assert [kind for kind, _ in await kinds(books, buyer.id)].count("purchase") == 1
