"""Rate limits as dependencies of routes."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, params

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.client_address import ClientAddress
from orchestrator.context import Context
from orchestrator.rate_limits.rules import RULES, Action


def within(action: Action) -> list[params.Depends]:
    """The `dependencies` of a route that is limited as `action`."""
    return [Depends(limited(action))]


def limited(action: Action) -> Callable[..., Awaitable[None]]:
    """A dependency that counts an attempt per client address and overall before anything else of the request is done.

    Where the action is one of a logged-in user it then counts per user too; elsewhere the handler calls
    `context.limits.hit(action, address=…, account=…)` once it knows the account.  `dependencies=[Depends(limited(…))]`
    """

    async def count(context: Context, address: ClientAddress) -> None:
        await context.limits.hit(action, address=address)

    if not RULES[action].of_user:
        return count

    async def count_user(
        context: Context, address: ClientAddress, _: Annotated[None, Depends(count)], user: CurrentUser
    ) -> None:
        await context.limits.hit(action, address=address, user_id=user.id)

    return count_user
