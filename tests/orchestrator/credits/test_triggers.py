"""What the database itself refuses, whoever writes to it: plain SQL against the tables."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from tests.orchestrator.credits.conftest import DAY, NOW, Book

pytestmark = pytest.mark.anyio

TABLES = ("credit_account", "credit_entry", "credit_lot", "credit_lot_use")

_ENTRY = """
insert into credit_entry (id, user_id, sequence, kind, amount, held_amount, available, held, idempotency_key, reference,
    settles, refunds)
values (:id, :user_id, :sequence, :kind, :amount, :held_amount, :available, :held, :key, :reference, :settles, :refunds)
"""
_LOT = """
insert into credit_lot (id, user_id, entry_id, granted, remaining, extended)
values (:id, :user_id, :entry_id, :granted, :remaining, false)
"""
_USE = "insert into credit_lot_use (entry_id, lot_id, credits) values (:entry_id, :lot_id, :credits)"


class Sql:
    """Statements on an account that was granted 10, of which 4 are held: entry 3 comes next, on (6, 4)."""

    def __init__(self, connection: Any, book: Book) -> None:
        self.connection = connection
        self.user_id = book.user_id

    async def run(self, statement: str, **values: Any) -> Any:
        return await self.connection.execute(sa.text(statement), {"user_id": self.user_id} | values)

    async def entry(self, **changes: Any) -> Any:
        """Insert entry 3, a hold of 1 unless said otherwise."""
        values = {"id": uuid7(), "sequence": 3, "kind": "hold", "amount": -1, "held_amount": 1, "available": 5}
        values |= {"held": 5, "key": str(uuid7()), "reference": "job:2", "settles": None, "refunds": None} | changes
        return await self.run(_ENTRY, **values)

    async def refused(self, words: str, **entry: Any) -> None:
        """Insert an entry that is refused; the transaction goes on."""
        with pytest.raises(sa.exc.IntegrityError, match=words):
            async with self.connection.begin_nested():
                await self.entry(**entry)


@pytest.fixture
async def held(book: Book) -> Any:
    """The hold of entry 2."""
    await book.grant(10, expires_at=NOW + DAY)
    return await book.hold(4)


@pytest.fixture
async def sql(engine: AsyncEngine, book: Book, held: Any) -> AsyncIterator[Sql]:
    async with engine.connect() as connection:
        yield Sql(connection, book)


REFUSED = pytest.raises(sa.exc.IntegrityError)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["delete from {}", "truncate {} cascade"])
async def test_nothing_is_deleted(sql: Sql, table: str, statement: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="the ledger only grows"):
        await sql.run(statement.format(table))


@pytest.mark.parametrize("column", ["amount", "available", "note", "kind", "created_at", "idempotency_key"])
async def test_an_entry_is_not_changed(sql: Sql, column: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="update of credit_entry is refused"):
        await sql.run(f"update credit_entry set {column} = {column}")  # noqa: S608


async def test_a_use_is_not_changed(sql: Sql) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="update of credit_lot_use is refused"):
        await sql.run("update credit_lot_use set credits = credits")


@pytest.mark.parametrize("change", ["available = 100", "held = 0", "sequence = 7", "available = available"])
async def test_an_account_is_not_changed_but_by_entries(sql: Sql, change: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="changes by entries alone"):
        await sql.run(f"update credit_account set {change}")  # noqa: S608


async def test_an_account_does_not_begin_with_credits(sql: Sql, others_book: Book) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="changes by entries alone"):
        await sql.run("insert into credit_account values (:id, 0, 5, 0)", id=others_book.user_id)


async def test_an_entry_that_follows_is_accepted_and_moves_the_account(sql: Sql) -> None:
    await sql.entry()
    account = (await sql.run("select sequence, available, held from credit_account")).one()
    assert account == (3, 5, 5)


WRONG: dict[str, dict[str, Any]] = {
    "a gap": {"sequence": 4},
    "a number that is taken": {"sequence": 2},
    "a wrong available balance": {"available": 6},
    "a wrong held balance": {"held": 4},
    "another amount than the balance says": {"amount": -2, "held_amount": 2},
    "an unknown kind": {"kind": "gift"},
    "a hold that adds": {"amount": 1, "held_amount": -1, "available": 7, "held": 3},
    "a hold of nothing": {"amount": 0, "held_amount": 0, "available": 6, "held": 4},
    "a hold of more than is taken": {"amount": -1, "held_amount": 2, "held": 6},
    "a hold of more than there is": {"amount": -7, "held_amount": 7, "available": -1, "held": 11},
    "a grant that takes": {"kind": "grant", "held_amount": 0, "held": 4},
    "a grant that holds": {"kind": "grant", "amount": 1, "available": 7},
    "an adjustment below zero": {"kind": "adjustment", "amount": -7, "held_amount": 0, "available": -1, "held": 4},
    "an expiry of more than there is": {"kind": "expiry", "amount": -7, "held_amount": 0, "available": -1, "held": 4},
    "a release of nothing": {"kind": "release", "amount": 4, "held_amount": -4, "available": 10, "held": 0},
    "a refund of nothing": {"kind": "refund", "held_amount": 0, "held": 4},
    "no key": {"key": ""},
    "no reference": {"reference": ""},
}


@pytest.mark.parametrize("what", WRONG)
async def test_an_entry_that_does_not_follow_is_refused(sql: Sql, what: str) -> None:
    with REFUSED:
        await sql.entry(**WRONG[what])


RELEASE = {"kind": "release", "amount": 4, "held_amount": -4, "available": 10, "held": 0}
CAPTURE = {"kind": "capture", "amount": 0, "held_amount": -4, "available": 6, "held": 0}


async def test_a_hold_is_not_settled_twice(sql: Sql, held: Any) -> None:
    await sql.entry(**CAPTURE, settles=held.id)
    await sql.entry(sequence=4, amount=-4, held_amount=4, available=2, held=4)
    for again in (CAPTURE | {"available": 2}, RELEASE | {"available": 6}):
        await sql.refused("uq_credit_entry_settles", **again | {"sequence": 5}, settles=held.id)


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "release", "amount": 3, "held_amount": -3, "available": 9, "held": 1},
        {"kind": "capture", "amount": 0, "held_amount": -3, "available": 6, "held": 1},
        {"kind": "capture", "amount": 4, "held_amount": -4, "available": 10, "held": 0},
        {"kind": "capture", "amount": 5, "held_amount": -4, "available": 11, "held": 0},
        {"kind": "release", "amount": 5, "held_amount": -4, "available": 11, "held": 0},
    ],
)
async def test_a_settlement_is_of_the_whole_hold_and_gives_back_no_more(
    sql: Sql, held: Any, entry: dict[str, Any]
) -> None:
    with REFUSED:
        await sql.entry(**entry, settles=held.id)


async def test_what_is_settled_is_a_hold_of_the_account(sql: Sql, book: Book, others_book: Book) -> None:
    granted = (await book.entries())[0]
    await others_book.grant(10)
    theirs = await others_book.hold(4)
    for settles in (granted.id, theirs.id):
        await sql.refused("settles no hold of account", **RELEASE, settles=settles)


REFUND = {"kind": "refund", "held_amount": 0, "held": 4}


@pytest.mark.parametrize(
    ("amount", "available"), [(-11, -5), (1, 7)], ids=["more than was granted", "more than was taken"]
)
async def test_no_more_is_refunded_than_was_granted(sql: Sql, book: Book, amount: int, available: int) -> None:
    granted = (await book.entries())[0]
    with pytest.raises(sa.exc.IntegrityError, match="refunds what was not granted"):
        await sql.entry(**REFUND, amount=amount, available=available, refunds=granted.id)


async def test_what_is_refunded_was_granted_to_the_account(sql: Sql, held: Any, others_book: Book) -> None:
    theirs = await others_book.grant(10)
    for refunds in (held.id, theirs.id):
        await sql.refused("refunds what was not granted", **REFUND, amount=-1, available=5, refunds=refunds)


@pytest.mark.parametrize(
    "change",
    [
        "remaining = 10",
        "remaining = 0",
        "granted = 100",
        "user_id = gen_random_uuid()",
        "expires_at = expires_at + interval '1 day'",
        "expires_at = expires_at - interval '1 day', extended = true",
        "expires_at = null, extended = true",
        "extended = true",
        "expires_at = expires_at + interval '1 day', extended = true, remaining = 5",
    ],
)
async def test_a_lot_is_not_changed_but_by_uses(sql: Sql, change: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="changes by its uses alone"):
        await sql.run(f"update credit_lot set {change}")  # noqa: S608


async def test_a_lots_end_is_put_off_once(sql: Sql) -> None:
    later = "update credit_lot set expires_at = expires_at + interval '7 days', extended = true"
    await sql.run(later)
    with REFUSED:
        await sql.run(later)


async def test_a_lot_begins_full(sql: Sql) -> None:
    entry = uuid7()
    await sql.entry(id=entry, kind="grant", amount=5, held_amount=0, available=11, held=4)
    with pytest.raises(sa.exc.IntegrityError, match="changes by its uses alone"):
        await sql.run(_LOT, id=uuid7(), entry_id=entry, granted=5, remaining=4)


@pytest.mark.parametrize("credits", [7, -5, 0], ids=["more than is left", "more than was granted", "nothing"])
async def test_a_lot_gives_what_it_has_and_takes_what_it_had(sql: Sql, credits: int) -> None:
    entry = uuid7()
    await sql.entry(id=entry)
    lot = (await sql.run("select id from credit_lot")).scalar_one()
    with REFUSED:
        await sql.run(_USE, entry_id=entry, lot_id=lot, credits=credits)


async def test_a_lot_of_another_account_is_not_used(sql: Sql, others_book: Book) -> None:
    theirs = await others_book.grant(10)
    lot = (await sql.run("select id from credit_lot where entry_id = :id", id=theirs.id)).scalar_one()
    entry = uuid7()
    await sql.entry(id=entry)
    with pytest.raises(sa.exc.IntegrityError, match="uses a lot of another account"):
        await sql.run(_USE, entry_id=entry, lot_id=lot, credits=1)


async def test_an_entry_without_its_lots_is_refused_when_the_transaction_ends(sql: Sql, book: Book) -> None:
    await sql.entry()
    with pytest.raises(sa.exc.IntegrityError, match="has 5 available and 6 in its lots"):
        await sql.connection.commit()
    assert await book.has() == (6, 4)


async def test_a_use_without_its_entry_is_refused_when_the_transaction_ends(sql: Sql, book: Book) -> None:
    granted = (await book.entries())[0]
    lot = (await sql.run("select id from credit_lot")).scalar_one()
    await sql.run(_USE, entry_id=granted.id, lot_id=lot, credits=1)
    with pytest.raises(sa.exc.IntegrityError, match="has 6 available and 5 in its lots"):
        await sql.connection.commit()


async def test_an_entry_with_its_use_is_accepted(sql: Sql, book: Book) -> None:
    entry = uuid7()
    await sql.entry(id=entry)
    lot = (await sql.run("select id from credit_lot")).scalar_one()
    await sql.run(_USE, entry_id=entry, lot_id=lot, credits=1)
    await sql.connection.commit()
    assert await book.has() == (5, 5)
    assert await book.audit() == []
