"""The demo account: one for everybody who tries the frontend, where a setting turns it on. Its logins are as any other.

Whoever uses it sees the files of all who do.
"""

import secrets
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts import audit, service, sessions
from orchestrator.accounts.audit import Origin
from orchestrator.accounts.models import LOCK, User
from orchestrator.accounts.sessions import Entry
from orchestrator.context import AppContext
from orchestrator.credits import ledger
from orchestrator.credits.models import CreditEntry
from orchestrator.errors import OctaviaError
from orchestrator.octavia_web.callers import lifetimes

EMAIL = "demo@octavia.com"
NAME = "Demo"
NO_MAILS = {"email": False}
"""Its address is nobody's here."""
CREDITS = 5_000
"""What it is filled up to, once a day at most: a demo is no way to work for nothing."""
ONE_AT_A_TIME = 0x0C7A_DE30


class DemoOffError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("demo_off", "There is no demo account here. Sign up for one of your own.", 403)


async def enter(context: AppContext, origin: Origin) -> Entry:
    """A login of the demo account, which is made where there is none and filled up. Raises DemoOffError."""
    if not context.settings.demo_account:
        raise DemoOffError
    async with context.sessions.begin() as session:
        await session.execute(sa.select(sa.func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
        user = await service.find_by_email(session, EMAIL)
        if user is None:
            user = await service.create_user(session, email=EMAIL, name=NAME, password=secrets.token_urlsafe(32))
        user = await session.get_one(User, user.id, with_for_update=LOCK, populate_existing=True)
        if user.status != "active":
            raise DemoOffError
        user.notifications = NO_MAILS
        await _fill_up(session, user.id)
        entry = await sessions.start(session, user, origin, lifetimes(context))
        audit.record(session, user.id, "login", origin, login=str(entry.session_id))
        return entry


async def _fill_up(session: AsyncSession, user_id: UUID) -> None:
    key = f"demo:{user_id}:{datetime.now(UTC).date()}"
    if await session.scalar(sa.select(CreditEntry.id).where(CreditEntry.idempotency_key == key)) is not None:
        return
    missing = CREDITS - (await ledger.balance(session, user_id)).available
    if missing > 0:
        await ledger.grant(session, user_id, missing, key=key, reference="demo", note="demo account")
