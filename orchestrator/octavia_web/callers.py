"""Who calls this surface: by the login of its own long token. A page keeps it for days and cannot refresh it."""

from datetime import timedelta

from orchestrator.accounts.models import User
from orchestrator.accounts.sessions import Entry, Lifetimes
from orchestrator.context import AppContext
from orchestrator.credits.ledger import balance


def lifetimes(context: AppContext) -> Lifetimes:
    """A login from a page ends when its token does."""
    length = timedelta(days=context.settings.web_token_days)
    return Lifetimes(idle=length, longest=length)


def token(context: AppContext, entry: Entry) -> str:
    """The token of a login, good as long as the login."""
    lifetime = timedelta(days=context.settings.web_token_days)
    return context.tokens.issue(entry.user.id, entry.session_id, lifetime)


async def user_view(context: AppContext, user: User) -> dict[str, object]:
    """The user as the pages keep it."""
    async with context.sessions() as session:
        credits = (await balance(session, user.id)).available
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "credits": max(credits, 0),
        "verified": user.status == "active",
        "created_at": user.created_at,
    }
