"""Credits taken back because their payment was, the debt that may leave, and given back after all."""

import pytest

from orchestrator.credits.ledger import (
    ExcessRefundError,
    Expiring,
    InsufficientCreditsError,
    LedgerConflictError,
    NoSuchGrantError,
)
from orchestrator.credits.lots import GRACE
from tests.orchestrator.credits.conftest import DAY, NOW, Book

pytestmark = pytest.mark.anyio


async def test_what_is_left_of_the_refunded_grant_goes_first(book: Book) -> None:
    refunded = await book.grant(10, expires_at=NOW + 9 * DAY)
    await book.grant(10, expires_at=NOW + DAY)
    entry = await book.take_back(refunded, 10)
    assert (entry.kind, entry.amount, entry.refunds) == ("refund", -10, refunded.id)
    assert await book.lots() == [0, 10]
    assert await book.audit() == []


async def test_then_other_credits_soonest_expiring_first_and_the_rest_is_debt(book: Book) -> None:
    refunded = await book.grant(10, reference="order:1")
    await book.spend(10)
    for credits, days in ((3, 9), (4, 1)):
        await book.grant(credits, expires_at=NOW + days * DAY, reference=f"order:{days}")
    await book.take_back(refunded, 5)
    assert await book.lots() == [0, 2, 0]
    await book.take_back(refunded, 5)
    assert await book.has() == (-3, 0)
    assert (await book.balance()).debt == 3
    assert await book.audit() == []


async def test_who_owes_holds_nothing_and_the_next_credits_pay_first(book: Book) -> None:
    refunded = await book.grant(10)
    await book.spend(10)
    await book.take_back(refunded, 10)
    with pytest.raises(InsufficientCreditsError, match="10 are owed"):
        await book.hold(1)
    await book.grant(4)
    assert await book.has() == (-6, 0)
    await book.adjust(1)
    await book.grant(20)
    assert await book.has() == (15, 0)
    assert await book.lots() == [0, 0, 0, 15]
    await book.spend(15)
    assert await book.audit() == []


async def test_no_adjustment_adds_to_a_debt(book: Book) -> None:
    refunded = await book.grant(10)
    await book.spend(10)
    await book.take_back(refunded, 10)
    with pytest.raises(InsufficientCreditsError):
        await book.adjust(-1)


async def test_credits_that_come_back_pay_the_debt_first(book: Book) -> None:
    refunded = await book.grant(10)
    captured, released = await book.hold(6), await book.hold(4)
    await book.take_back(refunded, 10)
    assert await book.has() == (-10, 10)
    await book.capture(captured, 1)
    assert await book.has() == (-5, 4)
    assert await book.lots() == [0]
    await book.release(released)
    assert await book.has() == (-1, 0)
    await book.grant(3)
    assert await book.has() == (2, 0)
    assert await book.audit() == []


async def test_of_what_comes_back_the_soonest_expiring_pays_the_debt(book: Book) -> None:
    refunded = await book.grant(10)
    await book.spend(10)
    await book.grant(5)
    await book.grant(5, expires_at=NOW + DAY)
    hold = await book.hold(10)
    await book.take_back(refunded, 7)
    await book.release(hold)
    assert await book.lots() == [0, 3, 0]


async def test_a_grant_is_taken_back_once_over_all_and_given_back_no_more_than_taken(book: Book) -> None:
    granted = await book.grant(10)
    await book.grant(100)
    await book.take_back(granted, 6)
    with pytest.raises(ExcessRefundError, match="4 can be taken back, not 5"):
        await book.take_back(granted, 5)
    with pytest.raises(ExcessRefundError, match="6 can be given back, not 7"):
        await book.give_back(granted, 7)
    await book.give_back(granted, 2)
    await book.take_back(granted, 6)
    await book.give_back(granted, 10)
    with pytest.raises(ExcessRefundError):
        await book.give_back(granted, 1)
    assert await book.has() == (110, 0)
    assert await book.audit() == []


async def test_only_what_was_granted_to_this_account_can_be_taken_back(book: Book, others_book: Book) -> None:
    await book.grant(10)
    spent = await book.hold(1)
    theirs = await others_book.grant(10)
    for call in (book.take_back, book.give_back):
        for grant_key in ("unknown", spent.idempotency_key, theirs.idempotency_key):
            with pytest.raises(NoSuchGrantError):
                await call(spent, 1, grant_key=grant_key)
    assert len(await book.entries()) == 2


async def test_the_same_key_takes_back_and_gives_back_once(book: Book) -> None:
    granted = await book.grant(10)
    for _ in range(3):
        await book.take_back(granted, 10, key="order:1:refund:1")
    for _ in range(3):
        await book.give_back(granted, 4, key="order:1:refund:2")
    assert await book.has() == (4, 0)
    with pytest.raises(LedgerConflictError):
        await book.take_back(granted, 4, key="order:1:refund:2")
    with pytest.raises(LedgerConflictError):
        await book.take_back(granted, 9, key="order:1:refund:1")


async def test_a_key_of_a_refund_stands_for_one_grant(book: Book) -> None:
    first, second = [await book.grant(10) for _ in range(2)]
    await book.take_back(first, 1, key="k")
    with pytest.raises(LedgerConflictError):
        await book.take_back(second, 1, key="k")


async def test_credits_given_back_last_as_long_as_those_that_were_taken(book: Book) -> None:
    granted = await book.grant(10, expires_at=NOW + 9 * DAY)
    await book.take_back(granted, 10)
    book.now = NOW + DAY
    entry = await book.give_back(granted, 10)
    assert (entry.kind, entry.amount) == ("refund", 10)
    assert (await book.balance()).expiring == (Expiring(NOW + 9 * DAY, 10),)
    await book.grant(5, expires_at=NOW + 2 * DAY)
    await book.take_back(granted, 4)
    assert await book.lots() == [0, 6, 5], "what was given back belongs to the grant"
    assert await book.audit() == []


async def test_credits_given_back_after_their_expiry_live_seven_days_beyond_it(book: Book) -> None:
    granted = await book.grant(10, expires_at=NOW + DAY)
    await book.take_back(granted, 10)
    book.now = NOW + 3 * DAY
    await book.give_back(granted, 4)
    assert (await book.balance()).expiring == (Expiring(NOW + DAY + GRACE, 4),)
    book.now = NOW + DAY + GRACE
    await book.give_back(granted, 6)
    assert await book.has() == (0, 0)
    assert (await book.kinds())[-3:] == [("expiry", -4), ("refund", 6), ("expiry", -6)]
    assert await book.audit() == []


async def test_credits_given_back_pay_a_debt_first(book: Book) -> None:
    granted = await book.grant(10)
    await book.spend(7)
    await book.take_back(granted, 10)
    await book.give_back(granted, 10)
    assert await book.has() == (3, 0)
    await book.spend(3)
    assert await book.audit() == []


async def test_what_had_expired_is_not_taken_from_other_credits(book: Book) -> None:
    """Bought 10, spent 4, 6 expired: who gets the money back owes the 4."""
    granted = await book.grant(10, expires_at=NOW + DAY, reference="order:1")
    await book.spend(4)
    await book.grant(20, reference="order:2")
    book.now = NOW + 2 * DAY
    await book.take_back(granted, 10)
    assert await book.has() == (16, 0)
    assert await book.lots() == [0, 16, 0]
    assert (await book.kinds())[-3:] == [("expiry", -6), ("expiry", 6), ("refund", -10)]
    assert await book.audit() == []


async def test_what_had_expired_counts_once_over_partial_refunds(book: Book) -> None:
    granted = await book.grant(10, expires_at=NOW + DAY)
    await book.spend(4)
    book.now = NOW + 2 * DAY
    for taken, owed in ((3, 0), (4, -1), (3, -4)):
        await book.take_back(granted, taken)
        assert await book.has() == (owed, 0)
    assert [amount for kind, amount in await book.kinds() if kind == "expiry"] == [-6, 3, 3]
    assert await book.audit() == []


async def test_what_had_expired_counts_though_there_is_a_debt(book: Book) -> None:
    other = await book.grant(5, reference="order:2")
    granted = await book.grant(10, expires_at=NOW + DAY, reference="order:1")
    book.now = NOW + 2 * DAY
    await book.spend(5)
    await book.take_back(other, 5)
    assert await book.has() == (-5, 0)
    await book.take_back(granted, 8)
    await book.take_back(granted, 2)
    assert await book.has() == (-5, 0)
    assert await book.audit() == []


async def test_a_refund_of_expired_credits_that_fails_brings_them_back_for_the_grace_only(book: Book) -> None:
    granted = await book.grant(10, expires_at=NOW + DAY)
    book.now = NOW + 2 * DAY
    await book.take_back(granted, 10)
    await book.give_back(granted, 10)
    assert (await book.balance()).expiring == (Expiring(NOW + DAY + GRACE, 10),)
    book.now = NOW + DAY + GRACE
    await book.expire()
    await book.take_back(granted, 10)
    assert await book.has() == (0, 0)
    assert await book.audit() == []
