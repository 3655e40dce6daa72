"""Who is asking: the user of a request's bearer token."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orchestrator.accounts import service
from orchestrator.accounts.models import User
from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.context import Context

_bearer = HTTPBearer(auto_error=False, description="The access token of a login.")


async def _current_user(
    context: Context, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> User:
    if credentials is None:
        raise InvalidTokenError(given=False)
    user_id = context.tokens.user_of(credentials.credentials)
    async with context.sessions() as session:
        user = await service.find(session, user_id)
    if user is None:
        raise InvalidTokenError(given=True)
    return user


CurrentUser = Annotated[User, Depends(_current_user)]
"""The active user of the token; without one the request is answered 401."""
