"""Looks for what is left over, again and again: one thing that cannot be done keeps nothing else from its turn."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

import structlog

from orchestrator.database import is_outage
from orchestrator.observability.metrics import SWEEP_FAILURES

log = structlog.get_logger(__name__)
T = TypeVar("T")


class SweepError(ExceptionGroup[Exception]):
    """Some of it failed; the rest has been done."""


async def for_ever(look: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Look again and again; what failed is tried again at the next."""
    while True:
        await asyncio.sleep(every_s)
        with suppress(SweepError):
            await look()


async def every_part(parts: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
    """Do all parts of a look, which do not depend on each other; what fails is logged and counted by its name.

    Raises SweepError once all have had their turn.
    """
    await every_row(parts.items(), _told)


async def every_row(rows: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do something for each of the rows that a part has found. Raises SweepError once all have had their turn."""
    failed: list[Exception] = []
    for row in rows:
        try:
            await work(row)
        except Exception as error:  # noqa: BLE001 - of whatever kind: what comes after it is other people's
            failed.append(error)
    if failed:
        raise SweepError("not all that was looked after could be done", failed)


async def _told(part: tuple[str, Callable[[], Awaitable[object]]]) -> None:
    name, work = part
    try:
        await work()
    except Exception as error:
        SWEEP_FAILURES.labels(name).inc()
        if _is_outage(error):
            log.warning("a part of the sweep failed", part=name, error=type(error).__name__)
        else:
            log.exception("a part of the sweep failed", part=name)
        raise


def _is_outage(error: Exception) -> bool:
    errors = error.exceptions if isinstance(error, SweepError) else (error,)
    return all(is_outage(each) for each in errors)
