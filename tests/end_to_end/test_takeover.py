"""Two workers on one database, of which one is killed or frozen in the middle of a job."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_workshop import PATIENCE_S, Workshop

pytestmark = pytest.mark.anyio

Expected = Callable[[str], Coroutine[Any, Any, list[tuple[Any, ...]]]]

QUICK = {"OCTAVIA_STALE_AFTER_S": "2", "OCTAVIA_CHUNKS_PER_WORKER": "2"}
"""Few places, so that both of them have work."""

COUNT_PUBLISHING = """
create table published (job_id uuid, what text, language text, number int);
create function publishing() returns trigger as $$ begin
    if tg_table_name = 'rendition' then
        if new.audio_key is not null then
            insert into published values (new.job_id, 'speech', new.language, new.segment);
        end if;
    elsif new.words is not null then
        insert into published values (new.job_id, 'words', null, new.index);
    end if;
    return new;
end $$ language plpgsql;
create trigger publishing after update of audio_key on rendition for each row execute function publishing();
create trigger publishing after update of words on heard_window for each row execute function publishing();
"""
STOP_COUNTING = "drop function publishing cascade; drop table published"
"""Every window that is heard and every segment that is spoken, as often as it is."""


async def outcome(workshop: Workshop, job_id: str) -> list[tuple[Any, ...]]:
    keys = ("text", "onset", "seconds", "speed")
    return [
        (each["text"], each["start"], each["end"], [rendition[key] for rendition in each["renditions"] for key in keys])
        for each in await workshop.segments(job_id)
    ]


async def undisturbed(workshop: Workshop, media: str) -> list[tuple[Any, ...]]:
    job = await workshop.finish(await workshop.start(media))
    assert job["status"] == "completed", job["error"]
    workshop.proxy.delay_s = 0.3
    return await outcome(workshop, job["id"])


async def in_the_middle(workshop: Workshop, media: str, worker: str) -> str:
    """A job of which some is spoken already, and of which this worker is at work on a part right now."""
    while True:
        job_id = await workshop.start(media)
        await workshop.until_spoken(job_id, 1)
        running = await workshop.rows(
            "select from dbos.workflow_status where status = 'PENDING' and executor_id = :worker"
            " and left(workflow_uuid, 36) = :id and name in ('hear', 'speak')",
            worker=worker,
            id=job_id,
        )
        if running:
            return job_id
        await workshop.finish(job_id)


async def until(there: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await there():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


@pytest.fixture
async def expected(workshop: Workshop) -> AsyncIterator[Expected]:
    """What a job of the file ends as with nothing in its way. From then on models take their time."""
    await run(workshop, COUNT_PUBLISHING)
    yield lambda media: undisturbed(workshop, media)
    await run(workshop, STOP_COUNTING)


async def test_the_work_of_a_frozen_worker_moves_and_what_it_does_when_it_wakes_is_refused(
    workshop: Workshop, half_minute: Path, expected: Expected
) -> None:
    media = await workshop.upload(half_minute)
    with workshop.worker("steady", **QUICK), workshop.worker("frozen", **QUICK) as frozen:
        outcome = await expected(media)
        job_id = await in_the_middle(workshop, media, "frozen")
        os.kill(frozen.pid, signal.SIGSTOP)
        await finishes_as(workshop, job_id, outcome)
        os.kill(frozen.pid, signal.SIGCONT)
        await its_results_are_refused(workshop, frozen, job_id, outcome)


@pytest.mark.soak
async def test_the_work_of_killed_workers_moves_and_nothing_is_published_twice(
    workshop: Workshop, half_minute: Path, expected: Expected
) -> None:
    media = await workshop.upload(half_minute)
    with workshop.worker("steady", **QUICK):
        outcome = await expected(media)
        for number in range(5):
            with workshop.worker(f"killed{number}", **QUICK) as killed:
                job_id = await in_the_middle(workshop, media, f"killed{number}")
                killed.kill()
                await finishes_as(workshop, job_id, outcome)


async def run(workshop: Workshop, statements: str) -> None:
    async with workshop.engine.begin() as connection:
        await connection.exec_driver_sql(statements)


async def finishes_as(workshop: Workshop, job_id: str, expected: list[tuple[Any, ...]]) -> None:
    """The job ends as if nothing had happened, and of what was done nothing is done again."""
    workshop.proxy.forget()
    before = await workshop.speech(job_id)
    job = await workshop.finish(job_id)
    assert job["status"] == "completed", job["error"]
    assert await outcome(workshop, job_id) == expected
    after = await workshop.speech(job_id)
    assert {segment: after[segment] for segment in before} == before
    spoken = workshop.proxy.asked("coqui_tts", "AUDIO")
    assert spoken.total() <= len(after) - len(before), "a finished segment was spoken again"
    await published_once(workshop, job_id)


async def published_once(workshop: Workshop, job_id: str) -> None:
    rows = await workshop.rows(
        "select what, language, number, count(*) from published where job_id = cast(:id as uuid)"
        " group by what, language, number having count(*) <> 1",
        id=job_id,
    )
    assert rows == []


async def its_results_are_refused(
    workshop: Workshop, frozen: subprocess.Popen[str], job_id: str, expected: list[tuple[Any, ...]]
) -> None:
    """The late one changes nothing, and takes new work."""
    log = workshop.settings.data_dir / "frozen.log"

    async def refused() -> bool:
        return "no longer owned by this execution" in log.read_text()

    await until(refused, "the late worker's results were not refused")
    assert await outcome(workshop, job_id) == expected
    await published_once(workshop, job_id)
    assert frozen.poll() is None
