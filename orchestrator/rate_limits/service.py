"""Counting hits against the rules, and refusing what is too much."""

from collections.abc import Callable
from typing import NoReturn
from uuid import UUID

import structlog
from limits import RateLimitItem
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.errors import OctaviaError
from orchestrator.rate_limits import identities, known_addresses
from orchestrator.rate_limits.rules import RULES, Action, Scope, Verdict, limits_of, retry_after_s, verdict
from orchestrator.rate_limits.storage import PostgresStorage
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)


class TooManyRequestsError(OctaviaError):
    """The same words whichever limit was reached: they tell nothing about an account or about other callers."""

    def __init__(self, doing: str, retry_after_s: int) -> None:
        super().__init__(
            "too_many_requests",
            f"Too many attempts to {doing}. Try again in {_in_words(retry_after_s)}.",
            429,
            headers={"Retry-After": str(retry_after_s)},
        )


class RateLimits:
    """The limits of one process; all processes with the same database count together.

    Every count is a statement of its own on a connection of its own: call these methods where no transaction is open,
    or the requests that hold a connection wait for those that want a second one. Database errors reach the caller.
    """

    def __init__(self, engine: AsyncEngine, settings: Settings, clock: Callable[[], float] | None = None) -> None:
        """Raises InvalidRateLimitError. `clock` is that of PostgresStorage."""
        self._engine = engine
        self._enabled = settings.rate_limits_enabled
        self._limits = limits_of(settings.rate_limits)
        self._storage = PostgresStorage(engine, clock)
        self._window = SlidingWindowCounterRateLimiter(self._storage)

    async def hit(
        self, action: Action, *, address: str, account: str | None = None, user_id: UUID | None = None
    ) -> None:
        """Count one attempt. Raises TooManyRequestsError where it is one too many; that one is not counted.

        Without an account: per client address and overall, for as long as nothing else is known of the request.
        With one (the e-mail address given, whether or not an account has it, or the user who is logged in): what is
        counted per account. An attempt to log in counts as failed until `note_success`.
        """
        if not self._enabled:
            return
        if user_id is not None:
            await self._require(action, "account", str(user_id))
        elif account is not None:
            await self._hit_account(action, identities.account_hash(account), identities.caller(address))
        else:
            await self._require(action, "address", identities.caller(address))
            if not RULES[action].spares_known:
                await self._require(action, "overall")

    async def note_success(self, account: str, address: str) -> None:
        """The account was logged in to from there: its failed attempts are forgotten, the address is remembered."""
        if not self._enabled:
            return
        who = identities.account_hash(account), identities.caller(address)
        scopes: tuple[Scope, ...] = ("pair", "slowed_pair")
        for scope in scopes:
            for limit in self._limits["log_in"][scope]:
                await self._window.clear(limit, "log_in", scope, *who)
        await known_addresses.note(self._engine, who[0], identities.sha256(who[1]))

    async def _hit_account(self, action: Action, account: str, caller: str) -> None:
        await self._require(action, "pair", account, caller)
        if not RULES[action].spares_known:
            await self._require(action, "account", account)
            return
        account_over = await self._over(action, "account", account)
        overall_over = await self._over(action, "overall")
        if not (account_over or overall_over):
            return
        known = await known_addresses.is_known(self._engine, account, identities.sha256(caller))
        match verdict(account_over=account_over is not None, overall_over=overall_over is not None, known=known):
            case Verdict.REFUSE:
                assert overall_over is not None  # noqa: S101
                await self._refuse(overall_over, action, "overall")
            case Verdict.SLOW:
                await self._require(action, "slowed_pair", account, caller)
            case Verdict.ADMIT:
                pass

    async def _require(self, action: Action, scope: Scope, *who: str) -> None:
        limit = await self._over(action, scope, *who)
        if limit is not None:
            await self._refuse(limit, action, scope, *who)

    async def _over(self, action: Action, scope: Scope, *who: str) -> RateLimitItem | None:
        """Count a hit; the limit that has no room for it, or None where all have."""
        for limit in self._limits[action].get(scope, ()):
            if not await self._window.hit(limit, action, scope, *who):
                return limit
        return None

    async def _refuse(self, limit: RateLimitItem, action: Action, scope: Scope, *who: str) -> NoReturn:
        window_s = limit.get_expiry()
        key = limit.key_for(action, scope, *who)
        previous, _, current, current_ttl_s = await self._storage.get_sliding_window(key, window_s)
        wait = retry_after_s(
            limit=limit.amount,
            window_s=window_s,
            previous=previous,
            current=current,
            remaining_s=current_ttl_s - window_s,
        )
        log.info("too many requests", action=action, scope=scope, limit=str(limit), retry_after_s=wait)
        raise TooManyRequestsError(RULES[action].doing, wait)


def _in_words(seconds: int) -> str:
    """90 → "2 minutes": never less than the seconds given."""
    unit, length = next(each for each in (("hour", 3600), ("minute", 60), ("second", 1)) if seconds >= each[1])
    count = -(-seconds // length)
    return f"{count} {unit}{'' if count == 1 else 's'}"
