"""`python -m orchestrator.migrations`: who waits for the tables, and who makes them."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from orchestrator import migrations
from orchestrator.database import EmbeddedPostgres, make_sync_engine
from orchestrator.migrations.__main__ import is_current


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database without tables."""
    address = sa.make_url(postgres.url())
    server = make_sync_engine(postgres.url())
    name = "migrations_command"
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"create database {name}")
    yield address.set(database=name).render_as_string(hide_password=False)
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"drop database {name} with (force)")
    server.dispose()


def run(command: str, url: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "OCTAVIA_DATABASE_URL"}
    environment |= {"OCTAVIA_DATABASE_URL": url} if url else {}
    arguments = [sys.executable, "-m", "orchestrator.migrations", command]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_who_waits_goes_on_once_the_tables_are_made_and_nobody_is_at_work_on_them(empty: str) -> None:
    engine = make_sync_engine(empty)
    assert not is_current(engine)
    assert run("upgrade", empty).returncode == 0
    assert is_current(engine)
    with migrations._alone(engine):
        assert not is_current(engine)
    assert run("wait", empty).returncode == 0
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    assert is_current(engine), "a newer release's tables do for one that is taken back"
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '0001'"))
    assert not is_current(engine)
    engine.dispose()


def test_what_cannot_be_done_is_said_in_a_line() -> None:
    done = run("upgrade", None)
    assert done.returncode == 1
    assert "No database is configured" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert run("downgrade", None).returncode == 2
