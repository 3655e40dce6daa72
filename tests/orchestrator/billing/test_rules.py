"""The rules of money, case by case."""

from dataclasses import replace
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.billing import rules, wire
from orchestrator.billing.models import Purchase
from orchestrator.billing.rules import Bought, Grant, Known, Nothing, Parked
from tests.orchestrator.billing.payloads import LARGE_PLAN, SMALL_PLAN, STARTER, order, purchase_of, renewal

USER, STRANGER = uuid4(), uuid4()
PLANS = (SMALL_PLAN, LARGE_PLAN)


def bought_of(purchase: Purchase) -> Bought:
    names = Bought.__dataclass_fields__
    return Bought(**{name: getattr(purchase, name) for name in names})


PACKAGE = purchase_of(USER, STARTER)
OTHER = purchase_of(STRANGER, STARTER)
PLAN = purchase_of(USER, SMALL_PLAN)
KNOWN = {UUID(str(each.id)): bought_of(each) for each in (PACKAGE, OTHER, PLAN)}


def decide(data: dict[str, Any], **changes: Any) -> rules.Decision:
    """The decision where our books hold the three purchases above and both users."""
    read = wire.Order.model_validate(data)
    by_metadata = KNOWN.get(rules.as_id(read.metadata.get("purchase_id")) or uuid4())
    by_checkout = next((each for each in KNOWN.values() if each.checkout_id == read.checkout_id), None)
    customer = rules.as_id(read.customer.external_id) if read.customer else None
    known = Known(
        by_metadata, by_checkout if read.checkout_id else None, customer if customer in (USER, STRANGER) else None
    )
    return rules.decide(read, replace(known, **changes), PLANS)


def test_a_paid_package_brings_its_credits() -> None:
    assert decide(order(PACKAGE)) == Grant(100, None, bought_of(PACKAGE))


def test_the_checkout_alone_says_whose_an_order_is() -> None:
    anonymous = {"id": str(uuid4()), "external_id": None}
    assert decide(order(PACKAGE, metadata={}, customer=anonymous)) == Grant(100, None, bought_of(PACKAGE))
    assert decide(order(PACKAGE, metadata={}, customer=None)) == Grant(100, None, bought_of(PACKAGE))


def test_an_external_id_that_is_no_user_of_ours_says_nothing() -> None:
    customer = {"id": str(uuid4()), "external_id": "user_01J9Z7Q4T8"}
    assert isinstance(decide(order(PACKAGE, customer=customer)), Grant)


DISAGREEING: dict[str, dict[str, Any]] = {
    "somebody else's purchase in the metadata": {"metadata": {"purchase_id": str(OTHER.id), "user_id": str(USER)}},
    "somebody else's purchase in the metadata alone": {"metadata": {"purchase_id": str(OTHER.id)}},
    "somebody else's checkout": {"checkout_id": str(OTHER.checkout_id)},
    "a checkout that is not this purchase's": {"checkout_id": str(uuid4())},
    "an unknown purchase in the metadata": {"metadata": {"purchase_id": str(uuid4())}},
    "a purchase that is no id": {"metadata": {"purchase_id": "pr_7f3d9c"}},
    "another user in the metadata": {"metadata": {"purchase_id": str(PACKAGE.id), "user_id": str(STRANGER)}},
    "a user that is no id": {"metadata": {"purchase_id": str(PACKAGE.id), "user_id": 7}},
    "another user as the customer": {"customer": {"id": str(uuid4()), "external_id": str(STRANGER)}},
}


@pytest.mark.parametrize("kind", DISAGREEING)
def test_an_order_whose_names_disagree_is_parked_and_is_nobodys(kind: str) -> None:
    decision = decide(order(PACKAGE, **DISAGREEING[kind]))
    assert isinstance(decision, Parked)
    assert decision.reason
    assert decision.bought is None


def test_an_order_of_no_purchase_is_parked_and_names_the_customer_we_know() -> None:
    unknown = {"metadata": {}, "checkout_id": str(uuid4())}
    decision = decide(order(PACKAGE, **unknown))
    assert isinstance(decision, Parked)
    assert str(USER) in decision.reason
    nobody = decide(order(PACKAGE, **unknown, customer=None))
    assert isinstance(nobody, Parked)
    assert "no purchase of ours" in nobody.reason


WRONG: dict[str, dict[str, Any]] = {
    "an unknown product": {"product_id": str(uuid4())},
    "no product": {"product_id": None},
    "another product of ours": {"product_id": str(SMALL_PLAN.product_id)},
    "another amount": {"amount": 1},
    "a larger amount": {"amount": 1000},
    "a subscription's order of a package": {"billing_reason": "subscription_cycle"},
    "a billing reason nobody knows": {"billing_reason": "gift"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_order_that_is_not_what_was_bought_is_parked_with_its_purchase(kind: str) -> None:
    decision = decide(order(PACKAGE, **WRONG[kind]))
    assert isinstance(decision, Parked)
    assert decision.bought == bought_of(PACKAGE)


def test_in_another_currency_the_product_decides() -> None:
    assert isinstance(decide(order(PACKAGE, amount=924, currency="eur")), Grant)


def test_a_second_order_of_the_same_purchase_is_parked() -> None:
    assert isinstance(decide(order(PACKAGE), first_order=uuid4()), Parked)
    again = order(PACKAGE)
    assert isinstance(decide(again, first_order=UUID(again["id"])), Grant)


def test_nothing_charged_brings_nothing_unless_a_discount_covers_it() -> None:
    discounted = {"net_amount": 0, "discount_amount": 999}
    assert isinstance(decide(order(PACKAGE, **discounted)), Grant)
    assert isinstance(decide(order(PACKAGE, amount=0)), Nothing)
    assert isinstance(decide(order(PACKAGE, net_amount=0, discount_amount=500)), Nothing)
    assert isinstance(decide(order(PLAN, amount=0)), Nothing), "a trial"


def test_a_discount_does_not_hide_another_amount() -> None:
    assert isinstance(decide(order(PACKAGE, amount=1, net_amount=0, discount_amount=1)), Parked)


PRORATED = {"items": [{"proration": False}, {"proration": True}]}
HOW_PAID: dict[rules.Money, dict[str, Any]] = {
    "charged": {},
    "discounted": {"net_amount": 0, "discount_amount": 1900, "subtotal_amount": 1900, "total_amount": 0},
    "free": {"net_amount": 0, "subtotal_amount": 0, "total_amount": 0},
    "prorated": PRORATED,
    "from balance": {"applied_balance_amount": -1},
    "owed": {"net_amount": -700, "total_amount": -833},
}


@pytest.mark.parametrize(
    ("reason", "granting", "free"),
    [
        ("purchase", {"charged", "discounted"}, {"free"}),
        ("subscription_create", {"charged", "discounted"}, {"free"}),
        ("subscription_cycle", {"charged", "discounted"}, {"free"}),
        ("subscription_update", set(), {"free", "discounted"}),
        ("subscription_meter_cycle", set(), {"free", "discounted"}),
    ],
)
@pytest.mark.parametrize("paid", HOW_PAID)
def test_what_is_not_plainly_charged_discounted_or_free_a_human_decides(
    reason: str, granting: set[str], free: set[str], paid: rules.Money
) -> None:
    plain = order(PACKAGE) if reason == "purchase" else order(PLAN)
    price = plain["subtotal_amount"]
    how = {key: price if value == 1900 else value for key, value in HOW_PAID[paid].items()}
    data = {**plain, "billing_reason": reason, **how}
    assert rules.how_paid(wire.Order.model_validate(data)) == paid
    expected = Grant if paid in granting else Nothing if paid in free else Parked
    decision = decide(data)
    assert isinstance(decision, expected)
    if isinstance(decision, Parked):
        assert decision.bought is not None
        assert decision.reason.startswith(f"{reason}: ")


def test_every_billing_reason_and_every_way_to_pay_has_its_words() -> None:
    assert set(HOW_PAID) == set(rules.MONEY)
    assert {money for reason in rules.REASONS.values() for money in reason.brings} <= set(rules.MONEY)


def test_of_several_ways_the_more_doubtful_counts() -> None:
    order_ = wire.Order.model_validate(order(PLAN, **PRORATED, applied_balance_amount=-5))
    assert rules.how_paid(order_) == "from balance"
    assert rules.how_paid(order_.model_copy(update={"net_amount": -1})) == "owed"
    assert rules.how_paid(order_.model_copy(update={"net_amount": 0, "applied_balance_amount": 0})) == "prorated"


def test_a_debt_at_polar_that_an_order_pays_as_well_takes_nothing_from_it() -> None:
    assert isinstance(decide(order(PACKAGE, applied_balance_amount=45)), Grant)


def test_what_sold_no_credits_cannot_be_assigned_to_anybody() -> None:
    assigned = [reason for reason in rules.REASONS if rules.may_be_assigned(reason, 1900)]
    assert assigned == ["purchase", "subscription_create", "subscription_cycle"]
    assert not any(rules.may_be_assigned(reason, -1) for reason in rules.REASONS)
    assert rules.may_be_assigned("gift", 0), "who knows"


def test_a_plan_brings_its_credits_with_every_period_and_the_plan_of_then() -> None:
    first = order(PLAN)
    assert decide(first) == Grant(300, None, bought_of(PLAN))
    assert decide(renewal(first)) == Grant(300, None, bought_of(PLAN))
    larger = renewal(first, product_id=str(LARGE_PLAN.product_id), amount=4900)
    assert decide(larger) == Grant(900, None, bought_of(PLAN))
    assert isinstance(decide(renewal(first, product_id=str(STARTER.product_id))), Parked)
    assert isinstance(decide(renewal(first, net_amount=0, subtotal_amount=0)), Nothing)


@pytest.mark.parametrize(
    ("granted", "back", "charged", "expected"),
    [
        (100, 0, 999, 0),
        (100, -5, 999, 0),
        (100, 500, 1000, 50),
        (100, 999, 999, 100),
        (100, 2000, 999, 100),
        (100, 4, 1000, 0),
        (100, 5, 1000, 1),
        (3, 1, 2, 2),
        (100, 1, 0, 100),
        (100, 0, 0, 0),
        (100, 1, -5, 100),
        (0, 500, 1000, 0),
    ],
)
def test_a_refund_forfeits_its_share_half_a_credit_up(granted: int, back: int, charged: int, expected: int) -> None:
    assert rules.to_take_back(granted, refunded=back, lost=0, charged=charged) == expected
    assert rules.to_take_back(granted, refunded=0, lost=back, charged=charged) == expected


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_what_is_forfeited_is_the_share_rounded_and_never_more_than_was_granted(
    granted: int, refunded: int, lost: int, charged: int
) -> None:
    taken = rules.to_take_back(granted, refunded=refunded, lost=lost, charged=charged)
    share = min(Fraction(1), Fraction(refunded + lost, charged)) * granted
    assert 0 <= taken <= granted
    assert abs(taken - share) <= Fraction(1, 2)
    assert (taken == granted) or refunded + lost < charged


@pytest.mark.parametrize(
    ("refunded", "lost", "expected"),
    [
        (0, 0, "paid"),
        (1, 0, "partially_refunded"),
        (0, 1, "partially_refunded"),
        (500, 499, "refunded"),
        (2000, 0, "refunded"),
    ],
)
def test_a_purchase_says_how_much_of_it_was_paid_back(refunded: int, lost: int, expected: str) -> None:
    assert rules.purchase_status(refunded=refunded, lost=lost, charged=999) == expected
