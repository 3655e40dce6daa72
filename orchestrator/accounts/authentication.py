"""Who is asking: the user of a request's bearer token, from where, and whether by a login or by an API token."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orchestrator.accounts import api_tokens, sessions
from orchestrator.accounts.audit import LONGEST_AGENT, Origin
from orchestrator.accounts.models import User
from orchestrator.accounts.secrets import API_TOKEN_PREFIX
from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.client_address import ClientAddress
from orchestrator.context import AppContext, Context
from orchestrator.errors import OctaviaError

_bearer = HTTPBearer(auto_error=False, description="The access token of a login, or an API token (oct_…).")


class LoginRequiredError(OctaviaError):
    """An API token asked for what only its owner may do."""

    def __init__(self) -> None:
        super().__init__("login_required", "An API token cannot do this. Log in with your password.", 403)


@dataclass(frozen=True, slots=True)
class Principal:
    """The active user who asks; `session_id` is None where an API token asks for them.

    `expires_at` is when the access token does; None for an API token.
    """

    user: User
    session_id: UUID | None
    expires_at: datetime | None


async def principal_of(context: AppContext, secret: str) -> Principal:
    """Whose token this is, if it is good now. Raises InvalidTokenError."""
    login, expires_at = None, None
    async with context.sessions.begin() as session:
        if secret.startswith(API_TOKEN_PREFIX):
            user = await api_tokens.user_of(session, secret)
        else:
            claims = context.tokens.read(secret)
            login, expires_at = claims.session_id, claims.expires_at
            user = await sessions.user_of(session, claims.user_id, login)
    if user is None:
        raise InvalidTokenError(given=True)
    return Principal(user, login, expires_at)


def _secret(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    if credentials is None:
        raise InvalidTokenError(given=False)
    return credentials.credentials


BearerToken = Annotated[str, Depends(_secret)]
"""The request's token, good or not; without one the request is answered 401."""


async def _principal(context: Context, secret: BearerToken) -> Principal:
    return await principal_of(context, secret)


def _user(principal: Annotated[Principal, Depends(_principal)]) -> User:
    return principal.user


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A user who logged in, and the login."""

    user: User
    session_id: UUID


def _logged_in(principal: Annotated[Principal, Depends(_principal)]) -> LoggedIn:
    if principal.session_id is None:
        raise LoginRequiredError
    return LoggedIn(principal.user, principal.session_id)


def _origin(request: Request, address: ClientAddress) -> Origin:
    agent = "".join(letter for letter in request.headers.get("User-Agent", "") if letter.isprintable())
    return Origin(address, agent[:LONGEST_AGENT] or None)


CurrentPrincipal = Annotated[Principal, Depends(_principal)]

CurrentUser = Annotated[User, Depends(_user)]
"""The active user of the token; without one the request is answered 401."""

CurrentLogin = Annotated[LoggedIn, Depends(_logged_in)]
"""As CurrentUser, but an API token is answered 403: what changes the account itself."""

CallerOrigin = Annotated[Origin, Depends(_origin)]
