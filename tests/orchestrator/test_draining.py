"""An API process that ends: its load balancer turns away first, and what is under way is answered."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def draining(settings: Settings, folder: Path, **variables: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A process that takes requests for two more seconds when it ends, and its address."""
    port = str(free_port())
    own = {"OCTAVIA_API_PORT": port, "OCTAVIA_API_DRAIN_S": "2", "OCTAVIA_JWT_SECRET": "s" * 40, **variables}
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


async def form(data: bytes, go_on: asyncio.Event) -> AsyncIterator[bytes]:
    """An upload's body, of which the second half comes when it may."""
    disposition = 'Content-Disposition: form-data; name="file"; filename="a.srt"'
    yield f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + data[: len(data) // 2]
    await go_on.wait()
    yield data[len(data) // 2 :] + f"\r\n--{BOUNDARY}--\r\n".encode()


CUES = b"1\n00:00:00,000 --> 00:00:01,000\nGood morning.\n\n2\n00:00:02,000 --> 00:00:03,000\nGood night.\n"


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
            go_on = asyncio.Event()
            kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            uploading = asyncio.create_task(client.post("/v1/media", content=form(CUES, go_on), headers=kind))
            following = asyncio.create_task(client.get(f"/v1/jobs/{job.id}/events"))
            assert "Connection" not in (await client.get("/v1/me")).headers
            await asyncio.sleep(0.3)  # so that both are under way

            process.send_signal(signal.SIGTERM)
            unready = await until_unready(client)
            assert (unready.status_code, unready.json()["code"]) == (503, "draining")
            assert int(unready.headers["Retry-After"]) > 0
            assert (await client.get("/healthz")).is_success, "it is alive, and must not be killed"
            served = await client.get("/v1/me")
            assert (served.status_code, served.headers["Connection"]) == (200, "close")
            async with make_session.begin() as session:
                await progress.record(session, job.id, progress=7)

            told = await following
            assert told.status_code == 200
            events = [json.loads(line[6:]) for line in told.text.splitlines() if line.startswith("data: ")]
            assert events[-1]["progress"] == 7, "the stream ended whole, with what happened meanwhile"
            with pytest.raises(httpx.ConnectError):
                await client.get("/v1/me")
            go_on.set()
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
            go_on = asyncio.Event()
            kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            uploading = asyncio.create_task(client.post("/v1/media", content=form(CUES, go_on), headers=kind))
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0
            go_on.set()
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
