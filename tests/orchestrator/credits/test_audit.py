"""The audit finds whatever was tampered with, behind the back of triggers and constraints, and says it in words."""

import re
import tracemalloc
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.credits import audit
from tests.orchestrator.credits.conftest import DAY, NOW, Book, Sessions

pytestmark = pytest.mark.anyio

_COPY = """
insert into credit_entry
select gen_random_uuid(), e.user_id, {sequence}, e.kind, e.amount, e.held_amount, e.available, e.held,
    {key}, e.reference, e.settles, e.refunds, e.note, e.created_at
from credit_entry e where e.sequence = {of}
"""

TAMPERED: dict[str, tuple[tuple[str, ...], str]] = {
    "an entry is gone": (("delete from credit_entry where sequence = 3",), "entry 4 comes after entry 2"),
    "the first entry is gone": (("delete from credit_entry where sequence = 1",), "entry 2 comes after entry 0"),
    "an entry is there twice": (
        (
            "alter table credit_entry drop constraint uq_credit_entry_user_id_sequence",
            _COPY.format(sequence=2, key="'x'", of=2),
        ),
        "entry 2 comes after entry 2",
    ),
    "an amount": (
        ("update credit_entry set amount = 100 where sequence = 1",),
        r"entry 1 \(purchase\) leaves 10 available, but 0 and 100 are something else",
    ),
    "a running balance": (
        ("update credit_entry set available = 9 where sequence = 2",),
        r"entry 3 \(capture\) leaves 7 available, but 9 and 1",
    ),
    "a running hold": (
        ("update credit_entry set held = 5 where sequence = 2",),
        r"entry 2 \(hold\) leaves 5 held, but 0 and 4",
    ),
    "a kind": (
        (
            "alter table credit_entry drop constraint ck_credit_entry_shape",
            "update credit_entry set kind = 'grant' where sequence = 2",
        ),
        r"entry 2 \(grant\) of -4 available and 4 held credits is none of its kind",
    ),
    "an overdraft": (
        (
            "alter table credit_entry drop constraint ck_credit_entry_available",
            "update credit_entry set available = -1 where sequence = 2",
        ),
        r"entry 2 \(hold\) .* leaves a balance that it must not \(-1 available",
    ),
    "a balance": (
        ("update credit_account set available = 100",),
        "it has 5 entries, 100 available and 2 held; its entries are 5, and add up to 4 available and 2 held",
    ),
    "a counter": (("update credit_account set sequence = 6",), "it has 6 entries, .* its entries are 5"),
    "held credits": (("update credit_account set held = 0",), "it has 0 held, and its open holds are 2"),
    "an account is gone": (("delete from credit_account",), "its entries are 5"),
    "a settlement of another amount": (
        ("update credit_entry set held_amount = -3 where sequence = 3",),
        r"entry 3 \(capture\) settles no hold of this account and amount",
    ),
    "a settlement of no hold": (
        ("update credit_entry set settles = (select id from credit_entry where sequence = 1) where sequence = 3",),
        r"entry 3 \(capture\) settles no hold",
    ),
    "a hold settled twice": (
        ("alter table credit_entry drop constraint uq_credit_entry_settles", _COPY.format(sequence=6, key="'x'", of=3)),
        "the hold of entry 2 is settled 2 times",
    ),
    "a refund of more than was granted": (
        ("update credit_entry set amount = -11 where sequence = 5",),
        r"of the 10 credits of entry 1 \(purchase\), 11 are taken back",
    ),
    "a refund of what was not taken": (
        ("update credit_entry set amount = 1 where sequence = 5",),
        r"of the 10 credits of entry 1 \(purchase\), -1 are taken back",
    ),
    "a refund of no grant": (
        ("update credit_entry set refunds = (select id from credit_entry where sequence = 2) where sequence = 5",),
        r"entry 5 \(refund\) refunds no purchase and no grant",
    ),
    "a lot": (("update credit_lot set remaining = 6",), "it has 4 available and 6 left in its lots"),
    "a lot that does not fit its uses": (
        ("update credit_lot set remaining = 6",),
        "has 6 of 10 credits left, but 6 of them were used",
    ),
    "a use": (("update credit_lot_use set credits = 3 where credits = 4",), "has 4 of 10 credits left, but 5 of them"),
    "uses that make up for each other": (
        (
            "update credit_lot_use set credits = credits - 1 where credits = 4",
            "update credit_lot_use set credits = credits + 1 where credits = 2",
        ),
        r"entry 2 \(hold\) changes its lots by -3, and what can be spent of them by -4",
    ),
    "a use is gone": (
        ("delete from credit_lot_use where credits = 4",),
        r"entry 2 \(hold\) changes its lots by 0, and what can be spent of them by -4",
    ),
    "a lot of another size": (
        ("update credit_lot set granted = 12",),
        r"entry 1 \(purchase\) of 10 credits has a lot of 12",
    ),
    "a lot is gone": (("delete from credit_lot",), r"entry 1 \(purchase\) of 10 credits has a lot of 0"),
    "a lot too many": (
        (
            "insert into credit_lot (id, user_id, entry_id, granted, remaining, extended)"
            " select gen_random_uuid(), user_id, id, 1, 1, false from credit_entry where sequence = 2",
        ),
        r"entry 2 \(hold\) of -4 credits has a lot of 1",
    ),
    "a lot of nobody": (
        ("update credit_lot set user_id = gen_random_uuid()",),
        r"entry 2 \(hold\) has or uses a lot of account",
    ),
    "more put back than taken": (
        ("update credit_lot_use set credits = -9 where credits = -1",),
        r"entry 3 \(capture\) puts 9 credits back into lot .*, of which its hold had taken 4",
    ),
    "a settlement that takes": (
        ("update credit_lot_use set credits = 1 where credits = -1",),
        r"entry 3 \(capture\) puts -1 credits back",
    ),
    "a key that is there twice": (
        (
            "alter table credit_entry drop constraint uq_credit_entry_idempotency_key",
            _COPY.format(sequence=6, key="e.idempotency_key", of=1),
        ),
        "the key purchase has 2 entries",
    ),
}


@pytest.fixture
async def session(book: Book, others_book: Book, make_session: Sessions) -> AsyncIterator[AsyncSession]:
    """An account of five entries and every kind of row, in a transaction without triggers that is rolled back."""
    granted = await book.grant(10, kind="purchase", key="purchase", expires_at=NOW + DAY)
    await book.capture(await book.hold(4), 3)
    await book.hold(2)
    await book.take_back(granted, 1)
    async with make_session() as session:
        await session.execute(sa.text("set local session_replication_role = replica"))
        yield session
        await session.rollback()


async def found(session: AsyncSession) -> list[str]:
    return [each async for each in audit.disagreements(session)]


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_was_tampered_with_is_found_and_named(session: AsyncSession, book: Book, what: str) -> None:
    assert await found(session) == []
    statements, words = TAMPERED[what]
    for statement in statements:
        changed = await session.execute(sa.text(statement))
        assert statement.startswith("alter") or changed.rowcount, statement  # type: ignore[attr-defined]
    sentences = await found(session)
    assert [each for each in sentences if re.search(words, each)], sentences
    assert all(str(book.user_id) in each or each.startswith("the key") for each in sentences)


async def test_every_check_has_found_something_above(session: AsyncSession) -> None:
    silent = set(audit.CHECKS)
    for statements, _ in TAMPERED.values():
        async with session.begin_nested() as tampering:
            for statement in statements:
                await session.execute(sa.text(statement))
            for check in audit.CHECKS:
                if (await session.execute(sa.text(check.query), {"account": None})).first():
                    silent.discard(check)
            await tampering.rollback()
    assert silent == set()


async def test_one_account_can_be_audited_alone(book: Book, others_book: Book, make_session: Sessions) -> None:
    for each in (book, others_book):
        await each.grant(10)
    async with make_session() as session:
        await session.execute(sa.text("set local session_replication_role = replica"))
        await session.execute(sa.text("update credit_account set available = 11"))
        for each in (book, others_book):
            sentences = [sentence async for sentence in audit.disagreements(session, each.user_id)]
            assert len(sentences) == 2
            assert all(str(each.user_id) in sentence for sentence in sentences)
        assert len(await found(session)) == 4


_MANY = """
insert into credit_entry
select gen_random_uuid(), e.user_id, n, 'grant', 1, 0, 9 + n, 0, 'many:' || n, 'order:1', null, null, null, now()
from credit_entry e, generate_series(2, 30000) n where e.sequence = 1
"""


async def test_the_audit_reads_what_it_finds_row_by_row(book: Book, make_session: Sessions) -> None:
    await book.grant(10)
    async with make_session() as session:
        await session.execute(sa.text("set local session_replication_role = replica"))
        await session.execute(sa.text(_MANY))
        tracemalloc.start()
        count = 0
        async for _ in audit.disagreements(session):
            count += 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count > 50_000
    assert peak < 5 * 2**20
