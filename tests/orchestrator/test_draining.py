"""An API process that ends: its load balancer turns away first, and what is under way is answered."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.draining import Drain
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from tests.fixtures_api_process import api_process
from tests.fixtures_control_plane import Bearer
from tests.orchestrator.jobs.conftest import MakeJob, MakeMedia, job, make_job, make_media, media

__all__ = ["MakeJob", "MakeMedia", "job", "make_job", "make_media", "media"]

pytestmark = pytest.mark.anyio

START_S = 60.0
BOUNDARY = "octavia"
KIND = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
DISPOSITION = 'Content-Disposition: form-data; name="file"; filename="a.srt"'


@contextmanager
def draining(settings: Settings, folder: Path, **variables: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A process that takes requests until it is told a second time that it ends, and its address."""
    port = str(free_port())
    own = {"OCTAVIA_API_PORT": port, "OCTAVIA_API_DRAIN_S": "60", "OCTAVIA_JWT_SECRET": "s" * 40, **variables}
    with api_process(settings, folder, "draining", **own) as process:
        yield f"http://127.0.0.1:{port}", process


async def until_ready(client: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            if (await client.get("/readyz")).is_success:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def until_unready(client: httpx.AsyncClient) -> httpx.Response:
    while (answer := await client.get("/readyz")).is_success:  # noqa: ASYNC110  (the signal takes its time)
        await asyncio.sleep(0.01)
    return answer


@dataclass
class Form:
    """An upload's body, of which the second half comes when it may. `half` is set once the first has gone out."""

    half: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield f"--{BOUNDARY}\r\n{DISPOSITION}\r\n\r\n".encode() + CUES[: len(CUES) // 2]
        self.half.set()
        await self.go_on.wait()
        yield CUES[len(CUES) // 2 :] + f"\r\n--{BOUNDARY}--\r\n".encode()


CUES = b"1\n00:00:00,000 --> 00:00:01,000\nGood morning.\n\n2\n00:00:02,000 --> 00:00:03,000\nGood night.\n"


@dataclass
class Follower:
    """Reads a job's events to the end of the stream."""

    events: list[dict[str, Any]] = field(default_factory=list)

    async def follow(self, client: httpx.AsyncClient, job_id: UUID) -> None:
        async with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    self.events.append(json.loads(line[6:]))

    async def until(self, progress: int) -> None:
        """Until that much progress was told."""
        async with asyncio.timeout(START_S):
            while not self.events or self.events[-1]["progress"] != progress:  # noqa: ASYNC110  (read line by line)
                await asyncio.sleep(0.02)


async def test_a_process_that_ends_turns_away_first_and_answers_everything(
    app_settings: Settings,
    tmp_path: Path,
    bearer: Bearer,
    user: User,
    job: Job,
    make_session: async_sessionmaker[AsyncSession],
) -> None:
    headers = await bearer(user)
    with draining(app_settings, tmp_path) as (url, process):
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=START_S) as client:
            await until_ready(client)
            form, follower = Form(), Follower()
            uploading = asyncio.create_task(client.post("/v1/media", content=form, headers=KIND))
            following = asyncio.create_task(follower.follow(client, job.id))
            assert "Connection" not in (await client.get("/v1/me")).headers
            await form.half.wait()
            await follower.until(0)

            process.send_signal(signal.SIGTERM)
            unready = await until_unready(client)
            assert (unready.status_code, unready.json()["code"]) == (503, "draining")
            assert int(unready.headers["Retry-After"]) > 0
            assert (await client.get("/healthz")).is_success, "it is alive, and must not be killed"
            served = await client.get("/v1/me")
            assert (served.status_code, served.headers["Connection"]) == (200, "close")
            async with make_session.begin() as session:
                await progress.record(session, job.id, progress=7)
            await follower.until(7)
            assert not following.done()

            process.send_signal(signal.SIGTERM)
            await following  # the stream ends whole
            with pytest.raises(httpx.ConnectError):
                await client.get("/v1/me")
            form.go_on.set()
            assert (await uploading).status_code == 201, "an upload goes on after the process takes no more requests"
        assert await asyncio.to_thread(process.wait, 30) == 0


@pytest.mark.soak
async def test_what_does_not_end_in_time_is_cut(
    app_settings: Settings, tmp_path: Path, bearer: Bearer, user: User
) -> None:
    short = {"OCTAVIA_API_DRAIN_S": "0", "OCTAVIA_API_FINISH_S": "1"}
    with draining(app_settings, tmp_path, **short) as (url, process):
        async with httpx.AsyncClient(base_url=url, headers=await bearer(user), timeout=START_S) as client:
            await until_ready(client)
            form = Form()
            uploading = asyncio.create_task(client.post("/v1/media", content=form, headers=KIND))
            await form.half.wait()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0
            form.go_on.set()
            (outcome,) = await asyncio.gather(uploading, return_exceptions=True)
            assert isinstance(outcome, httpx.TransportError) or outcome.status_code >= 500  # type: ignore[union-attr]


def test_a_second_signal_ends_the_wait() -> None:
    drain = Drain(60)
    assert not drain.is_begun
    drain.begin()
    assert drain.is_begun
    assert not drain.is_over
    drain.begin()
    assert drain.is_over
