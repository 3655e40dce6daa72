"""Who is asking: the user of a request's bearer token, from where, and whether by a login or by an API token."""

from dataclasses import dataclass
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
from orchestrator.context import Context
from orchestrator.errors import OctaviaError

_bearer = HTTPBearer(auto_error=False, description="The access token of a login, or an API token (oct_…).")


class LoginRequiredError(OctaviaError):
    """An API token asked for what only its owner may do."""

    def __init__(self) -> None:
        super().__init__("login_required", "An API token cannot do this. Log in with your password.", 403)


@dataclass(frozen=True, slots=True)
class Principal:
    """The active user who asks; `session_id` is None where an API token asks for them."""

    user: User
    session_id: UUID | None


async def _principal(
    context: Context, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    if credentials is None:
        raise InvalidTokenError(given=False)
    secret = credentials.credentials
    async with context.sessions.begin() as session:
        if secret.startswith(API_TOKEN_PREFIX):
            user, login = await api_tokens.user_of(session, secret), None
        else:
            claims = context.tokens.read(secret)
            user, login = await sessions.user_of(session, claims.user_id, claims.session_id), claims.session_id
    if user is None:
        raise InvalidTokenError(given=True)
    return Principal(user, login)


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


CurrentUser = Annotated[User, Depends(_user)]
"""The active user of the token; without one the request is answered 401."""

CurrentLogin = Annotated[LoggedIn, Depends(_logged_in)]
"""As CurrentUser, but an API token is answered 403: what changes the account itself."""

CallerOrigin = Annotated[Origin, Depends(_origin)]
