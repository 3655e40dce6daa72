"""Uploads through the API: what is taken in, what is refused, and that nothing stays of what was refused."""

import asyncio
import hashlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.media.models import Media
from orchestrator.media.upload import BrokenUploadError, _FileParser
from orchestrator.settings import Settings
from orchestrator.storage import Storage, StorageError, StorageFullError
from orchestrator.uploads.models import Upload
from tests.orchestrator.media.padded import padded

pytestmark = pytest.mark.anyio


@pytest.fixture
def stored(app_settings: Settings) -> Path:
    return app_settings.data_dir / "storage"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def nothing_stays(stored: Path, engine: AsyncEngine) -> None:
    for _ in range(3_000):
        if not files(stored):
            break
        await asyncio.sleep(0.02)
    assert files(stored) == []
    async with engine.connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(Media)) == 0


async def send(client: httpx.AsyncClient, content: bytes, name: str = "clip.mp4") -> httpx.Response:
    return await client.post("/v1/media", files={"file": (name, content, "application/x-whatever")})


async def test_an_upload_is_stored_as_it_is_and_described(client: httpx.AsyncClient, clips: Path, stored: Path) -> None:
    content = (clips / "v.mp4").read_bytes()
    answer = await send(client, content, "Sense & Sensibility.mp4")
    assert answer.status_code == 201
    media = answer.json()
    assert media["filename"] == "Sense & Sensibility.mp4"
    assert (media["kind"], media["content_type"], media["has_audio"]) == ("video", "video/mp4", True)
    assert (media["size"], media["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert media["video"] == {"codec": "h264", "width": 64, "height": 48, "fps": 10.0, "pix_fmt": "yuv420p"}
    assert media["audio"] == [{"codec": "aac", "channels": 1, "sample_rate": 16000, "language": None}]
    assert media["duration"] == pytest.approx(6.0, abs=0.1)
    assert [path.read_bytes() for path in files(stored)] == [content]
    assert (await client.get(f"/v1/media/{media['id']}")).json() == media


async def test_sound_with_cover_art_is_audio(client: httpx.AsyncClient, clips: Path) -> None:
    media = (await send(client, (clips / "cover.mp3").read_bytes(), "song.mp3")).json()
    assert (media["kind"], media["video"], media["has_audio"]) == ("audio", None, True)


async def test_a_video_without_sound_says_so(client: httpx.AsyncClient, clips: Path) -> None:
    media = (await send(client, (clips / "silent.mp4").read_bytes())).json()
    assert (media["kind"], media["has_audio"], media["audio"]) == ("video", False, [])


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../../etc/passwd.mp4", "passwd.mp4"),
        ("x" * 300 + ".mp4", "x" * 251 + ".mp4"),
        ("видео 動画 🎬.mp4", "видео 動画 🎬.mp4"),
        ("evil\u202egpm.mp4", "evilgpm.mp4"),
    ],
)
async def test_a_name_is_shown_and_never_a_path(
    client: httpx.AsyncClient, clips: Path, stored: Path, sent: str, shown: str
) -> None:
    media = (await send(client, (clips / "a.mp3").read_bytes(), sent)).json()
    assert media["filename"] == shown
    assert [str(path.relative_to(stored)) for path in files(stored)] == [f"media/{media['id']}/source"]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "no_file"), (b"\0", "not_media"), (b"not a media file " * 5_000, "not_media")],
    ids=["zero bytes", "one byte", "text"],
)
async def test_what_is_not_media_is_refused(
    client: httpx.AsyncClient, engine: AsyncEngine, stored: Path, content: bytes, code: str
) -> None:
    answer = await send(client, content)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    await nothing_stays(stored, engine)


@pytest.mark.parametrize("name", ["v.mp4", "tail.mp4", "v.mkv", "a.wav"])
async def test_a_truncated_file_is_refused(
    client: httpx.AsyncClient, engine: AsyncEngine, clips: Path, stored: Path, name: str
) -> None:
    content = (clips / name).read_bytes()
    answer = await send(client, content[: len(content) // 2], name)
    assert answer.status_code == 422
    assert "incomplete" in answer.json()["detail"]
    await nothing_stays(stored, engine)


async def test_a_length_over_the_limit_is_refused_before_anything_is_read(
    client: httpx.AsyncClient, engine: AsyncEngine, stored: Path
) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(600 * 2**20)}
    answer = await client.post("/v1/media", content=never(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "500 MB" in answer.json()["detail"]
    await nothing_stays(stored, engine)


async def test_a_body_of_unknown_length_is_counted_while_it_comes(
    client: httpx.AsyncClient, app_settings: Settings, engine: AsyncEngine, stored: Path
) -> None:
    app_settings.max_video_bytes = app_settings.max_audio_bytes = app_settings.max_subtitle_bytes = 3_000_000
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            sent += 1
            yield bytes(1_000_000)

    answer = await client.post(
        "/v1/media", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 413
    assert sent < 8
    await nothing_stays(stored, engine)


async def test_a_lying_content_length_does_not_lift_the_limit(
    live: httpx.AsyncClient, app_settings: Settings, engine: AsyncEngine, stored: Path
) -> None:
    app_settings.max_video_bytes = app_settings.max_audio_bytes = app_settings.max_subtitle_bytes = 100_000
    answer = await send(live, bytes(150_000))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    await nothing_stays(stored, engine)


async def test_each_kind_has_a_limit_of_its_own(
    client: httpx.AsyncClient, app_settings: Settings, engine: AsyncEngine, clips: Path, stored: Path
) -> None:
    app_settings.max_audio_bytes = 10_000
    answer = await send(client, (clips / "a.wav").read_bytes(), "a.wav")
    assert answer.status_code == 413
    assert "audio file" in answer.json()["detail"]
    await nothing_stays(stored, engine)
    assert (await send(client, (clips / "v.mp4").read_bytes())).status_code == 201


async def test_a_file_that_lasts_too_long_is_refused(
    client: httpx.AsyncClient, app_settings: Settings, engine: AsyncEngine, clips: Path, stored: Path
) -> None:
    app_settings.max_duration_s = 5
    answer = await send(client, (clips / "v.mp4").read_bytes())
    assert (answer.status_code, answer.json()["code"]) == (422, "too_long")
    await nothing_stays(stored, engine)


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "multipart/form-data"}, b"", 415),
        ({}, b"", 415),
        (MULTIPART, b"", 400),
        (MULTIPART, b"this is not multipart", 400),
        (MULTIPART, PART + b"cut off", 400),
        (MULTIPART, PART.replace(b'"file"', b'"other"') + b"x\r\n--x--\r\n", 422),
        (MULTIPART, b"--x--\r\n", 422),
        (MULTIPART, PART + b"1\r\n" + PART + b"2\r\n--x--\r\n", 422),
        (MULTIPART, PART + b"\r\n--x--\r\n", 422),
        (MULTIPART, b"--x\r\n" + b"a" * 10_000 + b": b\r\n\r\n1\r\n--x--\r\n", 400),
    ],
    ids=[
        *("json", "no boundary", "no type", "empty", "no multipart", "cut off", "other field", "no part"),
        *("two files", "empty file", "endless header"),
    ],
)
async def test_a_body_that_is_no_upload_is_refused(
    client: httpx.AsyncClient, engine: AsyncEngine, stored: Path, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await client.post("/v1/media", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    await nothing_stays(stored, engine)


async def test_other_fields_beside_the_file_are_ignored_but_bounded(client: httpx.AsyncClient, clips: Path) -> None:
    content = (clips / "a.mp3").read_bytes()
    answer = await client.post("/v1/media", files={"file": ("a.mp3", content)}, data={"title": "Reading"})
    assert answer.status_code == 201
    answer = await client.post("/v1/media", files={"file": ("a.mp3", content)}, data={"title": "x" * 100_000})
    assert answer.status_code == 413


async def test_a_client_that_hangs_up_leaves_nothing(
    server: str, live: httpx.AsyncClient, engine: AsyncEngine, stored: Path
) -> None:
    port = int(server.rpartition(":")[2])
    head = (
        "POST /v1/media HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n"
        f"Authorization: {live.headers['Authorization']}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, head.encode() + PART + bytes(12_000_000))
        await asyncio.sleep(0.3)
    await nothing_stays(stored, engine)
    assert (await live.get("/healthz")).status_code == 200


async def hang_up_after(live: httpx.AsyncClient, announced: int, body: bytes) -> None:
    """A multipart request that announces a length, sends a body, and goes."""
    head = (
        f"POST /v1/media HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n"
        f"Authorization: {live.headers['Authorization']}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", live.base_url.port)
    writer.write(head.encode() + body)
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()


async def test_an_upload_cut_at_any_tenth_leaves_nothing(
    live: httpx.AsyncClient, engine: AsyncEngine, clips: Path, stored: Path
) -> None:
    body = PART + padded((clips / "v.mp4").read_bytes(), 12_000_000) + b"\r\n--x--\r\n"
    cut = (hang_up_after(live, len(body), body[: len(body) * tenth // 10]) for tenth in range(10))
    await asyncio.gather(*cut)
    await nothing_stays(stored, engine)
    for _ in range(600):
        async with engine.connect() as connection:
            kept = await connection.scalar(sa.select(sa.func.count()).select_from(Upload))
        if not kept:
            break
        await asyncio.sleep(0.1)
    assert kept == 0, "the room that was kept for it is free again"


@pytest.mark.parametrize("lie", [-1_000, 1_000], ids=["too short", "too long"])
async def test_a_length_that_is_not_the_bodys_is_no_upload(
    live: httpx.AsyncClient, engine: AsyncEngine, clips: Path, stored: Path, lie: int
) -> None:
    body = PART + (clips / "v.mp4").read_bytes() + b"\r\n--x--\r\n"
    await hang_up_after(live, len(body) + lie, body)
    await nothing_stays(stored, engine)


async def test_a_full_disk_is_said_and_leaves_nothing(
    client: httpx.AsyncClient, engine: AsyncEngine, clips: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: Storage, key: str, chunks: AsyncIterator[bytes]) -> None:
        async for _ in chunks:
            raise StorageFullError

    monkeypatch.setattr(Storage, "put_stream", full)
    answer = await send(client, (clips / "v.mp4").read_bytes())
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    await nothing_stays(stored, engine)


async def test_what_cannot_be_deleted_now_is_left_to_the_sweeper(
    client: httpx.AsyncClient, engine: AsyncEngine, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: Storage, key: str) -> None:
        raise StorageError(key)

    monkeypatch.setattr(Storage, "delete", away)
    assert (await send(client, b"text " * 1_000)).status_code == 503
    (left,) = files(stored)
    async with engine.connect() as connection:
        row = await connection.scalar(sa.select(Upload.id))
    assert left.relative_to(stored).as_posix() == f"media/{row}/source"


async def test_a_strangers_media_is_not_there(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, clips: Path
) -> None:
    media = (await send(client, (clips / "a.mp3").read_bytes())).json()
    seen, unknown = await stranger.get(f"/v1/media/{media['id']}"), await stranger.get(f"/v1/media/{uuid4()}")
    assert (seen.status_code, unknown.status_code) == (404, 404)
    without_id = [re.sub(r"[0-9a-f-]{36}", "", answer.text) for answer in (seen, unknown)]
    assert without_id[0] == without_id[1]
    assert (await stranger.get("/v1/media")).json() == {"items": [], "next_cursor": None}


async def test_pages_of_media_are_newest_first_and_complete(client: httpx.AsyncClient, clips: Path) -> None:
    content = (clips / "a.mp3").read_bytes()
    sent = [(await send(client, content, f"{number}.mp3")).json()["id"] for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (await client.get("/v1/media", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [media["id"] for media in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sent[::-1]


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20))
def test_a_file_comes_out_of_a_multipart_body_however_it_is_cut(content: bytes, cuts: list[int]) -> None:
    boundary = b"----boundary"
    if b"\r\n--" + boundary in content:
        return
    body = PART.replace(b"--x", b"--" + boundary) + content + b"\r\n--" + boundary + b"--\r\n"
    parser = _FileParser(boundary)
    out = b""
    for cut in [*cuts, len(body)]:
        out += parser.feed(body[:cut])
        body = body[cut:]
    parser.finish()
    assert (out, parser.filename, parser.found) == (content, "a.mp4", True)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_body_or_a_broken_one(body: bytes) -> None:
    parser = _FileParser(b"x")
    try:
        parser.feed(body)
        parser.finish()
    except BrokenUploadError:
        return
