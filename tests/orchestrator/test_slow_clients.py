"""Clients that trickle (slow loris): headers and bodies have a time, and honest slowness keeps its connection."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from orchestrator.slow_bodies import Pace
from orchestrator.slow_headers import http_within
from orchestrator.storage import Storage
from tests.orchestrator.media.padded import padded
from tests.orchestrator.uploads.conftest import BYTES, Tus

pytestmark = pytest.mark.anyio


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    return app_settings.model_copy(update={"body_grace_s": 1.0, "body_bytes_per_s": 10_000.0})


async def trickle(live: httpx.AsyncClient, head: str, pieces: AsyncIterator[bytes]) -> tuple[bytes, float]:
    """Send a request's head, then pieces until the server hangs up; what it answered and after how many seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.base_url.port)
    began = time.monotonic()
    writer.write(head.encode())

    async def send() -> None:
        async for piece in pieces:
            writer.write(piece)
            await writer.drain()

    sending = asyncio.create_task(send())
    answer = await asyncio.wait_for(until_closed(reader), 60)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.transport.abort()
    return answer, time.monotonic() - began


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What came, also where the end is a reset: the server closes while its client goes on sending."""
    came = b""
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            came += data
    return came


async def drops(size: int = 10, every_s: float = 0.05) -> AsyncIterator[bytes]:
    while True:
        yield b"x" * size
        await asyncio.sleep(every_s)


def head(live: httpx.AsyncClient, method: str, path: str, length: int, **more: str) -> str:
    headers = {"Host": "x", "Authorization": live.headers["Authorization"], "Content-Length": str(length), **more}
    return f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/auth/login"])
async def test_a_body_that_trickles_is_cut_with_a_word(live: httpx.AsyncClient, path: str) -> None:
    request = head(live, "POST", path, 10_000, **{"Content-Type": "application/json"})
    answer, seconds = await trickle(live, request, drops())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b"connection: close" in answer.lower()
    assert b"too slowly" in answer
    assert seconds >= 1.0


async def test_a_multipart_upload_that_trickles_is_cut_and_nothing_stays(
    live: httpx.AsyncClient, app_settings: Settings
) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    answer, _ = await trickle(live, head(live, "POST", "/v1/media", 10**7, **kind) + part, drops())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert [path for path in (app_settings.data_dir / "storage").rglob("*") if path.is_file()] == []


async def test_a_resumable_upload_that_trickles_is_cut_and_what_came_counts(
    live: httpx.AsyncClient, clips: Path
) -> None:
    tus, content = Tus(live), (clips / "v.mp4").read_bytes()
    url = await tus.url(len(content))

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100):
            yield content[start : start + 100]
            await asyncio.sleep(0.1)

    request = head(live, "PATCH", url, len(content), **BYTES, **{"Upload-Offset": "0"})
    answer, _ = await trickle(live, request, slowly())
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"connection: close" in answer.lower()
    offset = await tus.offset(url)
    assert f"upload-offset: {offset}\r\n".encode() in answer.lower()
    assert offset > 0
    assert (await tus.patch(url, offset, content[offset:])).headers["Octavia-Media-Id"]


async def test_a_steady_sender_may_take_long(live: httpx.AsyncClient, app_settings: Settings, clips: Path) -> None:
    app_settings.body_grace_s = 3.0
    tus, content = Tus(live), padded((clips / "v.mp4").read_bytes(), 100_000)

    async def steadily() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 2_000):
            yield content[start : start + 2_000]
            await asyncio.sleep(0.1)

    url, began = await tus.url(len(content)), time.monotonic()
    answer = await tus.patch(url, 0, steadily())
    assert answer.headers["Octavia-Media-Id"]
    assert time.monotonic() - began > app_settings.body_grace_s


async def test_time_that_the_server_takes_is_not_the_senders(
    live: httpx.AsyncClient, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage.put_bytes

    async def slow(self: Storage, key: str, data: bytes) -> object:
        await asyncio.sleep(2)
        return await put(self, key, data)

    monkeypatch.setattr(Storage, "put_bytes", slow)
    tus, content = Tus(live), (clips / "v.mp4").read_bytes()
    assert (await tus.patch(await tus.url(len(content)), 0, content)).headers["Octavia-Media-Id"]


@pytest.fixture
async def punctual(application: FastAPI) -> AsyncIterator[int]:
    """The application behind a server whose headers have a second; its port."""
    async with serving(application, 1.0) as port:
        yield port


@asynccontextmanager
async def serving(application: FastAPI, headers_s: float) -> AsyncIterator[int]:
    """A server whose headers have so many seconds; its port."""
    port = free_port()
    config = uvicorn.Config(application, port=port, lifespan="off", log_config=None, http=http_within(headers_s))
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await task


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nX-A: ", GET + b"GET /hea"])
async def test_headers_that_do_not_come_end_the_connection(punctual: int, begun: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", punctual)

    async def send() -> None:
        writer.write(begun)
        while begun:
            await asyncio.sleep(0.1)
            writer.write(b"a")

    sending = asyncio.create_task(send())
    answer = await asyncio.wait_for(until_closed(reader), 60)
    assert answer.count(b"HTTP/1.1 200 OK") == begun.count(GET)
    sending.cancel()
    writer.transport.abort()


async def test_a_body_that_nobody_reads_is_not_waited_for(punctual: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", punctual)
    writer.write(b"POST /v1/media HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")

    async def send() -> None:
        async for drop in drops():
            writer.write(drop)

    sending = asyncio.create_task(send())
    answer = await asyncio.wait_for(until_closed(reader), 60)
    assert answer.startswith(b"HTTP/1.1 401 ")
    sending.cancel()
    writer.transport.abort()


async def test_headers_in_time_keep_the_connection(application: FastAPI) -> None:
    async with serving(application, 4.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            writer.write(GET)
            assert b'{"status":"ok"}' in await asyncio.wait_for(reader.readuntil(b"}"), 60)
            await asyncio.sleep(1.5)
        writer.transport.abort()


def test_a_sender_that_stops_has_its_grace_and_no_more() -> None:
    pace = Pace(grace_s=30, bytes_per_s=1024)
    pace.came(10**9)
    assert pace.left_s == 30, "speed is not saved up"
    pace.waited(29)
    assert pace.left_s == 1
    pace.waited(2)
    assert pace.left_s == 0


@given(st.lists(st.tuples(st.floats(0.001, 5), st.floats(1.0, 10.0)), max_size=200))
def test_whoever_is_above_the_rate_is_never_cut(steps: list[tuple[float, float]]) -> None:
    pace = Pace(grace_s=5.001, bytes_per_s=1000)
    for seconds, speed in steps:
        pace.waited(seconds)
        assert pace.left_s > 0
        pace.came(int(seconds * 1000 * speed) + 1)


@given(st.floats(0.01, 1.0), st.floats(0.0, 0.9))
def test_whoever_stays_below_the_rate_is_cut(every_s: float, share: float) -> None:
    pace: Pace = Pace(grace_s=5, bytes_per_s=1000)
    waited = 0.0
    while True:
        pace.waited(every_s)
        waited += every_s
        if not pace.left_s:
            break
        pace.came(int(every_s * 1000 * share))
        assert waited <= 5 / (1 - share) + 2 * every_s
