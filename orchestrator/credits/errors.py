"""What the ledger refuses."""

from uuid import UUID

from orchestrator.errors import OctaviaError

MOST = 1_000_000_000
"""Credits of one entry."""


class InsufficientCreditsError(OctaviaError):
    def __init__(self, needed: int, available: int) -> None:
        there = f"{max(available, 0)} are available" if available >= 0 else f"{-available} are owed"
        super().__init__(
            "insufficient_credits",
            f"Not enough credits: {needed} are needed and {there}. Buy credits and try again.",
            402,
            needed=needed,
            available=available,
        )


class LedgerConflictError(OctaviaError):
    """A key came again for something else."""

    def __init__(self, key: str) -> None:
        super().__init__(
            "ledger_conflict",
            f"The key {key} stands for another entry of the ledger. Use a new key for something new.",
            409,
        )


class InvalidCreditsError(OctaviaError):
    def __init__(self, what: str) -> None:
        super().__init__("invalid_credits", what, 422)


class NoSuchHoldError(OctaviaError):
    def __init__(self, hold_id: UUID) -> None:
        super().__init__("no_such_hold", f"There is no hold {hold_id} that could be captured or released.", 404)


class NoSuchGrantError(OctaviaError):
    def __init__(self, key: str) -> None:
        super().__init__(
            "no_such_grant",
            f"This account was not granted credits under the key {key}: nothing of it can be taken or given back.",
            404,
        )


class ExcessRefundError(OctaviaError):
    """More would be taken back than was granted, or more given back than was taken."""

    def __init__(self, key: str, credits: int, left: int, what: str) -> None:
        super().__init__(
            "excess_refund", f"Of the credits granted under {key}, {left} can be {what} back, not {credits}.", 409
        )
