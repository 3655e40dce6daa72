"""The retry policy of the README, as a client writes it: repeat what was refused or interrupted, later and later.

UNAVAILABLE (a replica stopped or starts) and RESOURCE_EXHAUSTED (overload) are safe to repeat, for inference changes
nothing. Everything else is final.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tritonclient.utils import InferenceServerException

Answer = TypeVar("Answer")

REPEATED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "429", "503"})
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


def status_of(error: InferenceServerException) -> str:
    """gRPC's status without its prefix, or the number of HTTP's."""
    return str(error.status()).removeprefix("StatusCode.")


async def patiently(call: Callable[[], Awaitable[Answer]], patience_s: float = 120.0) -> tuple[Answer, int]:
    """The answer, and how often it was asked for again. Raises what is final, or the last error after patience_s."""
    deadline = time.monotonic() + patience_s
    pause, repeats = FIRST_PAUSE_S, 0
    while True:
        try:
            return await call(), repeats
        except InferenceServerException as error:
            if status_of(error) not in REPEATED or time.monotonic() > deadline:
                raise
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause, repeats = min(pause * 2, LONGEST_PAUSE_S), repeats + 1
