"""What the command line does with credits, straight in the database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from uuid_utils.compat import uuid7

from orchestrator.accounts.commands import find, transaction
from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.audit import Extent, disagreements, extent
from orchestrator.credits.ledger import Balance
from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

REFERENCE = "operator"


class NoGrantToError(OctaviaError):
    """A pending account may still be forgotten, a deleted one is nobody's."""

    def __init__(self, user: User) -> None:
        super().__init__(
            "no_grant_to", f"The account {user.email} is {user.status}: it gets no credits. Nothing was changed.", 409
        )


class AuditError(OctaviaError):
    def __init__(self, found: int, size: Extent) -> None:
        super().__init__(
            "audit_disagrees",
            f"{found} disagreements in {_told(size)}. Keep the database as it is, and let nobody spend until they are"
            " explained.",
            500,
        )


async def grant(
    settings: Settings,
    email: str,
    credits: int,
    *,
    note: str | None = None,
    expires_in_days: int | None = None,
    key: str | None = None,
) -> tuple[User, Balance]:
    """Grants credits; with a key, once however often it is called. Raises NoSuchUserError, NoGrantToError."""
    async with transaction(settings) as session:
        user = await find(session, email)
        if user.status not in ("active", "disabled"):
            raise NoGrantToError(user)
        expires_at = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
        key = f"{REFERENCE}:{key or uuid7()}"
        await ledger.grant(session, user.id, credits, key=key, reference=REFERENCE, expires_at=expires_at, note=note)
        return user, await ledger.balance(session, user.id)


async def audit(settings: Settings, say: Callable[[str], None]) -> str:
    """Adds everything up again and says each disagreement; a sentence where there is none. Raises AuditError."""
    async with transaction(settings, isolation="REPEATABLE READ", quick=False) as session:
        size = await extent(session)
        found = 0
        async for disagreement in disagreements(session):
            say(disagreement)
            found += 1
    if found:
        raise AuditError(found, size)
    return f"{_told(size)}: all agree"


def _told(size: Extent) -> str:
    return f"{size.accounts} accounts, {size.entries} entries"
