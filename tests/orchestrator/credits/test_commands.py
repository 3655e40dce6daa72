"""`octavia credits`, in a process of its own."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.accounts.models import User
from tests.fixtures_control_plane import MakeUser
from tests.orchestrator.credits.conftest import Book, Sessions

pytestmark = pytest.mark.anyio


class Octavia:
    """The command line on a database."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator.cli", "credits", *arguments),
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert b"Traceback" not in output + errors
        return process.returncode or 0, output.decode(), errors.decode()


@pytest.fixture
def octavia(database_url: str, tmp_path: Path) -> Octavia:
    return Octavia(OCTAVIA_DATABASE_URL=database_url, OCTAVIA_DATA_DIR=str(tmp_path), COLUMNS="200")


async def test_the_operator_grants_credits_and_audits(octavia: Octavia, book: Book, user: User) -> None:
    code, output, _ = await octavia("grant", "ELINOR@example.org", "50", "--note", "a gift", "--expires-in-days", "30")
    assert (code, output) == (0, f"{user.email} has 50 credits available now.\n")
    (entry,) = await book.entries()
    assert (entry.kind, entry.amount, entry.reference, entry.note) == ("grant", 50, "operator", "a gift")
    book.now = entry.created_at
    (expiring,) = (await book.balance()).expiring
    assert abs(expiring.at - entry.created_at - timedelta(days=30)) < timedelta(minutes=1)
    assert await octavia("audit") == (0, "1 accounts, 1 entries: all agree\n", "")


async def test_a_grant_with_a_key_is_made_once(octavia: Octavia, book: Book, user: User) -> None:
    for _ in range(2):
        assert (await octavia("grant", user.email, "5", "--key", "apology"))[0] == 0
    assert await book.has() == (5, 0)
    code, _, errors = await octavia("grant", user.email, "6", "--key", "apology")
    assert code == 1
    assert "Use a new key" in errors
    assert (await octavia("grant", user.email, "5"))[1].startswith(f"{user.email} has 10 credits")


@pytest.mark.parametrize("arguments", [("0",), ("-5",), ("five",), ("5", "--expires-in-days", "0")])
async def test_a_number_that_is_none_of_credits_is_refused(
    octavia: Octavia, book: Book, user: User, arguments: tuple[str, ...]
) -> None:
    assert (await octavia("grant", user.email, *arguments))[0] == 2
    assert await book.entries() == []


async def test_only_an_account_that_lasts_gets_credits(
    octavia: Octavia, make_user: MakeUser, make_session: Sessions
) -> None:
    user = await make_user("marianne@example.org")
    code, _, errors = await octavia("grant", "nobody@example.org", "5")
    assert (code, "no account with the address" in errors) == (1, True)
    async with make_session.begin() as session:
        await session.execute(sa.update(User).where(User.id == user.id).values(status="pending"))
    code, _, errors = await octavia("grant", user.email, "5")
    assert code == 1
    assert "is pending: it gets no credits" in errors


async def test_an_audit_that_finds_something_says_what_and_fails(octavia: Octavia, book: Book) -> None:
    await book.grant(10)
    async with book.make.begin() as session:
        await session.execute(sa.text("set local session_replication_role = replica"))
        await session.execute(sa.text("update credit_account set available = 11"))
    code, output, errors = await octavia("audit")
    assert code == 1
    assert f"account {book.user_id}: it has 11 available and 10 left in its lots" in output
    assert len(output.splitlines()) == 2
    assert "2 disagreements in 1 accounts, 1 entries" in errors


async def test_an_audit_of_nothing_agrees(octavia: Octavia) -> None:
    assert await octavia("audit") == (0, "0 accounts, 0 entries: all agree\n", "")
