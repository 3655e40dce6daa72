"""A passage that its model always fails on, or that kills the worker it is spoken in."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from orchestrator.jobs.steps import DEATHS_FORGIVEN
from tests.fixtures_workshop import Workshop
from tests.standins import odd_worker
from tests.standins.model_proxy import Gate, refuse

pytestmark = pytest.mark.anyio


async def poison_of(workshop: Workshop, job_id: str) -> str:
    """A word of what the last passage says in Spanish, and no other does."""
    texts: list[str] = [segment["renditions"][0]["text"] for segment in await workshop.segments(job_id)]
    return next(word for word in texts[-1].split() if not any(word in text for text in texts[:-1]))


@contextmanager
def kept(workshop: Workshop, name: str, poison: Path) -> Iterator[list[str]]:
    """Workers one after the other, each started when the one before has died, as a supervisor does; their names."""
    names: list[str] = []
    with ExitStack() as stack:

        def start() -> None:
            names.append(f"{name}{len(names)}")
            variables = {odd_worker.POISON: str(poison), "OCTAVIA_STALE_AFTER_S": "1.5"}
            process = stack.enter_context(workshop.worker(names[-1], "tests.standins.odd_worker", **variables))
            watchers.append(asyncio.create_task(asyncio.to_thread(process.wait)))
            watchers[-1].add_done_callback(lambda _: None if ended else start())

        watchers: list[asyncio.Task[int]] = []
        ended = False
        start()
        try:
            yield names
        finally:
            ended = True


async def test_a_poisoned_passage_fails_its_job_at_once_and_no_other(
    workshop: Workshop, half_minute: Path, eight_seconds: Path
) -> None:
    """Of one the model always fails on; and one that has ended its worker on its own before, three times."""
    long, short = await workshop.upload(half_minute), await workshop.upload(eight_seconds)
    with workshop.worker("a"):
        first = await workshop.finish(await workshop.start(long))
        poison = (await poison_of(workshop, first["id"])).encode()
        workshop.proxy.misbehave("coqui_tts", refuse(grpc.StatusCode.INTERNAL, "a bug", when=poison))
        poisoned, other = await workshop.start(long), await workshop.start(short)
        ended, done = await workshop.finish(poisoned), await workshop.finish(other)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "model_refused")
        assert done["status"] == "completed", done["error"]
        workshop.proxy.behave()

        gate = Gate()
        workshop.proxy.misbehave("whisper", gate)
        poisoned, other = await workshop.start(long), await workshop.start(short)
        await deaths(workshop, poisoned, DEATHS_FORGIVEN["chunks"] + 1)
        await deaths(workshop, other, DEATHS_FORGIVEN["chunks"])
        gate.open()
        ended, done = await workshop.finish(poisoned), await workshop.finish(other)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "poisoned")
        assert f"{DEATHS_FORGIVEN['chunks'] + 1} times" in ended["error"]["message"]
        assert done["status"] == "completed", done["error"]
    assert await workshop.rows("select from lone_run where workflow_id like :id", id=f"{other}%") == []


async def deaths(workshop: Workshop, job_id: str, count: int) -> None:
    """Note that workers died so often in the speaking of whatever passage the job will have."""
    await workshop.rows(
        "insert into lost_run (workflow_id, run, steps, alone, executor_id)"
        " select :id || '-' || child, 'run' || death, 1, true, 'dead'"
        " from generate_series(1, 60) child, generate_series(1, :count) death returning 1",
        id=job_id,
        count=count,
    )


@pytest.mark.soak
async def test_a_passage_that_kills_its_worker_is_given_up_after_few_of_them_and_others_jobs_are_done(
    workshop: Workshop, half_minute: Path, eight_seconds: Path, tmp_path: Path
) -> None:
    long, short = await workshop.upload(half_minute), await workshop.upload(eight_seconds)
    with kept(workshop, "dying", tmp_path / "poison") as names:
        first = await workshop.finish(await workshop.start(long))
        (tmp_path / "poison").write_text(await poison_of(workshop, first["id"]))
        poisoned = await workshop.start(long)
        others = [await workshop.start(short) for _ in range(5)]
        ended = await workshop.finish(poisoned, seconds=240)
        done = [await workshop.finish(each, seconds=240) for each in others]
        assert (ended["status"], ended["error"]["code"]) == ("failed", "poisoned")
        assert [each["status"] for each in done] == ["completed"] * 5, [each["error"] for each in done]
        # The first death may be another's fault; those on its own are not. The last worker lives.
        assert len(names) == 1 + 1 + DEATHS_FORGIVEN["chunks"] + 1
