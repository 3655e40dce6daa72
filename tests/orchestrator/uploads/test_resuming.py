"""What a broken connection, a killed process or a rival leaves of an upload: what counted, and one writer."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine
from tusclient.client import TusClient

from orchestrator.accounts.models import User
from orchestrator.app import create_app
from orchestrator.media.models import Media
from orchestrator.observability.metrics import REGISTRY
from orchestrator.settings import Settings
from orchestrator.storage import Storage, StorageError, StorageFullError
from orchestrator.uploads import receiving, rows
from orchestrator.uploads.models import Upload, UploadPart
from tests.fixtures_api import MemoryWatch, api_process
from tests.fixtures_control_plane import Bearer, QueueStandIn
from tests.orchestrator.media.padded import padded
from tests.orchestrator.uploads.conftest import BYTES, Tus
from tests.standins.forwarder import Forwarder

pytestmark = pytest.mark.anyio

Stored = Callable[[], list[str]]
EVENT_S = 60.0
"""How long a test waits for what must happen before it gives up."""


@pytest.fixture(scope="module")
def video(clips: Path) -> bytes:
    return padded((clips / "v.mp4").read_bytes(), 12_000_000)


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LEASE", timedelta(seconds=1))
    monkeypatch.setattr(rows, "BEAT_S", 0.3)


@pytest.fixture
def quick_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LEASE", timedelta(seconds=5))
    monkeypatch.setattr(rows, "BEAT_S", 0.3)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def send_and_hang_up(live: httpx.AsyncClient, url: str, offset: int, announced: int, sent: bytes) -> None:
    """A PATCH that announces more than it sends, and goes once some of it has come."""
    head = f"PATCH {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\nUpload-Offset: {offset}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in BYTES.items())
    head += f"Authorization: {live.headers['Authorization']}\r\n\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", live.base_url.port)
    before = taken_in()
    writer.write(head.encode() + sent)
    await writer.drain()
    async with asyncio.timeout(EVENT_S):
        while taken_in() == before:  # noqa: ASYNC110  (a counter tells no one)
            await asyncio.sleep(0.01)
    writer.transport.abort()


def taken_in() -> float:
    """Bytes of uploads that the API of this process has taken in."""
    return REGISTRY.get_sample_value("octavia_upload_bytes_total") or 0.0


async def until(
    engine: AsyncEngine, url: str, *conditions: sa.ColumnElement[bool]
) -> Row[UUID | None, datetime | None]:
    """The upload's row, once all of that is true of it."""
    mine = Upload.id == sa.cast(url.rpartition("/")[2], sa.Uuid)
    columns = sa.select(Upload.writer, Upload.alive_until).where(mine, *conditions)
    async with asyncio.timeout(EVENT_S):
        while True:
            async with engine.connect() as connection:
                if (found := (await connection.execute(columns)).first()) is not None:
                    return found
            await asyncio.sleep(0.02)


async def settled(tus: Tus, url: str, engine: AsyncEngine) -> int:
    """The offset, once no request writes any more."""
    await until(engine, url, Upload.writer.is_(None))
    return await tus.offset(url)


async def test_an_upload_cut_at_every_tenth_goes_on_from_there(
    live_tus: Tus, engine: AsyncEngine, video: bytes, stored: Stored
) -> None:
    content = video[:-4_000_000] + b"\0" * 4_000_000
    url = await live_tus.url(len(content))
    offset = 0
    for tenth in range(1, 10):
        end = len(content) * tenth // 10
        await send_and_hang_up(live_tus.client, url, offset, len(content) - offset, content[offset:end])
        before, offset = offset, await settled(live_tus, url, engine)
        assert before < offset <= end, "what came counts"
    answer = await live_tus.patch(url, offset, content[offset:])
    assert answer.status_code == 204, answer.text
    media = (await live_tus.client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
    assert (media["size"], media["sha256"]) == (len(content), sha256(content))
    assert stored() == [f"media/{media['id']}/source"]


async def test_many_small_pieces_are_few_parts(
    tus: Tus, engine: AsyncEngine, clips: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "SMALL_BYTES", 10_000)
    content = (clips / "v.mp4").read_bytes()
    url = await tus.url(len(content))
    for start in range(0, 40_000, 1_000):
        assert (await tus.patch(url, start, content[start : start + 1_000])).status_code == 204
    async with engine.connect() as connection:
        sizes = (await connection.scalars(sa.select(UploadPart.size).order_by(UploadPart.start))).all()
    assert sizes == [10_000, 10_000, 10_000, 10_000]
    assert len(stored()) == 4
    answer = await tus.patch(url, 40_000, content[40_000:])
    media = (await tus.client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
    assert media["sha256"] == sha256(content)


async def test_a_piece_that_cannot_be_deleted_now_does_not_hold_the_upload_up(
    tus: Tus, clips: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "SMALL_BYTES", 10_000)
    content = (clips / "v.mp4").read_bytes()
    url = await tus.url(len(content))

    async def away(self: Storage, key: str) -> None:
        raise StorageError(key)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "delete", away)
        for start in range(0, 5_000, 1_000):
            assert (await tus.patch(url, start, content[start : start + 1_000])).status_code == 204
    assert len(stored()) == 5
    answer = await tus.patch(url, 5_000, content[5_000:])
    media = (await tus.client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
    assert media["sha256"] == sha256(content)
    assert stored() == [f"media/{media['id']}/source"]


async def slowly(content: bytes, enough: asyncio.Event) -> AsyncIterator[bytes]:
    """A byte at a time, and the rest when that was slow enough."""
    for at in range(len(content) - 1):
        yield content[at : at + 1]
        await asyncio.sleep(0.05)
        if enough.is_set():
            break
    yield content[at + 1 :]


async def test_while_one_request_sends_another_is_refused(
    live_tus: Tus, engine: AsyncEngine, clips: Path, quick_beat: None
) -> None:
    content = (clips / "v.mp4").read_bytes()
    url = await live_tus.url(len(content))
    enough = asyncio.Event()
    first = asyncio.create_task(live_tus.patch(url, 0, slowly(content, enough)))
    claimed = await until(engine, url, Upload.writer.is_not(None))
    await until(engine, url, Upload.writer == claimed.writer, Upload.alive_until > claimed.alive_until)
    second = await live_tus.patch(url, 0, content)
    assert (second.status_code, second.json()["code"]) == (423, "upload_locked")
    assert int(second.headers["Retry-After"]) >= 1
    enough.set()
    answer = await first
    media = (await live_tus.client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
    assert media["sha256"] == sha256(content)


async def test_a_request_that_has_gone_silent_makes_way_and_changes_nothing_any_more(
    live_tus: Tus, engine: AsyncEngine, clips: Path, short_lease: None, stored: Stored
) -> None:
    content = (clips / "v.mp4").read_bytes()
    url = await live_tus.url(len(content))
    speak = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield b"x" * 1_000  # of another file
        await speak.wait()
        yield b"x" * (len(content) - 1_000)

    first = asyncio.create_task(live_tus.patch(url, 0, silent()))
    await until(engine, url, Upload.alive_until < sa.func.now())
    second = await live_tus.patch(url, 0, content)
    assert second.status_code == 204, second.text
    speak.set()
    late = await first
    assert (late.status_code, late.json()["code"]) == (409, "upload_taken_over")
    media = (await live_tus.client.get(f"/v1/media/{second.headers['Octavia-Media-Id']}")).json()
    assert media["sha256"] == sha256(content)
    assert stored() == [f"media/{media['id']}/source"]


async def test_any_api_process_goes_on_with_an_upload_and_of_two_at_once_one_is_refused(
    app_settings: Settings, queue: QueueStandIn, bearer: Bearer, user: User, clips: Path
) -> None:
    content = (clips / "v.mp4").read_bytes()
    async with AsyncExitStack() as stack:
        replicas = []
        for _ in range(2):
            app = create_app(app_settings, queue.open)
            await stack.enter_async_context(app.router.lifespan_context(app))
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://api", headers=await bearer(user)
            )
            replicas.append(Tus(await stack.enter_async_context(client)))
        url = await replicas[0].url(len(content))
        offset = 0
        while offset < len(content):
            piece = content[offset : offset + 5_000]
            answers = await asyncio.gather(*(replica.patch(url, offset, piece) for replica in replicas))
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses[0] == 204
            assert statuses[1] in (409, 423)
            offset = await replicas[1].offset(url)
        media = (await replicas[1].client.get(f"/v1/media/{url.rpartition('/')[2]}")).json()
        assert media["sha256"] == sha256(content)


@pytest.mark.parametrize("error", [StorageError("uploads/x"), StorageFullError()])
async def test_a_storage_that_fails_loses_nothing_that_counted(
    live_tus: Tus, video: bytes, stored: Stored, monkeypatch: pytest.MonkeyPatch, error: StorageError | StorageFullError
) -> None:
    url = await live_tus.url(len(video))
    put, calls = Storage.put_bytes, 0

    async def failing(self: Storage, key: str, data: bytes) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise error
        return await put(self, key, data)

    monkeypatch.setattr(Storage, "put_bytes", failing)
    answer = await live_tus.patch(url, 0, video)
    assert (answer.status_code, answer.json()["code"]) == (error.status, error.code)
    offset = await live_tus.offset(url)
    assert 0 < offset < len(video)
    assert len(stored()) == 1
    answer = await live_tus.patch(url, offset, video[offset:])
    media = (await live_tus.client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
    assert media["sha256"] == sha256(video)


async def test_a_storage_that_fails_at_the_end_leaves_the_upload_to_be_finished(
    tus: Tus, clips: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (clips / "v.mp4").read_bytes()
    url = await tus.url(len(content))

    async def failing(self: Storage, key: str, chunks: AsyncIterator[bytes]) -> None:
        raise StorageError(key)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put_stream", failing)
        assert (await tus.patch(url, 0, content)).status_code == 503
    assert (await tus.client.get(url)).json()["status"] == "checking"
    assert await tus.offset(url) == len(content)
    answer = await tus.patch(url, len(content), b"")
    assert answer.status_code == 204, answer.text
    assert stored() == [f"media/{answer.headers['Octavia-Media-Id']}/source"]


async def test_an_upload_that_is_deleted_while_it_comes_stays_deleted(
    live_tus: Tus, clips: Path, stored: Stored, engine: AsyncEngine
) -> None:
    content = (clips / "v.mp4").read_bytes()
    url = await live_tus.url(len(content))
    enough = asyncio.Event()
    sending = asyncio.create_task(live_tus.patch(url, 0, slowly(content, enough)))
    await until(engine, url, Upload.writer.is_not(None))
    assert (await live_tus.delete(url)).status_code == 204
    enough.set()
    assert (await sending).status_code == 409
    assert stored() == []
    async with engine.connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(Media)) == 0


async def test_a_known_client_uploads_through_a_line_that_is_cut_three_times(
    app_settings: Settings, token: str, video: bytes, tmp_path: Path
) -> None:
    cuts = [len(video) * quarter // 4 for quarter in (1, 2, 3)]
    with api_process(app_settings, tmp_path / "api.log") as api, Forwarder(api.address, cuts) as line:
        with MemoryWatch(api.process.pid) as memory:
            url = await asyncio.to_thread(upload_by_tuspy, line.address, token, tmp_path, video)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            media = (await client.get(api.url + url.replace("uploads", "media"))).json()
    assert (media["size"], media["sha256"]) == (len(video), sha256(video))
    assert line.made == 3
    assert memory.growth < 64 * 2**20


def upload_by_tuspy(address: str, token: str, folder: Path, content: bytes) -> str:
    """The path of the upload that the Python client of the tus project made."""
    (folder / "clip.mp4").write_bytes(content)
    client = TusClient(f"http://{address}/v1/uploads", headers={"Authorization": f"Bearer {token}"})
    uploader = client.uploader(
        str(folder / "clip.mp4"), chunk_size=5_000_000, retries=60, retry_delay=1, metadata={"filename": "clip.mp4"}
    )
    uploader.upload()
    return str(uploader.url).partition(address)[2]


async def test_a_full_disk_is_said_and_loses_nothing_that_counted(
    app_settings: Settings, token: str, video: bytes, stored: Stored, tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    authorized = {"Authorization": f"Bearer {token}"}
    with api_process(app_settings, log, largest_file=6_000_000) as api:
        async with httpx.AsyncClient(base_url=api.url, headers=authorized, timeout=90) as client:
            tus = Tus(client)
            multipart = await client.post("/v1/media", files={"file": ("clip.mp4", video)})
            assert (multipart.status_code, multipart.json()["code"]) == (507, "storage_full")
            assert stored() == []
            url = await tus.url(len(video))
            answer = await tus.patch(url, 0, video)  # each part fits, the whole does not
            assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
            assert await tus.offset(url) == len(video)
            assert {path.partition("/")[0] for path in stored()} == {"uploads"}
    with api_process(app_settings, log) as api:
        async with httpx.AsyncClient(base_url=api.url, headers=authorized, timeout=90) as client:
            answer = await Tus(client).patch(url, len(video), b"")
            assert answer.status_code == 204, answer.text
            media = (await client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
            assert media["sha256"] == sha256(video)
            assert stored() == [f"media/{media['id']}/source"]


async def test_a_killed_api_process_loses_only_what_did_not_count(
    app_settings: Settings, token: str, video: bytes, tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    authorized = {"Authorization": f"Bearer {token}"}
    killed = asyncio.Event()

    async def until_killed() -> AsyncIterator[bytes]:
        yield video[:8_000_000]
        await killed.wait()

    with api_process(app_settings, log) as api:
        async with httpx.AsyncClient(base_url=api.url, headers=authorized, timeout=90) as client:
            tus = Tus(client)
            url = await tus.url(len(video))
            sending = asyncio.create_task(tus.patch(url, 0, until_killed()))
            while await tus.offset(url) == 0:
                assert not sending.done()
            api.process.kill()
            killed.set()
            with pytest.raises(httpx.HTTPError):
                await sending
    with api_process(app_settings, log) as api:
        async with httpx.AsyncClient(base_url=api.url, headers=authorized, timeout=90) as client:
            tus = Tus(client)
            offset = await tus.offset(url)
            assert 5 * 2**20 <= offset < len(video)
            answer = await tus.patch(url, offset, video[offset:])
            if answer.status_code == 423:  # until the dead writer's lease has lapsed
                await asyncio.sleep(float(answer.headers["Retry-After"]))
                answer = await tus.patch(url, offset, video[offset:])
            media = (await client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
            assert media["sha256"] == sha256(video)
