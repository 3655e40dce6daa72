"""`python -m orchestrator.migrations upgrade`: bring the database of OCTAVIA_DATABASE_URL up to date. `… wait`: until
somebody has, which is what a process of a new release does before it starts."""

import sys
import time

import sqlalchemy as sa
import structlog
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from orchestrator import migrations
from orchestrator.database import NoDatabaseError, make_sync_engine
from orchestrator.errors import OctaviaError
from orchestrator.logs import configure_logging
from orchestrator.settings import get_settings

log = structlog.get_logger(__name__)

EVERY_S = 2.0
USAGE = "python -m orchestrator.migrations upgrade|wait"


def is_current(engine: sa.Engine) -> bool:
    """Whether the database has this release's tables, and nobody is at work on them.

    A revision that this release does not know is a newer one's: a release that is taken back runs on it.
    """
    script = ScriptDirectory.from_config(migrations.configuration())
    with engine.connect() as connection:
        (revision,) = MigrationContext.configure(connection).get_current_heads() or (None,)
        if revision is None or not migrations.nobody_migrates(connection):
            return False
        known = {each.revision for each in script.walk_revisions()}
        return revision == script.get_current_head() or revision not in known


def wait(engine: sa.Engine) -> None:
    """Return once the database is up to date, however long that takes. One that is away is waited for too."""
    while True:
        try:
            if is_current(engine):
                return
            log.info("waiting for the database to be brought up to date")
        except sa.exc.OperationalError as error:
            log.info("waiting for the database", error=type(error.orig).__name__)
        time.sleep(EVERY_S)


def main(arguments: list[str]) -> int:
    settings = get_settings()
    configure_logging(settings)
    if arguments not in (["upgrade"], ["wait"]):
        log.error("unknown command", usage=USAGE)
        return 2
    try:
        if settings.database_url is None:
            raise NoDatabaseError
        if arguments == ["upgrade"]:
            migrations.upgrade(settings.database_url)
            log.info("the database is up to date")
        else:
            wait(make_sync_engine(settings.database_url))
    except (OctaviaError, sa.exc.SQLAlchemyError) as error:
        reason = error.message if isinstance(error, OctaviaError) else str(getattr(error, "orig", error)).strip()
        log.error("the database was not brought up to date", reason=reason)  # noqa: TRY400 - the reason says it all
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
