"""What it costs one API process to tell the followers of a thousand jobs what happens, and how soon they hear it.

Every job has a stream of its own (`GET /v1/jobs/{id}/events`), or every user one for all jobs (`--by user`,
`GET /v1/events`). Jobs progress as a worker would report it; every stream must bring every report once and in order.

    python -m benchmarks.streams [--users 50] [--jobs 20] [--rounds 10] [--by job|user] [--json FILE]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import psutil
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, latencies, write
from benchmarks.ready import until_ready
from benchmarks.unworked import add_jobs
from orchestrator import migrations
from orchestrator.accounts import api_tokens
from orchestrator.accounts.models import User
from orchestrator.database import EmbeddedPostgres, make_engine, sessions
from orchestrator.jobs import progress
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from tests.fixtures_api_process import api_process

Make = async_sessionmaker[AsyncSession]

WRITERS = 4
OPENING = 20
"""Streams that are being opened at once."""
IDLE_S = 20.0
MIB = 2**20


@dataclass
class Heard:
    """When each report was committed and when its stream had it, by job and percentage."""

    committed: dict[tuple[str, int], float] = field(default_factory=dict)
    received: dict[tuple[str, int], float] = field(default_factory=dict)
    percents: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def note(self, data: dict[str, object]) -> None:
        job, percent = str(data["job_id"]), int(str(data.get("progress", 0)))
        self.received[job, percent] = time.perf_counter()
        self.percents[job].append(percent)

    def delays(self) -> list[float]:
        """Seconds from commit to receipt; a receipt may be noted before the writer hears of its own commit."""
        return [max(0.0, self.received[each] - at) for each, at in self.committed.items()]


async def populate(make: Make, users: int, jobs: int) -> dict[str, list[UUID]]:
    """Jobs under way by the secret of their user's API token."""
    found: dict[str, list[UUID]] = {}
    for number in range(users):
        async with make.begin() as session:
            user = User(id=uuid7(), email=f"{number}@example.org", name="N", status="active")
            session.add(user)
            await session.flush()
            _, secret = await api_tokens.create(session, user, "streams", None)
            found[secret] = await add_jobs(session, user.id, jobs)
    return found


async def follow(
    client: httpx.AsyncClient,
    path: str,
    secret: str,
    heard: Heard,
    opening: asyncio.Semaphore,
    ready: asyncio.Semaphore,
) -> None:
    await opening.acquire()
    async with client.stream("GET", path, headers={"Authorization": f"Bearer {secret}"}) as answer:
        opening.release()
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}: {(await answer.aread()).decode()}")
        ready.release()
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                heard.note(json.loads(line.removeprefix("data: ")))


async def report(make: Make, jobs: Sequence[UUID], percent: int, heard: Heard) -> None:
    """Every job is at this percentage now."""
    waiting = iter(jobs)

    async def writer() -> None:
        for job_id in waiting:
            async with make.begin() as session:
                await progress.record(session, job_id, stage="transcribing", progress=percent)
            heard.committed[str(job_id), percent] = time.perf_counter()

    await asyncio.gather(*(writer() for _ in range(WRITERS)))


async def until_all_heard(heard: Heard) -> None:
    deadline = time.monotonic() + 120
    while any(each not in heard.received for each in heard.committed):
        if time.monotonic() > deadline:
            lost = [each for each in heard.committed if each not in heard.received]
            raise RuntimeError(f"{len(lost)} of {len(heard.committed)} reports never came, such as {lost[:5]}")
        await asyncio.sleep(0.1)


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def run(url: str, make: Make, process: psutil.Process, options: argparse.Namespace) -> list[Measurement]:
    by_secret = await populate(make, options.users, options.jobs)
    jobs = [job for each in by_secret.values() for job in each]
    paths = [
        (path, secret)
        for secret, own in by_secret.items()
        for path in (["/v1/events"] if options.by == "user" else [f"/v1/jobs/{job}/events" for job in own])
    ]
    heard, opening, ready = Heard(), asyncio.Semaphore(OPENING), asyncio.Semaphore(0)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        await asyncio.to_thread(until_ready, url)
        await asyncio.sleep(2)
        before = process.memory_info().rss
        began, worked = time.perf_counter(), cpu(process)
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(follow(client, path, secret, heard, opening, ready)) for path, secret in paths]
            for _ in paths:
                await ready.acquire()
            print(
                f"{len(paths)} streams opened in {time.perf_counter() - began:.1f} s,"
                f" {cpu(process) - worked:.1f} s of processor time"
            )
            opened = process.memory_info().rss
            worked = cpu(process)
            await asyncio.sleep(IDLE_S)
            idle = (cpu(process) - worked) * 60 / IDLE_S
            worked, began = cpu(process), time.perf_counter()
            for number in range(options.rounds):
                await report(make, jobs, number + 1, heard)
            await until_all_heard(heard)
            took, busy = time.perf_counter() - began, cpu(process) - worked
            after = process.memory_info().rss
            for each in streams:
                each.cancel()
    events = len(jobs) * options.rounds
    expected = list(range(1, options.rounds + 1))
    wrong = [job for job, percents in heard.percents.items() if [each for each in percents if each] != expected]
    if wrong or len(heard.percents) != len(jobs):
        raise RuntimeError(f"{len(wrong)} streams of {len(heard.percents)} had something twice, late or never")
    p50, p99 = np.quantile(heard.delays(), [0.5, 0.99]) * 1e3
    sizes = f"{before / MIB:.0f} MiB, with the streams {opened / MIB:.0f}, after {after / MIB:.0f}"
    print(f"memory of the API process: {sizes}")
    print(f"processor time: idle {idle:.2f} s a minute; {busy / events * 1e3:.2f} s per 1,000 events")
    print(f"{events} events in {took:.1f} s ({events / took:.0f} a second), each heard once and in order;", end=" ")
    print(f"from commit to receipt p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(machine())
    return measurements(f"{len(paths)} streams by {options.by}", events / took, after / MIB, heard.delays())


def measurements(name: str, events_per_s: float, memory_mib: float, delays: Sequence[float]) -> list[Measurement]:
    """What the followers cost one API process, and how soon they hear."""
    rate = Measurement(
        name=f"{name}: told", unit="events/s", better="higher", values=(events_per_s,), section="requests"
    )
    memory = Measurement(name=f"{name}: memory", unit="MiB", better="lower", values=(memory_mib,), section="requests")
    return [rate, memory, *latencies(f"{name}: from commit to receipt", delays, "requests")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--by", choices=["job", "user"], default="job")
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="octavia-streams-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        database = EmbeddedPostgres(folder / "postgres")
        settings = Settings(database_url=database.start(), api_port=free_port())
        migrations.upgrade(str(settings.database_url))

        async def work(process: psutil.Process) -> list[Measurement]:
            engine = make_engine(str(settings.database_url))
            try:
                return await run(f"http://127.0.0.1:{settings.api_port}", sessions(engine), process, options)
            finally:
                await engine.dispose()

        variables = {"OCTAVIA_API_PORT": str(settings.api_port), "OCTAVIA_LOG_LEVEL": "WARNING"}
        try:
            with api_process(settings, folder, "api", **variables) as process:
                made = asyncio.run(work(psutil.Process(process.pid)))
        finally:
            database.stop()
    write(options.json, made)


if __name__ == "__main__":
    main()
