"""Worker, API or model replica killed as each stage begins and at random moments: jobs end as undisturbed ones."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from orchestrator.database import EmbeddedPostgres
from orchestrator.local.client import ApiError, Client
from tests.end_to_end.test_crashes import outcome
from tests.fixtures_model_plane import Plane
from tests.fixtures_system import SAMPLE, System, finish, system_environment
from tests.standins.model_proxy import ModelProxy

STAGES = ("extracting", "transcribing", "translating", "synthesizing", "merging")
MODEL_OF = {"extracting": "vad", "transcribing": "whisper", "translating": "opus_mt"}
"""The one at work in a stage; in the others coqui_tts."""
KINDS_OF_TEXT = ("subtitles", "transcript", "quality_report")
PRICE = 10


@dataclass
class Stage:
    """A system that sells, its models behind a proxy that notes what they are asked."""

    system: System
    proxy: ModelProxy
    plane: Plane

    def victim(self, name: str, stage: str) -> psutil.Process:
        if name == "replica":
            return self.plane.replicas(MODEL_OF.get(stage, "coqui_tts"))[0]
        return self.system.worker() if name == "worker" else self.system.api()

    def speech(self, job_id: str) -> dict[str, bytes]:
        """The segments whose speech is done, by where it lies."""
        with psycopg.connect(self.system.state["database_url"]) as connection:
            query = "select audio_key from rendition where job_id = %s and audio_key is not null"
            found = [row[0] for row in connection.execute(query, [job_id]).fetchall()]
        return {key: (self.system.data_dir / "storage" / key).read_bytes() for key in found}

    def entries(self, job_id: str) -> list[str]:
        """What happened to the job's credits."""
        with psycopg.connect(self.system.state["database_url"]) as connection:
            query = "select kind from credit_entry where reference = %s order by sequence"
            return [row[0] for row in connection.execute(query, [f"job:{job_id}"]).fetchall()]


@pytest.fixture(scope="module")
def stage(server_folder: Path, plane: Plane) -> Iterator[Stage]:
    data_dir = server_folder / "moments"
    with ModelProxy(plane.address, remember=False) as proxy:
        system = System(data_dir, system_environment(data_dir, proxy.address, **selling()))
        system.start()
        yield Stage(system, proxy, plane)
        system.stop()


def selling() -> dict[str, str]:
    polar = {"OCTAVIA_POLAR_URL": "http://127.0.0.1:1", "OCTAVIA_POLAR_ACCESS_TOKEN": "polar_oat_test"}
    return {"OCTAVIA_BILLING": "true", "OCTAVIA_TEST_CREDITS": "true", **polar}


async def start(client: Client, file: Path = SAMPLE, kind: str = "video_translation") -> dict[str, Any]:
    """A job on a file, paid with credits made for it; asked again while the database or the API is away."""
    for _ in range(120):
        try:
            await client._json("POST", "/v1/credits/test-credits", json={"credits": PRICE})
            media = await client.upload(file)
            wish = {"kind": kind, "target_languages": ["es"], "source_language": "en"}
            return await client.start({"media_id": media["id"], **wish})
        except (ApiError, OSError) as error:
            if isinstance(error, ApiError) and error.status not in (500, 503):
                raise
        await asyncio.sleep(0.5)
    raise AssertionError("the API did not come back")


async def texts(client: Client, job: dict[str, Any]) -> tuple[Any, ...]:
    """What must not depend on any crash: text, timing and subtitles."""
    files = {each["name"]: each["sha256"] for each in job["artifacts"] if each["kind"] in KINDS_OF_TEXT}
    return outcome(await client.segments(job["id"])), files


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> tuple[tuple[Any, ...], float]:
    """What an undisturbed job ends as, and the seconds it takes."""

    async def work(client: Client) -> tuple[tuple[Any, ...], float]:
        began = time.monotonic()
        job = await finish(client, await start(client))
        assert job["status"] == "completed", job["error"]
        return await texts(client, job), time.monotonic() - began

    return stage.system.ask(work)


async def until_stage(client: Client, job: dict[str, Any], stage: str) -> None:
    """Reports of a stage may be left out: then the next one is as good."""
    async for event in client.follow(job["id"]):
        if event.get("stage") and STAGES.index(event["stage"]) >= STAGES.index(stage):
            return
    raise AssertionError(f"the job ended before it was {stage}")


async def disturbed(
    stage: Stage, client: Client, victim: str, expected: tuple[Any, ...], at: str | float
) -> str | None:
    """Kill the victim at the beginning of a stage or after so many seconds; the stage in which that was."""
    job = await start(client)
    if isinstance(at, str):
        await until_stage(client, job, at)
        hit = at
    else:
        await asyncio.sleep(at)
        hit = (await client.job(job["id"]))["stage"] or "extracting"
    stage.victim(victim, hit).kill()
    stage.proxy.forget()
    before = stage.speech(job["id"])
    done = await finish(client, job, seconds=600)
    assert done["status"] == "completed", done["error"]
    assert await texts(client, done) == expected
    after = stage.speech(job["id"])
    assert {name: after[name] for name in before} == before
    if victim != "replica":
        asked = stage.proxy.asked("coqui_tts", "AUDIO").total()
        assert asked <= len(after) - len(before), "what was spoken before was spoken again"
    assert stage.entries(job["id"]) == ["hold", "capture"]
    return hit


def test_an_api_process_killed_as_a_stage_begins_changes_nothing(
    stage: Stage, undisturbed: tuple[tuple[Any, ...], float]
) -> None:
    stage.system.ask(lambda client: disturbed(stage, client, "api", undisturbed[0], "translating"))


@pytest.mark.soak
@pytest.mark.parametrize("at", STAGES)
@pytest.mark.parametrize("victim", ["worker", "api", "replica"])
def test_any_process_killed_as_any_stage_begins_changes_nothing(
    stage: Stage, undisturbed: tuple[tuple[Any, ...], float], at: str, victim: str
) -> None:
    stage.system.ask(lambda client: disturbed(stage, client, victim, undisturbed[0], at))


@pytest.mark.soak
def test_processes_killed_at_twenty_random_moments_change_nothing(
    stage: Stage, undisturbed: tuple[tuple[Any, ...], float]
) -> None:
    expected, took = undisturbed
    hits: Counter[tuple[str, str | None]] = Counter()
    for number in range(20):
        victim = ("worker", "worker", "api", "replica")[number % 4]
        at = random.uniform(0, 0.9 * took)
        hit = stage.system.ask(lambda client: disturbed(stage, client, victim, expected, at))  # noqa: B023
        hits[victim, hit] += 1
    print("killed:", dict(hits))


@pytest.mark.soak
def test_fifty_jobs_end_as_undisturbed_ones_while_the_database_restarts_every_ten_seconds(
    plane: Plane, server_folder: Path, eight_seconds: Path
) -> None:
    data_dir = server_folder / "restarting"
    data_dir.mkdir()
    database = EmbeddedPostgres(data_dir / "database")
    url = database.start()
    with ModelProxy(plane.address) as proxy:
        system = System(data_dir, system_environment(data_dir, proxy.address, OCTAVIA_DATABASE_URL=url, **selling()))
        system.start()
        stage = Stage(system, proxy, plane)

        async def work(client: Client) -> tuple[Any, list[Any], list[str], int]:
            first = await finish(client, await start(client, eight_seconds, "audio_translation"))
            expected = await texts(client, first)
            jobs = [await start(client, eight_seconds, "audio_translation") for _ in range(50)]
            restarting = asyncio.create_task(restart_for_ever(database))
            ended = await asyncio.gather(*(patient_finish(client, job) for job in jobs))
            restarting.cancel()
            restarts = len(restarted)
            await asyncio.to_thread(database.start)
            return expected, [await texts(client, job) for job in ended], [job["status"] for job in ended], restarts

        restarted: list[float] = []

        async def restart_for_ever(database: EmbeddedPostgres) -> None:
            while True:
                await asyncio.sleep(10)
                await asyncio.shield(asyncio.to_thread(restart))
                restarted.append(time.monotonic())

        def restart() -> None:
            database.stop()
            database.start()

        try:
            expected, found, statuses, restarts = system.ask(work)
            settled = settled_once(url)
        finally:
            system.stop()
            database.stop()
    print(f"50 jobs through {restarts} restarts of PostgreSQL")
    assert Counter(statuses) == {"completed": 50}
    assert found == [expected] * 50
    assert settled == {"hold": 51, "capture": 51}
    assert restarts >= 2
    del stage


def settled_once(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        query = "select kind, count(*) from credit_entry where reference like 'job:%' group by kind"
        return {row[0]: row[1] for row in connection.execute(query).fetchall()}


async def patient_finish(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it has ended, asked for again while the database is away."""
    deadline = time.monotonic() + 1800
    while True:
        assert time.monotonic() < deadline, job
        try:
            job = await client.job(job["id"])
            if job["status"] in ("completed", "failed", "cancelled"):
                return job
        except ApiError as error:
            if error.status not in (500, 503):
                raise
        await asyncio.sleep(1)
