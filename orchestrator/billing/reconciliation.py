"""Polar's books against ours: what no webhook brought is repaired, what nobody paid is ended.

What is guaranteed. Whatever Polar's API says of an order, its refunds and its disputes, and of subscriptions, is what
our books say after a run that looked back so far, though not one webhook had come. Nothing keeps the rest from its
turn: each item is a transaction of its own, and one that cannot be read or taken over is left by its id (`leftovers`)
and asked for again by every run; a part that Polar does not answer, or whose scope the token lacks, is told, and
looked back at by the next run as far as by this one. Runs may overlap.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.billing.leftovers import Kind
from orchestrator.billing.look_back import REACH, look_back
from orchestrator.billing.models import ReconciliationPart, ReconciliationRun
from orchestrator.billing.polar import Polar
from orchestrator.billing.polar_errors import PolarError
from orchestrator.billing.repairs import Repairs
from orchestrator.database import sessions
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

PATIENCE_S = 180.0
"""For one answer of Polar's: nobody waits, and its limit of requests is that of a minute."""


async def run(engine: AsyncEngine, settings: Settings, *, days: int) -> ReconciliationRun:
    """One run over the last `days`, and as far as `look_back` says for each list.

    Its row says what it did, and which parts it could not do. Raises what the database says.
    """
    make = sessions(engine)
    now = datetime.now(UTC)
    async with make.begin() as session:
        since = await _since(session, days, now)
        row = ReconciliationRun(since=since["order"])
        session.add(row)
    try:
        async with Polar.from_settings(settings, patience_s=PATIENCE_S) as polar:
            row.error = _told(await Repairs(polar, make, settings, row, since).run(now))
    except PolarError as error:
        row.error = error.message
    row.finished_at = datetime.now(UTC)
    async with make.begin() as session:
        await session.merge(row)
    log.info("reconciled", since=row.since.isoformat(), orders=row.orders, repaired=row.repaired, failed=row.failed)
    return row


async def _since(session: AsyncSession, days: int, now: datetime) -> Mapping[Kind, datetime]:
    rows = await session.execute(sa.select(ReconciliationPart.name, ReconciliationPart.done_at))
    done = {row.name: row.done_at for row in rows}
    return {kind: look_back(kind, days, now, done.get(f"{kind}s")) for kind in REACH}


def _told(not_done: Mapping[str, str]) -> str | None:
    """Which parts were not done, and why; None: all were."""
    names: dict[str, list[str]] = {}
    for name, why in not_done.items():
        names.setdefault(why, []).append(name)
    return " ".join(f"Not done: {', '.join(parts)}. {why}" for why, parts in names.items()) or None
