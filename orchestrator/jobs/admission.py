"""Who may follow events: so many streams a user at once in this process, and each as long as its token is good."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa

from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.database import is_outage
from orchestrator.errors import OctaviaError

CHECK_S = 30.0
"""How often a token is looked up again: a login may be ended, an API token revoked, an account closed."""
RETRY_AFTER_S = 10

Check = Callable[[], Awaitable[object]]
"""Raises InvalidTokenError where the token is not good any more."""


class TooManyStreamsError(OctaviaError):
    def __init__(self, most: int) -> None:
        super().__init__(
            "too_many_streams",
            f"You have {most} event streams open, which is the most. Close one, or follow all of your jobs by one:"
            " GET /v1/events.",
            429,
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )


@dataclass(slots=True)
class _Token:
    """What is known of a token, for all streams opened with it."""

    streams: int
    checked_at: float
    is_good: bool = True


class Admission:
    """The streams of one process."""

    def __init__(self, most: int) -> None:
        """`most`: streams of a user at once."""
        self._most = most
        self._open: Counter[UUID] = Counter()
        self._tokens: dict[str, _Token] = {}

    @contextmanager
    def admitted(self, user_id: UUID, secret: str, expires_at: datetime | None, check: Check) -> Iterator["Pass"]:
        """A stream's place while the context lasts. The token `secret` is good now. Raises TooManyStreamsError."""
        if self._open[user_id] >= self._most:
            raise TooManyStreamsError(self._most)
        self._open[user_id] += 1
        token = self._tokens.setdefault(secret, _Token(0, time.monotonic()))
        token.streams += 1
        try:
            yield Pass(token, expires_at, check)
        finally:
            token.streams -= 1
            if not token.streams:
                self._tokens.pop(secret, None)
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._open.total()


@dataclass(frozen=True, slots=True)
class Pass:
    """A stream's leave to go on."""

    _token: _Token
    _expires_at: datetime | None
    _check: Check

    async def seconds_left(self) -> float:
        """How long the token is good for certain, at most CHECK_S; 0 where it is not any more."""
        left = CHECK_S
        if self._expires_at is not None:
            left = min(left, (self._expires_at - datetime.now(UTC)).total_seconds())
        if left > 0 and time.monotonic() - self._token.checked_at > CHECK_S:
            await self._look_up()
        return max(0.0, left) if self._token.is_good else 0.0

    async def _look_up(self) -> None:
        self._token.checked_at = time.monotonic()  # first, so that the token's other streams do not look it up too
        try:
            await self._check()
        except InvalidTokenError:
            self._token.is_good = False
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if not is_outage(error):
                raise
