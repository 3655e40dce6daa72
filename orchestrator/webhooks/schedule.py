"""When a delivery is tried again. Pure, but for the chance in it."""

import random
from collections.abc import Sequence
from datetime import timedelta

MINUTE_S, HOUR_S = 60.0, 3600.0

PAUSES_S: Sequence[float] = (
    5.0,
    5 * MINUTE_S,
    30 * MINUTE_S,
    2 * HOUR_S,
    5 * HOUR_S,
    10 * HOUR_S,
    14 * HOUR_S,
    20 * HOUR_S,
    24 * HOUR_S,
)
"""After the first attempt, the second, and so on: the schedule that Standard Webhooks proposes, three days in all."""

JITTER = 0.25
LONGEST_WISH_S = 24 * HOUR_S
"""An endpoint cannot put us off for longer."""

GIVEN_UP_AFTER = timedelta(days=3)
"""An endpoint that took nothing for so long is disabled."""
GONE = 410


def pause_s(tries: int, wished_s: float | None = None) -> float | None:
    """Seconds to wait after that many attempts, as long as the endpoint wishes at least; None: there is no other."""
    if tries > len(PAUSES_S):
        return None
    planned = PAUSES_S[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    return max(planned, min(wished_s or 0.0, LONGEST_WISH_S))
