"""Granting, holding, capturing, releasing, adjusting: what each does, and what each refuses."""

import asyncio
from datetime import datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from orchestrator.credits import ledger
from orchestrator.credits.errors import MOST
from orchestrator.credits.ledger import (
    InsufficientCreditsError,
    InvalidCreditsError,
    LedgerConflictError,
    NoSuchHoldError,
)
from orchestrator.credits.models import CreditAccount
from tests.orchestrator.credits.conftest import DAY, NOW, Book, Sessions

pytestmark = pytest.mark.anyio


async def test_an_account_that_never_had_credits_has_none(book: Book) -> None:
    assert await book.has() == (0, 0)
    with pytest.raises(InsufficientCreditsError):
        await book.hold(1)
    assert await book.entries() == []


async def test_every_entry_has_the_next_number_and_what_is_there_after_it(book: Book) -> None:
    await book.grant(10, kind="purchase", note="starter")
    hold = await book.hold(4)
    await book.capture(hold)
    rows = [(e.sequence, e.kind, e.amount, e.held_amount, e.available, e.held) for e in await book.entries()]
    assert rows == [(1, "purchase", 10, 0, 10, 0), (2, "hold", -4, 4, 6, 4), (3, "capture", 0, -4, 6, 0)]
    assert [entry.note for entry in await book.entries()] == ["starter", None, None]
    assert await book.audit() == []


async def test_held_credits_cannot_be_held_again(book: Book) -> None:
    await book.grant(10)
    await book.hold(7)
    with pytest.raises(InsufficientCreditsError) as refused:
        await book.hold(4)
    assert (refused.value.status, refused.value.detail) == (402, {"needed": 4, "available": 3})
    assert "credits" in refused.value.message
    await book.hold(3)
    assert await book.has() == (0, 10)


async def test_a_released_hold_can_be_spent_again(book: Book) -> None:
    await book.grant(10)
    settled = await book.release(await book.hold(10))
    assert settled is not None
    assert (settled.kind, settled.amount, settled.reference) == ("release", 10, "job:1")
    await book.spend(10)
    assert await book.has() == (0, 0)
    assert await book.audit() == []


async def test_what_is_not_captured_goes_back(book: Book) -> None:
    await book.grant(10)
    settled = await book.capture(await book.hold(8), 5)
    assert settled is not None
    assert (settled.amount, settled.held_amount) == (3, -8)
    assert await book.has() == (5, 0)
    assert await book.audit() == []


@pytest.mark.parametrize("credits", [0, -1, 6])
async def test_less_than_one_or_more_than_is_held_is_not_captured(book: Book, credits: int) -> None:
    await book.grant(10)
    hold = await book.hold(5)
    with pytest.raises(InvalidCreditsError):
        await book.capture(hold, credits)
    assert await book.has() == (5, 5)


async def test_a_hold_is_settled_once_whatever_is_asked_after_that(book: Book) -> None:
    await book.grant(20)
    captured, released = await book.hold(6), await book.hold(5)
    assert await book.capture(captured, 4)
    assert await book.release(released)
    before = await book.kinds()
    for hold in (captured, released):
        assert await book.release(hold) is None
        assert await book.capture(hold) is None
        assert await book.capture(hold, 1) is None
    assert await book.kinds() == before
    assert await book.has() == (16, 0)


async def test_what_is_no_hold_is_not_settled(book: Book) -> None:
    entry = await book.grant(10)
    for settle in (ledger.capture, ledger.release):
        for wrong in (entry.id, uuid4()):
            with pytest.raises(NoSuchHoldError):
                await book.call(settle, wrong)


async def test_the_open_hold_of_a_reference_is_the_newest_that_is_not_settled(book: Book, others_book: Book) -> None:
    async def open_hold(reference: str) -> UUID | None:
        async with book.make() as session:
            found = await ledger.open_hold(session, reference)
            return None if found is None else found.id

    await book.grant(10)
    await others_book.grant(10)
    assert await open_hold("job:7") is None
    first, second = [await book.hold(1, reference="job:7") for _ in range(2)]
    await others_book.hold(1, reference="job:8")
    assert await open_hold("job:7") == second.id
    await book.capture(second)
    assert await open_hold("job:7") == first.id
    await book.release(first)
    assert await open_hold("job:7") is None


async def test_credits_are_spent_soonest_expiring_first(book: Book) -> None:
    await book.grant(5)
    await book.grant(5, expires_at=NOW + 20 * DAY)
    await book.grant(5, expires_at=NOW + 10 * DAY)
    await book.grant(5, expires_at=NOW + 10 * DAY)
    await book.spend(7)
    assert await book.lots() == [5, 5, 0, 3]
    await book.spend(9)
    assert await book.lots() == [4, 0, 0, 0]


async def test_of_a_hold_the_soonest_expiring_are_captured_and_the_others_return(book: Book) -> None:
    await book.grant(5)
    await book.grant(5, expires_at=NOW + DAY)
    hold = await book.hold(8)
    await book.capture(hold, 6)
    assert await book.lots() == [4, 0]


async def test_the_same_key_grants_holds_and_adjusts_once(book: Book) -> None:
    granted = await book.grant(10, key="order:1")
    assert (await book.grant(10, key="order:1")).id == granted.id
    held = await book.hold(4, key="job:1")
    assert (await book.hold(4, key="job:1")).id == held.id
    await book.capture(held)
    assert (await book.hold(4, key="job:1")).id == held.id, "also when it is settled"
    adjusted = await book.adjust(-1, key="support:1")
    assert (await book.adjust(-1, key="support:1")).id == adjusted.id
    assert await book.has() == (5, 0)
    assert len(await book.entries()) == 4


async def test_a_hold_that_was_refused_may_be_tried_again_under_its_key(book: Book) -> None:
    with pytest.raises(InsufficientCreditsError):
        await book.hold(4, key="job:1")
    await book.grant(4)
    await book.hold(4, key="job:1")
    assert await book.has() == (0, 4)


async def test_a_key_stands_for_one_account_kind_amount_and_reference(book: Book, others_book: Book) -> None:
    await book.grant(10, key="k")
    await others_book.grant(10)
    for other in (
        others_book.grant(10, key="k"),
        book.grant(10, key="k", kind="purchase"),
        book.grant(11, key="k"),
        book.grant(10, key="k", reference="order:2"),
        book.hold(10, key="k", reference="order:1"),
        book.adjust(10, key="k", reference="order:1"),
    ):
        with pytest.raises(LedgerConflictError, match="new key"):
            await other
    assert (await book.has(), await others_book.has()) == ((10, 0), (10, 0))
    assert len(await book.entries()) == 1


async def test_a_key_that_another_account_takes_at_this_moment_conflicts_and_leaves_no_trace(
    book: Book, others_book: Book
) -> None:
    async def late() -> None:
        async with book.make.begin() as session:
            with pytest.raises(LedgerConflictError):
                await ledger.grant(session, others_book.user_id, 10, key="k", reference="order:1")
            await ledger.grant(session, others_book.user_id, 5, key="other", reference="order:2")

    async with book.make.begin() as session:
        await ledger.grant(session, book.user_id, 10, key="k", reference="order:1")
        waiting = asyncio.create_task(late())
        await asyncio.sleep(0.3)
        assert not waiting.done()
    await waiting
    assert (await book.has(), await others_book.has()) == ((10, 0), (5, 0))
    assert await book.audit() == []


@pytest.mark.parametrize("credits", [0, -1, MOST + 1])
async def test_a_number_that_is_none_of_credits_is_refused(book: Book, credits: int) -> None:
    await book.grant(10)
    for call in (book.grant, book.hold):
        with pytest.raises(InvalidCreditsError):
            await call(credits)
    assert len(await book.entries()) == 1


@pytest.mark.parametrize("credits", [0, MOST + 1, -MOST - 1])
async def test_an_adjustment_by_nothing_or_by_too_much_is_refused(book: Book, credits: int) -> None:
    with pytest.raises(InvalidCreditsError):
        await book.adjust(credits)


async def test_an_expiry_has_a_time_zone(book: Book) -> None:
    with pytest.raises(InvalidCreditsError, match="time zone"):
        await book.grant(10, expires_at=datetime(2031, 1, 1))  # noqa: DTZ001


async def test_an_adjustment_goes_up_and_down_but_never_below_zero(book: Book) -> None:
    await book.adjust(10)
    await book.hold(4)
    await book.adjust(-6)
    with pytest.raises(InsufficientCreditsError):
        await book.adjust(-1)
    assert await book.has() == (0, 4)
    assert [entry.note for entry in await book.entries() if entry.kind == "adjustment"] == ["a mistake of ours"] * 2
    assert await book.audit() == []


async def test_what_a_transaction_rolls_back_never_was(book: Book) -> None:
    await book.grant(10)
    async with book.make() as session:
        await ledger.hold(session, book.user_id, 10, key="k", reference="job:1")
        await session.rollback()
    assert await book.has() == (10, 0)
    await book.hold(10, key="k")
    assert [entry.sequence for entry in await book.entries()] == [1, 2]


async def test_several_steps_fit_into_one_transaction(book: Book) -> None:
    async with book.make.begin() as session:
        await ledger.grant(session, book.user_id, 10, key="a", reference="order:1")
        hold = await ledger.hold(session, book.user_id, 6, key="b", reference="job:1")
        await ledger.capture(session, hold.id, 2)
        assert (await ledger.balance(session, book.user_id)).available == 8
    assert await book.audit() == []


async def test_accounts_do_not_see_each_other(book: Book, others_book: Book, make_session: Sessions) -> None:
    await book.grant(10)
    with pytest.raises(InsufficientCreditsError):
        await others_book.hold(1)
    await others_book.grant(3)
    await others_book.hold(3)
    assert (await book.has(), await others_book.has()) == ((10, 0), (0, 3))
    async with make_session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(CreditAccount)) == 2
