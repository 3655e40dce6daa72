"""Many users' jobs on few places: nobody waits for another's backlog, and what is paid not for what is not."""

import asyncio
import statistics
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.jobs import service
from orchestrator.jobs.models import Job
from orchestrator.jobs.schemas import JobRequest
from orchestrator.media.models import Media
from tests.fixtures_workshop import Workshop, programs_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds in which nobody speaks: a job on them is little more than its steps."""
    path = tmp_path_factory.mktemp("sound") / "silence.wav"
    tone = ("-f", "lavfi", "-i", "sine=300:duration=2:sample_rate=16000")
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", *tone, str(path)], check=True)
    return path


@dataclass(frozen=True, slots=True)
class Wait:
    """Of one job, in seconds from the first that was queued: when it was and when it began."""

    user: UUID
    queued: float
    began: float

    @property
    def seconds(self) -> float:
        return self.began - self.queued


async def users_with_media(workshop: Workshop, count: int, file: Path) -> dict[UUID, UUID]:
    """Users, each with a media of their own of this file."""
    media_id = UUID(await workshop.upload(file))
    made: dict[UUID, UUID] = {}
    async with workshop.context.sessions.begin() as session:
        media = await session.get_one(Media, media_id)
        values = {name: getattr(media, name) for name in sa.inspect(Media).column_attrs.keys()}  # noqa: SIM118
        for number in range(count):
            user = User(id=uuid7(), email=f"{number}@example.org", name="N", status="active")
            session.add(user)
            await session.flush()
            session.add(Media(**{**values, "id": uuid7(), "user_id": user.id}))
            await session.flush()
            made[user.id] = (await session.scalars(sa.select(Media.id).where(Media.user_id == user.id))).one()
    return made


async def queue(workshop: Workshop, media: dict[UUID, UUID], user: UUID, count: int) -> None:
    request = JobRequest(kind="subtitles", media_id=media[user], source_language="en")
    for _ in range(count):
        await service.create(workshop.context, user, request, None)


async def until_all_ended(workshop: Workshop, worker: subprocess.Popen[str], seconds: float) -> int:
    """How many processes of ffmpeg the worker was seen to have at once until then."""
    deadline = time.monotonic() + seconds
    left = "select from job where status in ('pending', 'processing') limit 1"
    most = 0
    while await workshop.rows(left):
        assert time.monotonic() < deadline, workshop.logs()
        for _ in range(10):
            most = max(most, len(programs_of(worker)))
            await asyncio.sleep(0.05)
    return most


async def waits(workshop: Workshop) -> list[Wait]:
    """Of all jobs, in the order they began. All of them were completed."""
    async with workshop.context.sessions() as session:
        jobs = (await session.scalars(sa.select(Job).order_by(Job.started_at))).all()
    assert {job.status for job in jobs} == {"completed"}
    first = min(job.queued_at for job in jobs)
    return [
        Wait(job.user_id, (job.queued_at - first).total_seconds(), (job.started_at - first).total_seconds())
        for job in jobs
        if job.started_at
    ]


async def test_who_comes_with_little_does_not_wait_for_anothers_backlog_and_a_worker_does_so_much_at_once(
    workshop: Workshop, silence: Path
) -> None:
    media = await users_with_media(workshop, 3, silence)
    much, little, late = media
    await queue(workshop, media, much, 24)
    with workshop.worker("a", OCTAVIA_JOBS_PER_WORKER="3", OCTAVIA_MEDIA_PER_WORKER="1") as worker:
        await queue(workshop, media, little, 2)
        await queue(workshop, media, late, 2)
        assert await until_all_ended(workshop, worker, 240) <= 1
    order = [wait.user for wait in await waits(workshop)]
    last = max(at for at, user in enumerate(order) if user != much)
    assert last < 20, "the few were behind the many"


def by_user(found: list[Wait]) -> dict[UUID, float]:
    """Each user's mean wait."""
    waited = defaultdict(list)
    for wait in found:
        waited[wait.user].append(wait.seconds)
    return {user: statistics.mean(seconds) for user, seconds in waited.items()}


@pytest.mark.soak
async def test_a_thousand_jobs_of_fifty_users_wait_alike(workshop: Workshop, silence: Path) -> None:
    media = await users_with_media(workshop, 50, silence)
    for _ in range(20):
        for user in media:
            await queue(workshop, media, user, 1)
    began = time.monotonic()
    with workshop.worker("a") as worker:
        most = await until_all_ended(workshop, worker, 3000)
    waited = by_user(await waits(workshop)).values()
    print(
        f"1000 jobs in {time.monotonic() - began:.0f} s; mean wait by user: median {statistics.median(waited):.1f} s,"
        f" longest {max(waited):.1f} s, {max(waited) / statistics.median(waited):.2f} times as long; ffmpeg: {most}"
    )
    assert most <= 2
    assert max(waited) / statistics.median(waited) <= 2


@pytest.mark.soak
async def test_forty_nine_users_with_few_jobs_do_not_wait_for_one_with_hundreds(
    workshop: Workshop, silence: Path
) -> None:
    media = await users_with_media(workshop, 50, silence)
    greedy, *others = media
    await queue(workshop, media, greedy, 510)
    for _ in range(10):
        for user in others:
            await queue(workshop, media, user, 1)
    with workshop.worker("a") as worker:
        most = await until_all_ended(workshop, worker, 3000)
    waited = by_user(await waits(workshop))
    own = waited.pop(greedy)
    few = waited.values()
    print(
        f"mean wait of 49 users with 10 jobs: median {statistics.median(few):.1f} s, longest {max(few):.1f} s;"
        f" of the one with 510: {own:.1f} s; ffmpeg: {most}"
    )
    assert most <= 2
    assert max(few) / statistics.median(few) <= 2
    assert max(few) < own
