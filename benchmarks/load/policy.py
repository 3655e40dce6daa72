"""What a client of the API does with a refusal. Pure.

An answer 429 (too often) or 503 (not right now) with `Retry-After` changed nothing: it is asked for again after so many
seconds, at most `MOST` times. An event stream that ends before its job is opened again with `Last-Event-ID` after the
pause the stream told (`retry`). Everything else is final, a broken connection too.
"""

from collections.abc import Mapping

REPEATED = frozenset({429, 503})
MOST = 10
RECONNECT_S = 3.0
"""Where a stream told no pause."""


def pause_after(status: int, headers: Mapping[str, str], attempts: int) -> float | None:
    """Seconds until it is asked for again after so many attempts; None where it is final.

    `Retry-After` as a date (RFC 9110, section 10.2.3) is not among what the API sends, and final.
    """
    given = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    if status not in REPEATED or attempts > MOST or not given.isdigit():
        return None
    return float(given)
