"""When to ask a server again, and when to give up on a slow one."""

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 60.0
SLOW_BYTES_PER_S = 1000
SLOW_WINDOW_S = 60.0


def asked_wait_s(retry_after: str | None) -> float:
    """Seconds a Retry-After header asks for (RFC 9110, 10.2.3), 0 without one; at most LONGEST_WAIT_S."""
    if not retry_after:
        return 0.0
    if retry_after.isascii() and retry_after.strip().isdigit():
        return min(float(retry_after), LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # where the year is no number for a computer
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_WAIT_S)


def pause(number: int, retry_after: str | None = None) -> None:
    """Waits before attempt `number` + 1: twice as long each time, with jitter, and never shorter than asked for."""
    own = min(32 * FIRST_WAIT_S, FIRST_WAIT_S * 2**number) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
    time.sleep(max(own, asked_wait_s(retry_after)))


class Pace:
    """Notices a transfer that goes on, but so slowly that it would never end."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._bytes = 0

    def too_slow(self, count: int) -> bool:
        """Notes `count` more bytes; true when the last full window had under SLOW_BYTES_PER_S."""
        self._bytes += count
        elapsed = time.monotonic() - self._began
        if elapsed < SLOW_WINDOW_S:
            return False
        slow = self._bytes < SLOW_BYTES_PER_S * elapsed
        self._began, self._bytes = time.monotonic(), 0
        return slow
