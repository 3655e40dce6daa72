"""The schema's revisions (Alembic) and DBOS's own tables, brought up to date by a call."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from dbos import DBOS

from orchestrator.database import make_sync_engine

_LOCK = 0x0C7A71A
"""Advisory lock: of several processes that start at once, one migrates and the others wait."""


def upgrade(url: str, revision: str = "head") -> None:
    """Bring our tables and those of the durable queue in the database at `url` up to date. Safe to repeat."""
    engine = make_sync_engine(url)
    try:
        with _alone(engine), engine.connect() as connection:
            command.upgrade(configuration(connection), revision)
            connection.commit()
            DBOS.migrate(engine.url.render_as_string(hide_password=False))
    finally:
        engine.dispose()


def newest() -> str:
    """The revision of our tables that this code wants."""
    head = ScriptDirectory(str(Path(__file__).parent)).get_current_head()
    if head is None:
        raise RuntimeError("there is no migration")
    return head


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Hold the lock. Asked for again and again, for DBOS builds indexes concurrently: that waits for every transaction,
    and one that waits for a lock is one."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
            time.sleep(0.1)
        yield
        connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK)))


def nobody_migrates(connection: sa.Connection) -> bool:
    """Whether the lock is free right now."""
    free = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))))
    if free:
        connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK)))
    return free


def configuration(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration, for use with an open connection where there is one."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
