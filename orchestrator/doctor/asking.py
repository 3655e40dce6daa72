"""The doctor's way to the database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.database import make_engine
from orchestrator.doctor.findings import Patient
from orchestrator.errors import OctaviaError
from orchestrator.observability.house import QUERIES

_SQL: Mapping[str, str] = {query.name: query.sql for query in QUERIES}


class NoDatabaseAddressError(OctaviaError):
    def __init__(self) -> None:
        message = "No database is named, and no `octavia up` runs here. Set OCTAVIA_DATABASE_URL."
        super().__init__("no_database", message, 503)


class DatabaseAwayError(OctaviaError):
    def __init__(self, reason: str) -> None:
        super().__init__("database_away", f"The database cannot be used: {reason}. Check OCTAVIA_DATABASE_URL.", 503)


@asynccontextmanager
async def connected(patient: Patient) -> AsyncIterator[AsyncConnection]:
    """A connection that commits nothing. Raises NoDatabaseAddressError, DatabaseAwayError."""
    if patient.database_url is None:
        raise NoDatabaseAddressError
    engine = make_engine(patient.database_url, quick=True)
    try:
        async with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as error:
        raise DatabaseAwayError(str(getattr(error, "orig", error)).strip().splitlines()[0]) from error
    finally:
        await engine.dispose()


async def told(connection: AsyncConnection, metric: str, **values: Any) -> dict[tuple[str, ...], float]:
    """What one of the house's metrics says now, by its labels."""
    rows = await connection.execute(sa.text(_SQL[metric]), values)
    return {tuple(str(label) for label in labels): float(value) for *labels, value in rows}
