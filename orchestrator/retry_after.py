"""The Retry-After header of HTTP answers (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_DIGITS = 12
"""Of seconds: thirty thousand years. What is longer is no wish."""


def wished_s(retry_after: str | None, now: datetime) -> float | None:
    """The seconds that the header asks for; None where it does not, or not clearly."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= MOST_DIGITS else None
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):  # where the year is no number for a computer
        return None
    return max(0.0, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())
