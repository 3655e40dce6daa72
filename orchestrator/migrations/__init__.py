"""The schema's revisions (Alembic) and DBOS's own tables, brought up to date by a call."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from dbos import DBOS

from orchestrator.database import make_sync_engine

_LOCK = 0x0C7A71A
"""Advisory lock: of several processes that start at once, one migrates and the others wait."""


def upgrade(url: str, revision: str = "head") -> None:
    """Bring our tables and those of the durable queue in the database at `url` up to date. Safe to repeat."""
    engine = make_sync_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
            connection.commit()
            command.upgrade(_config(connection), revision)
            connection.commit()
            DBOS.migrate(engine.url.render_as_string(hide_password=False))
    finally:
        engine.dispose()


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
