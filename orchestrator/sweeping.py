"""Looks for what is left over, again and again: one thing that cannot be done keeps nothing else from its turn."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

import structlog

from orchestrator.database import is_outage
from orchestrator.observability.metrics import SWEEP_FAILURES

log = structlog.get_logger(__name__)
T = TypeVar("T")


class SweepError(ExceptionGroup[Exception]):
    """Some of it failed; the rest has been done."""


async def every_part(parts: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
    """Do all parts of a look, which do not depend on each other; what fails is logged and counted by its name.

    Raises SweepError once all have had their turn.
    """
    failed: list[Exception] = []
    for name, part in parts.items():
        try:
            await part()
        except Exception as error:  # of whatever kind: the parts after it are other people's money and files
            failed.append(error)
            SWEEP_FAILURES.labels(name).inc()
            if _is_outage(error):
                log.warning("a part of the sweep failed", part=name, error=type(error).__name__)
            else:
                log.exception("a part of the sweep failed", part=name)
    if failed:
        raise SweepError("parts of the sweep failed", failed)


async def every_row(rows: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do something for each of the rows that a part has found. Raises SweepError once all have had their turn."""
    failed: list[Exception] = []
    for row in rows:
        try:
            await work(row)
        except Exception as error:  # noqa: BLE001 - raised when all rows are done
            failed.append(error)
    if failed:
        raise SweepError("rows of a part failed", failed)


def _is_outage(error: Exception) -> bool:
    errors = error.exceptions if isinstance(error, SweepError) else (error,)
    return all(is_outage(each) for each in errors)
