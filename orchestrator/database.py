"""PostgreSQL: the declarative base, engines that wait out or report an outage, sessions."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.connections import POOL
from orchestrator.embedded_postgres import EmbeddedPostgres
from orchestrator.errors import OctaviaError
from orchestrator.patience import pauses
from orchestrator.time_limit import not_counted

__all__ = ["Base", "EmbeddedPostgres", "make_engine", "make_sync_engine", "one_of", "patiently", "sessions"]

T = TypeVar("T")

PATIENCE_S = 120.0
"""How long a step's own statements wait for a database that is away."""


class Base(DeclarativeBase):
    """Base of all tables. Constraints are named by rule, so that migrations can name them too."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The condition of a check constraint that allows these values alone."""
    return f"{column} in ({', '.join(repr(value) for value in values)})"


class NoDatabaseError(OctaviaError):
    """A process that does not own a database was started without the address of one."""

    def __init__(self) -> None:
        super().__init__(
            "no_database",
            "No database is configured. Set OCTAVIA_DATABASE_URL, or use `octavia up`, which brings one.",
            503,
        )


def make_engine(url: str | None, *, quick: bool = False, pool: int = POOL) -> AsyncEngine:
    """An asynchronous engine of at most `pool` connections, which stay open once they were needed.

    `quick` gives up on a database that is away in seconds: for the API, not for workers.
    """
    engine = create_async_engine(_address(url), **_options(quick, pool))
    _say_connection_failed(engine.sync_engine)
    return engine


def make_sync_engine(url: str | None, *, quick: bool = False, pool: int = POOL) -> sa.Engine:
    """The synchronous twin of `make_engine`, for DBOS and migrations."""
    engine = sa.create_engine(_address(url), **_options(quick, pool))
    _say_connection_failed(engine)
    return engine


def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """A factory of sessions whose objects stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


async def patiently(
    engine: AsyncEngine, work: Callable[[AsyncSession], Awaitable[T]], limit_s: float = PATIENCE_S
) -> T:
    """Run `work` in one transaction, again from the start while the database is away or refuses by deadlock.

    Raises what the database last said when it has not recovered within `limit_s` seconds.
    """
    make = sessions(engine)
    give_up_at = time.monotonic() + limit_s
    for pause in pauses(0.1, 3.0):
        try:
            async with make.begin() as session:
                return await work(session)
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if time.monotonic() > give_up_at or not is_outage(error):
                raise
        with not_counted():
            await asyncio.sleep(pause)
    raise AssertionError("the pauses have no end")


def is_outage(error: Exception) -> bool:
    """Whether the same statement may succeed later: the connection broke, or the server stopped, starts, or is full.

    No free connection in the pool is one too: while the server is away, those who wait for it hold them all.
    """
    if isinstance(error, sa.exc.DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)
    return isinstance(error, sa.exc.TimeoutError)


def _address(url: str | None) -> sa.URL:
    if url is None:
        raise NoDatabaseError
    return sa.make_url(url).set(drivername="postgresql+psycopg")


def _options(quick: bool, pool: int) -> dict[str, Any]:
    # A frozen process must not keep its row locks: the server ends a transaction that idles.
    server = ["-c idle_in_transaction_session_timeout=15000"]
    if quick:
        server.append("-c statement_timeout=15000")
    return {
        "pool_size": pool,
        "max_overflow": 0,
        "pool_timeout": 5 if quick else 30,
        "pool_pre_ping": True,
        "hide_parameters": True,  # bound parameters hold people's text, and errors are logged
        "connect_args": {
            "connect_timeout": 3 if quick else 10,
            "options": " ".join(server),
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    }


def _say_connection_failed(engine: sa.Engine) -> None:
    """Begin every failure to connect with "connection failed", the words after which DBOS waits and tries again.

    psycopg says "connection is bad" of a missing socket and "failed to resolve host" of DNS, and DBOS 3.4 takes
    these for the workflow's own failure.
    """

    @sa.event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, _: ConnectionPoolEntry, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> DBAPIConnection:
        try:
            return dialect.connect(*arguments, **options)
        except psycopg.OperationalError as error:
            raise type(error)(f"connection failed: {error}") from error
