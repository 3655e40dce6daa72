"""What a job does while something it needs is away: it waits and goes on, or ends with words that say what to do."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.database import EmbeddedPostgres
from orchestrator.local.client import Client
from tests.fixtures_system import SAMPLE, System, finish, system_environment
from tests.standins.forwarder import Forwarder

REQUEST = {"kind": "video_translation", "target_languages": ["es"], "source_language": "en"}


async def start(client: Client) -> dict[str, Any]:
    media = await client.upload(SAMPLE)
    return await client.start({"media_id": media["id"], **REQUEST})


async def until_heard(client: Client, job: dict[str, Any]) -> None:
    async for event in client.follow(job["id"]):
        if event.get("counts", {}).get("transcribing", [0, 0])[0] > 0:
            return
    raise AssertionError("the job ended before it could be disturbed")


def test_a_job_waits_for_a_model_plane_that_is_away(model_plane: str, data_dir: Path) -> None:
    with Forwarder(model_plane) as line:
        system = System(data_dir, system_environment(data_dir, line.address))
        system.start()

        async def work(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
            line.cut()
            job = await start(client)
            await asyncio.sleep(6)
            waiting = await client.job(job["id"])
            line.mend()
            return waiting, await finish(client, job)

        waiting, done = system.ask(work)
        system.stop()
    assert waiting["status"] in ("pending", "processing")
    assert done["status"] == "completed", done["error"]


def test_a_job_whose_model_plane_stays_away_fails_with_words_that_say_so(model_plane: str, data_dir: Path) -> None:
    with Forwarder(model_plane) as line:
        system = System(data_dir, system_environment(data_dir, line.address, OCTAVIA_MODEL_WAIT_S="3"))
        system.start()

        async def work(client: Client) -> dict[str, Any]:
            line.cut()
            return await finish(client, await start(client))

        job = system.ask(work)
        system.stop()
    assert job["status"] == "failed"
    assert job["error"]["code"] == "models_unavailable"
    assert "model plane" in job["error"]["message"]


def test_a_job_goes_on_after_ten_seconds_without_a_database(model_plane: str, data_dir: Path) -> None:
    database = EmbeddedPostgres(data_dir / "database")
    url = database.start()
    system = System(data_dir, system_environment(data_dir, model_plane, OCTAVIA_DATABASE_URL=url))
    system.start()

    async def work(client: Client) -> tuple[int, dict[str, Any]]:
        job = await start(client)
        await until_heard(client, job)
        await asyncio.to_thread(database.stop)
        stopped = time.monotonic()
        async with httpx.AsyncClient() as http:
            status = (await http.get(f"{system.state['api_url']}/readyz", timeout=60)).status_code
        await asyncio.sleep(max(0.0, 10 - (time.monotonic() - stopped)))
        await asyncio.to_thread(database.start)
        return status, await finish(client, job)

    try:
        status, job = system.ask(work)
    finally:
        system.stop()
        database.stop()
    assert status == 503
    assert job["status"] == "completed", job["error"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0777", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_fails_the_job_with_clear_words_and_leaves_nothing_half_written(
    model_plane: str, data_dir: Path, small_disk: Path
) -> None:
    scratch = small_disk / "tmp"
    scratch.mkdir(mode=0o777)
    environment = system_environment(
        data_dir, model_plane, OCTAVIA_STORAGE_URL=f"file://{small_disk}/storage", OCTAVIA_SCRATCH_DIR=str(scratch)
    )
    system = System(data_dir, environment)
    system.start()
    try:

        async def work(client: Client) -> dict[str, Any]:
            return await finish(client, await start(client))

        job = system.ask(work)
    finally:
        system.stop()
    assert job["status"] == "failed"
    assert job["error"]["code"] == "storage_full"
    assert "space" in job["error"]["message"] or "full" in job["error"]["message"]
    assert job["artifacts"] == []
    assert list(scratch.rglob("octavia-*")) == []
    assert [path for path in small_disk.rglob("*.mp4") if "artifacts" in path.parts] == []
