"""The audit trail: what happened to an account, from where. Users read their own."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import SecurityEvent
from orchestrator.ownership import newest_first, owned_by

Kind = Literal[
    "sign_up",
    "sign_up_again",
    "verified",
    "login",
    "login_failed",
    "login_refused",
    "refresh_reused",
    "logout",
    "logout_everywhere",
    "session_revoked",
    "reset_requested",
    "password_reset",
    "password_changed",
    "profile_changed",
    "api_token_created",
    "api_token_revoked",
    "webhook_created",
    "webhook_changed",
    "webhook_deleted",
    "webhook_secret_rotated",
    "exported",
    "deleted",
    "disabled",
    "enabled",
    "role_granted",
    "cloning_consent",
]

LONGEST_AGENT = 256


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: network address and the client's own description of itself."""

    address: str | None = None
    user_agent: str | None = None


SYSTEM = Origin()
"""Of what no request caused: the command line, the purge."""


def record(session: AsyncSession, user_id: UUID | None, kind: Kind, origin: Origin, **detail: Any) -> None:
    """Adds an event to the caller's transaction."""
    session.add(
        SecurityEvent(user_id=user_id, kind=kind, address=origin.address, user_agent=origin.user_agent, detail=detail)
    )


async def page(session: AsyncSession, user_id: UUID, cursor: UUID | None, limit: int) -> list[SecurityEvent]:
    """The user's events, newest first, from after the cursor."""
    query = newest_first(owned_by(user_id, SecurityEvent), SecurityEvent, cursor, limit)
    return list((await session.scalars(query)).all())
