"""A worker process around its work: signs of life, supervised parts, its end. Needs no models."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.jobs.heartbeat import Heartbeat
from orchestrator.jobs.worker import kept

pytestmark = pytest.mark.anyio


async def for_ever() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise KeyError("a bug")


async def test_a_part_that_fails_stops_the_worker_and_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    ended = asyncio.Event()

    async def other() -> None:
        try:
            await for_ever()
        finally:
            ended.set()

    async with kept({"heartbeat": broken(), "sweeper": other()}, asyncio.Event()) as failed:
        assert failed == ["heartbeat"]
        assert not ended.is_set(), "the others go on while the worker drains"
    assert ended.is_set()
    said = capfd.readouterr().out
    assert "heartbeat" in said
    assert "a bug" in said


async def test_a_part_that_ends_without_an_error_stops_the_worker_too() -> None:
    async def over() -> None:
        return

    async with kept({"sweeper": over()}, asyncio.Event()) as failed:
        assert failed == ["sweeper"]


async def test_a_worker_told_to_stop_has_not_failed() -> None:
    stop = asyncio.Event()
    stop.set()
    async with kept({"heartbeat": for_ever(), "sweeper": for_ever()}, stop) as failed:
        assert failed == []


async def test_the_first_beat_is_in_the_table_before_anything_else(engine: AsyncEngine) -> None:
    await Heartbeat(engine, "me", 30).begin()
    async with engine.connect() as connection:
        rows = (await connection.execute(sa.text("select executor_id, state from worker"))).all()
    assert [tuple(row) for row in rows] == [("me", "up")]


async def test_a_heartbeat_that_cannot_work_says_so_instead_of_trying_for_ever(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("alter table worker rename to away"))
    try:
        with pytest.raises(sa.exc.ProgrammingError):
            await asyncio.wait_for(Heartbeat(engine, "me", 0.1).run(), 20)
    finally:
        async with engine.begin() as connection:
            await connection.execute(sa.text("alter table away rename to worker"))


@pytest.fixture
def worker(database_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker process that is ready, without a model plane."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OCTAVIA_")},
        "OCTAVIA_DATA_DIR": str(tmp_path),
        "OCTAVIA_DATABASE_URL": database_url,
        "OCTAVIA_MODEL_ADDRESS": "127.0.0.1:1",
        "OCTAVIA_STALE_AFTER_S": "0.6",
        "OCTAVIA_DRAIN_S": "1",
        "OCTAVIA_EXECUTOR_ID": "me",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.jobs.worker"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if "worker ready" in line:
            break
    yield process
    process.kill()
    process.communicate()


def test_a_worker_says_goodbye_and_leaves_no_scratch_folder(
    worker: subprocess.Popen[str], database_url: str, tmp_path: Path
) -> None:
    assert (tmp_path / "scratch" / "me").is_dir()
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 0
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select executor_id, state from worker").fetchall() == [("me", "gone")]
    assert not (tmp_path / "scratch" / "me").exists()


def test_a_worker_whose_heartbeat_fails_logs_why_and_ends_for_its_supervisor_to_start_another(
    worker: subprocess.Popen[str], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table worker rename to away")
    try:
        said, _ = worker.communicate(timeout=60)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("alter table away rename to worker")
    assert worker.returncode == 1
    assert "a part of the worker failed" in said
    assert "UndefinedTable" in said


def test_a_worker_without_billing_forgets_old_workflows_every_night(
    worker: subprocess.Popen[str], database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "select schedule_name, workflow_name, status from dbos.workflow_schedules"
        ).fetchall()
    assert found == [("forget", "forget", "ACTIVE")]
