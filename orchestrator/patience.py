"""What is asked again when it fails, how often, and after which pauses: the one table of all steps of a job.

What is not named here fails at once: a damaged file, a language without a model, a request a model refuses. DBOS's own
retries of steps are not used: what they raise in the end hides its cause, and they have no jitter.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Rule:
    """So many attempts in all, with pauses that double from the first to the longest, in seconds."""

    attempts: int
    first_s: float
    longest_s: float

    def pause_after(self, attempts: int) -> float | None:
        """The pause after so many failed attempts; None where there is no further one."""
        if attempts >= self.attempts:
            return None
        return _jittered(min(self.first_s * 2 ** (attempts - 1), self.longest_s))


def pauses(first_s: float, longest_s: float) -> Iterator[float]:
    """Pauses that double, without end."""
    pause = first_s
    while True:
        yield _jittered(pause)
        pause = min(pause * 2, longest_s)


def _jittered(pause: float) -> float:
    """Shortened at random by up to a half, so that those who failed together do not come back together."""
    return pause * random.uniform(0.5, 1.0)  # noqa: S311


OUTAGE = "database_away"
"""For the table alone: a database that has not come back within the patience of a single statement."""

RULES: Mapping[str, Rule] = {
    # About two minutes: an object store that throttles or restarts. Its client has tried for itself before.
    "storage_failed": Rule(attempts=7, first_s=1.0, longest_s=30.0),
    # A disk may have room again when another job has ended.
    "storage_full": Rule(attempts=3, first_s=2.0, longest_s=10.0),
    "out_of_memory": Rule(attempts=4, first_s=5.0, longest_s=30.0),
    # ffmpeg ended without saying anything about the file: something ended it.
    "media_failed": Rule(attempts=2, first_s=2.0, longest_s=2.0),
    # Every attempt is as long as `database.PATIENCE_S`.
    OUTAGE: Rule(attempts=5, first_s=1.0, longest_s=30.0),
}
"""By the code of an error."""

AT_ONCE = Rule(attempts=1, first_s=0.0, longest_s=0.0)


class Trouble(Enum):
    """What the status of a failed call to a model means."""

    REFUSED = auto()
    """It will not pass."""
    FAULT = auto()
    """Of the model itself; perhaps a dying replica's last word."""
    AWAY = auto()
    """The plane, or the replica that was at work on the call."""
    OVERLOADED = auto()
    OVERDUE = auto()
    """No answer within the time of a call: the replica hangs, another may not."""


TROUBLES: Mapping[str, Trouble] = {
    "INVALID_ARGUMENT": Trouble.REFUSED,
    "NOT_FOUND": Trouble.REFUSED,
    "FAILED_PRECONDITION": Trouble.REFUSED,
    "OUT_OF_RANGE": Trouble.REFUSED,
    "UNIMPLEMENTED": Trouble.REFUSED,
    "INTERNAL": Trouble.FAULT,
    "UNKNOWN": Trouble.FAULT,
    "DATA_LOSS": Trouble.FAULT,
    "RESOURCE_EXHAUSTED": Trouble.OVERLOADED,
    "DEADLINE_EXCEEDED": Trouble.OVERDUE,
}
"""By gRPC status; any other is AWAY."""

FAULTS_FORGIVEN = 3
INTERRUPTIONS_FORGIVEN = 3
"""A call whose replica dies in the middle of it is asked again so often, once the model is ready: it may be why."""
INTERRUPTION_S = 15.0
"""Of interruptions within this time one counts: a replica takes that long to come back, and who asks meanwhile did
nothing."""
MODEL_PAUSES = (0.2, 5.0)
"""First and longest pause before a model is asked again."""
