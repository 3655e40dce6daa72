"""When credits expire, and what becomes of those that were held meanwhile."""

import asyncio

import pytest
import sqlalchemy as sa

from orchestrator.credits import ledger
from orchestrator.credits.ledger import Expiring, InsufficientCreditsError
from orchestrator.credits.lots import GRACE
from tests.orchestrator.credits.conftest import DAY, NOW, Book

pytestmark = pytest.mark.anyio


async def test_what_is_left_of_a_lot_expires_at_its_end_and_once(book: Book) -> None:
    await book.grant(10, expires_at=NOW + DAY, reference="order:7")
    await book.grant(5)
    await book.spend(3)
    assert await book.expire() == 0
    book.now = NOW + DAY
    assert await book.expire() == 1
    assert await book.expire() == 0
    last = (await book.entries())[-1]
    assert (last.kind, last.amount, last.reference) == ("expiry", -7, "order:7")
    assert await book.has() == (5, 0)
    assert await book.audit() == []


async def test_a_lot_that_is_used_up_leaves_no_expiry(book: Book) -> None:
    await book.grant(10, expires_at=NOW + DAY)
    await book.spend(10)
    book.now = NOW + 2 * DAY
    assert await book.expire() == 0


async def test_expired_credits_are_not_spent_though_nobody_swept(book: Book) -> None:
    await book.grant(10, expires_at=NOW + DAY)
    await book.grant(5)
    book.now = NOW + DAY
    assert await book.has() == (5, 0)
    with pytest.raises(InsufficientCreditsError):
        await book.hold(6)
    await book.hold(5)
    assert await book.kinds() == [("grant", 10), ("grant", 5), ("expiry", -10), ("hold", -5)]
    assert await book.audit() == []


async def test_held_credits_do_not_expire_and_may_be_captured_later(book: Book) -> None:
    await book.grant(10, expires_at=NOW + DAY)
    hold = await book.hold(10)
    book.now = NOW + 30 * DAY
    assert await book.expire() == 0
    assert await book.capture(hold)
    assert await book.kinds() == [("grant", 10), ("hold", -10), ("capture", 0)]


async def test_credits_released_after_their_expiry_live_seven_days_beyond_it(book: Book) -> None:
    await book.grant(10, expires_at=NOW + DAY)
    hold = await book.hold(6)
    book.now = NOW + 3 * DAY
    await book.release(hold)
    assert await book.kinds() == [("grant", 10), ("hold", -6), ("expiry", -4), ("release", 6)]
    assert (await book.balance()).expiring == (Expiring(NOW + DAY + GRACE, 6),)
    book.now = NOW + DAY + GRACE
    assert await book.expire() == 1
    assert await book.has() == (0, 0)
    assert await book.audit() == []


async def test_past_those_days_they_expire_at_once(book: Book) -> None:
    await book.grant(10, expires_at=NOW + DAY, reference="order:7")
    hold = await book.hold(6)
    book.now = NOW + DAY + GRACE
    await book.release(hold)
    assert await book.kinds() == [("grant", 10), ("hold", -6), ("expiry", -4), ("release", 6), ("expiry", -6)]
    assert await book.has() == (0, 0)
    assert await book.audit() == []


async def test_a_lot_is_put_off_once_however_often_credits_come_back(book: Book) -> None:
    await book.grant(10, expires_at=NOW + DAY)
    first, second, third = [await book.hold(3) for _ in range(3)]
    book.now = NOW + 2 * DAY
    await book.release(first)
    book.now = NOW + 5 * DAY
    await book.capture(second, 1)
    assert (await book.balance()).expiring == (Expiring(NOW + DAY + GRACE, 5),)
    book.now = NOW + DAY + GRACE
    await book.release(third)
    assert await book.has() == (0, 0)
    assert [kind for kind in await book.kinds() if kind[0] == "expiry"] == [
        ("expiry", -1),
        ("expiry", -5),
        ("expiry", -3),
    ]
    assert await book.audit() == []


async def test_what_comes_back_to_a_lot_that_lasts_keeps_its_end(book: Book) -> None:
    await book.grant(10, expires_at=NOW + 9 * DAY)
    hold = await book.hold(6)
    book.now = NOW + 3 * DAY
    await book.release(hold)
    assert (await book.balance()).expiring == (Expiring(NOW + 9 * DAY, 10),)


async def test_a_grant_that_is_over_when_it_comes_pays_debt_and_expires(book: Book) -> None:
    first = await book.grant(10)
    await book.spend(10)
    await book.take_back(first, 10)
    await book.grant(15, expires_at=NOW - DAY)
    assert await book.has() == (0, 0)
    assert await book.expire() == 1
    assert (await book.kinds())[-2:] == [("grant", 15), ("expiry", -5)]
    assert await book.audit() == []


async def test_the_balance_names_the_next_expiries_in_order(book: Book) -> None:
    await book.grant(1)
    for days, credits in ((9, 2), (3, 4), (9, 8)):
        await book.grant(credits, expires_at=NOW + days * DAY)
    assert (await book.balance()).expiring == (Expiring(NOW + 3 * DAY, 4), Expiring(NOW + 9 * DAY, 10))


async def test_every_account_is_swept(book: Book, others_book: Book) -> None:
    for each in (book, others_book):
        await each.grant(10, expires_at=NOW + DAY)
        await each.grant(10, expires_at=NOW + 2 * DAY)
    book.now = NOW + 2 * DAY
    assert await book.expire() == 4
    others_book.now = book.now
    assert (await book.has(), await others_book.has()) == ((0, 0), (0, 0))


async def test_those_who_sweep_at_once_expire_a_lot_once(book: Book) -> None:
    for days in range(1, 6):
        await book.grant(10, expires_at=NOW + days * DAY)
    book.now = NOW + 9 * DAY
    assert sum(await asyncio.gather(*(book.expire() for _ in range(5)))) == 5
    assert await book.has() == (0, 0)
    assert await book.audit() == []


async def test_an_account_that_is_broken_keeps_no_other_from_its_turn(book: Book, others_book: Book) -> None:
    for each in (book, others_book):
        await each.grant(10, expires_at=NOW + DAY)
        each.now = NOW + 2 * DAY
    async with book.make.begin() as session:
        await session.execute(sa.text("set local session_replication_role = replica"))
        change = sa.text("update credit_account set available = 11 where user_id = :id")
        await session.execute(change, {"id": book.user_id})
    assert await book.expire() == 1
    assert await others_book.has() == (0, 0)
    assert [entry.kind for entry in await book.entries()] == ["grant"]


async def test_without_a_moment_given_the_present_decides(book: Book) -> None:
    async with book.make.begin() as session:
        past, future = NOW.replace(year=2020), NOW.replace(year=2100)
        for key, end in (("past", past), ("future", future)):
            await ledger.grant(session, book.user_id, 10, key=key, reference="order:1", expires_at=end)
        assert (await ledger.balance(session, book.user_id)).available == 10
        await ledger.hold(session, book.user_id, 10, key="hold", reference="job:1")
    assert await book.kinds() == [("grant", 10), ("expiry", -10), ("grant", 10), ("hold", -10)]
