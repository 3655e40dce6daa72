"""Engines, patience through outages, migrations, the embedded server."""

import asyncio
import stat
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from orchestrator import migrations
from orchestrator.database import EmbeddedPostgres, NoDatabaseError, make_engine, make_sync_engine, patiently
from orchestrator.migrations.tables import metadata

pytestmark = pytest.mark.anyio

NEWEST = max(path.name[:4] for path in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))


def test_the_migrated_tables_are_those_of_the_models(database_url: str) -> None:
    engine = make_sync_engine(database_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    engine.dispose()
    assert [each for each in differences if "alembic_version" not in str(each)] == []


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    migrations.upgrade(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(NEWEST,)]
        assert connection.execute("select count(*) from dbos.workflow_status").fetchone() == (0,)


async def test_processes_that_start_at_once_migrate_once(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("create database racing")
    url = postgres.url("racing")
    await asyncio.gather(*(asyncio.to_thread(migrations.upgrade, url) for _ in range(3)))
    with psycopg.connect(url) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(NEWEST,)]


def test_without_an_address_the_error_says_what_to_set() -> None:
    with pytest.raises(NoDatabaseError, match="OCTAVIA_DATABASE_URL"):
        make_engine(None)


def test_bound_values_never_show_in_an_error(database_url: str) -> None:
    engine = make_sync_engine(database_url)
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as error:
        connection.execute(sa.text("select 1/(case when :secret = 'a diary' then 0 end)"), {"secret": "a diary"})
    engine.dispose()
    assert "a diary" not in str(error.value).partition("[SQL")[2].replace("'a diary'", "")
    assert "hide_parameters" in str(error.value)


@pytest.mark.parametrize("url", ["postgresql://u@/x?host=/nowhere", "postgresql://u@127.0.0.1:1/x"])
def test_failing_to_connect_is_said_in_the_words_after_which_dbos_waits(url: str) -> None:
    engine = make_sync_engine(url, quick=True)
    with pytest.raises(sa.exc.OperationalError, match="connection failed"):
        engine.connect()


async def test_patient_work_waits_out_a_restart_and_is_done_once(
    postgres: EmbeddedPostgres, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("create table done (id int)"))
    await asyncio.to_thread(postgres.stop)

    async def work(session: AsyncSession) -> int:
        await session.execute(sa.text("insert into done values (1)"))
        return 7

    waiting = asyncio.create_task(patiently(engine, work))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await asyncio.to_thread(postgres.start)
    assert await waiting == 7
    async with engine.begin() as connection:
        assert await connection.scalar(sa.text("select count(*) from done")) == 1
        await connection.execute(sa.text("drop table done"))


async def test_patient_work_waits_for_a_free_connection(database_url: str) -> None:
    engine = create_async_engine(
        sa.make_url(database_url).set(drivername="postgresql+psycopg"), pool_size=1, max_overflow=0, pool_timeout=0.05
    )

    async def work(session: AsyncSession) -> int:
        return int((await session.execute(sa.text("select 7"))).scalar_one())

    async with engine.connect():
        with pytest.raises(sa.exc.TimeoutError):
            await patiently(engine, work, limit_s=0)
        waiting = asyncio.create_task(patiently(engine, work))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert await waiting == 7
    await engine.dispose()


async def test_patience_ends() -> None:
    engine = make_engine("postgresql://u@/x?host=/nowhere")

    async def work(session: AsyncSession) -> None:
        await session.execute(sa.text("select 1"))

    with pytest.raises(sa.exc.OperationalError):
        await patiently(engine, work, limit_s=0.2)


async def test_a_mistake_in_the_statement_is_not_repeated(engine: AsyncEngine) -> None:
    calls = 0

    async def work(session: AsyncSession) -> None:
        nonlocal calls
        calls += 1
        await session.execute(sa.text("select nonsense"))

    with pytest.raises(sa.exc.ProgrammingError):
        await patiently(engine, work)
    assert calls == 1


def test_the_embedded_server_survives_a_pid_file_of_another_process(server_folder: Path) -> None:
    closed = server_folder / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "pg")
    url = server.start()
    with psycopg.connect(url) as connection:
        connection.execute("create table kept (id int)")
    server.stop()
    (closed / "pg" / "postmaster.pid").write_text(
        "1\n" + "\n".join([str(closed / "pg"), "0", "5432", "", "", "0 0", "ready"])
    )
    again = EmbeddedPostgres(closed / "pg")
    with psycopg.connect(again.start()) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)
    again.stop()
    assert not stat.S_IMODE(closed.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH), "the folder above became readable"
