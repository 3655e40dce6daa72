"""tus 1.0 as the API speaks it: each rule of core, creation, expiration and termination."""

import hashlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.media.models import Media
from orchestrator.settings import Settings
from orchestrator.uploads.models import Upload
from tests.orchestrator.uploads.conftest import BYTES, TUS, Tus, metadata

pytestmark = pytest.mark.anyio

Stored = Callable[[], list[str]]


@pytest.fixture
def video(clips: Path) -> bytes:
    return (clips / "v.mp4").read_bytes()


async def count(engine: AsyncEngine, table: type[Media | Upload]) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


async def test_anybody_may_ask_what_is_spoken(make_client: Callable[..., httpx.AsyncClient]) -> None:
    answer = await (await make_client(None)).options("/v1/uploads")  # type: ignore[misc]
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,creation-with-upload,expiration,termination"
    assert answer.headers["Tus-Max-Size"] == str(500 * 2**20)


async def test_a_file_sent_in_pieces_becomes_a_media(
    tus: Tus, client: httpx.AsyncClient, video: bytes, stored: Stored
) -> None:
    answer = await tus.begin(len(video), "Sense & Sensibility.mp4")
    assert (answer.status_code, answer.headers["Tus-Resumable"], answer.headers["Upload-Offset"]) == (201, "1.0.0", "0")
    url = answer.headers["Location"]
    assert url == f"/v1/uploads/{UUID(url.rpartition('/')[2])}"
    for start in range(0, len(video), 10_000):
        answer = await tus.patch(url, start, video[start : start + 10_000])
        assert answer.status_code == 204
        assert answer.headers["Upload-Offset"] == str(min(start + 10_000, len(video)))
    media_id = answer.headers["Octavia-Media-Id"]
    media = (await client.get(f"/v1/media/{media_id}")).json()
    assert (media["filename"], media["kind"], media["size"]) == ("Sense & Sensibility.mp4", "video", len(video))
    assert media["sha256"] == hashlib.sha256(video).hexdigest()
    assert stored() == [f"media/{media_id}/source"]
    upload = (await client.get(url)).json()
    assert (upload["status"], upload["media_id"], upload["problem"]) == ("completed", media_id, None)


async def test_head_says_where_to_go_on(tus: Tus, video: bytes) -> None:
    url = await tus.url(len(video), "видео.mp4")
    await tus.patch(url, 0, video[:1234])
    answer = await tus.head(url)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (200, "1234")
    assert answer.headers["Upload-Length"] == str(len(video))
    assert answer.headers["Upload-Metadata"] == metadata(filename="видео.mp4")["Upload-Metadata"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert parsedate_to_datetime(answer.headers["Upload-Expires"]).timestamp() > 0


async def test_the_first_bytes_may_come_with_the_creation(tus: Tus, client: httpx.AsyncClient, video: bytes) -> None:
    headers = {**BYTES, "Upload-Length": str(len(video))}
    answer = await client.post("/v1/uploads", headers=headers, content=video[:5000])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5000")
    answer = await tus.patch(answer.headers["Location"], 5000, video[5000:])
    assert (answer.status_code, "Octavia-Media-Id" in answer.headers) == (204, True)
    whole = await client.post("/v1/uploads", headers=headers, content=video)
    assert (whole.status_code, whole.headers["Upload-Offset"]) == (201, str(len(video)))
    assert (await client.get(f"/v1/media/{whole.headers['Octavia-Media-Id']}")).json()["filename"] == "untitled"


@pytest.mark.parametrize("version", [None, "0.2.2", "2.0.0"])
async def test_another_version_is_refused_with_ours(
    tus: Tus, client: httpx.AsyncClient, video: bytes, version: str | None
) -> None:
    url = await tus.url(len(video))
    versioned = {} if version is None else {"Tus-Resumable": version}
    rest = {"Upload-Length": "5", "Upload-Offset": "0", "Content-Type": BYTES["Content-Type"]}
    for method, path in (("POST", "/v1/uploads"), ("PATCH", url), ("HEAD", url), ("DELETE", url)):
        answer = await client.request(method, path, headers={**versioned, **rest}, content=b"12345")
        assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0"), method
    assert await tus.offset(url) == 0


@pytest.mark.parametrize("offset", [0, 999, 1001, 10**12])
async def test_a_wrong_offset_is_refused_and_changes_nothing(tus: Tus, video: bytes, offset: int) -> None:
    url = await tus.url(len(video))
    await tus.patch(url, 0, video[:1000])
    answer = await tus.patch(url, offset, video[:10])
    assert (answer.status_code, answer.json()["code"], answer.json()["offset"]) == (409, "wrong_offset", 1000)
    assert await tus.offset(url) == 1000
    assert (await tus.patch(url, 1000, video[1000:])).headers["Octavia-Media-Id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Offset": "x"}, 400),
        ({"Upload-Offset": "-1"}, 400),
        ({"Content-Type": "application/octet-stream"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
async def test_a_patch_without_what_it_needs_is_refused(
    tus: Tus, video: bytes, headers: dict[str, str], status: int
) -> None:
    url = await tus.url(len(video))
    answer = await tus.client.patch(url, headers={**BYTES, "Upload-Offset": "0", **headers}, content=video)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert await tus.offset(url) == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "invalid_header"),
        ({"Upload-Defer-Length": "1"}, 400, "invalid_header"),
        ({"Upload-Length": "ten"}, 400, "invalid_header"),
        ({"Upload-Length": "0"}, 422, "no_file"),
        ({"Upload-Length": str(500 * 2**20 + 1)}, 413, "too_large"),
        ({"Upload-Length": "10", "Upload-Metadata": "filename ***"}, 400, "invalid_header"),
    ],
)
async def test_an_upload_that_cannot_be_is_not_begun(
    client: httpx.AsyncClient, engine: AsyncEngine, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await client.post("/v1/uploads", headers={**TUS, **headers})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await count(engine, Upload) == 0


async def test_bytes_beyond_the_announced_length_are_refused(tus: Tus, video: bytes) -> None:
    url = await tus.url(1000)
    answer = await tus.patch(url, 0, video[:1001])
    assert (answer.status_code, answer.json()["code"]) == (413, "beyond_length")
    assert await tus.offset(url) == 0


async def test_a_deleted_upload_is_gone_with_its_bytes(
    tus: Tus, client: httpx.AsyncClient, video: bytes, stored: Stored
) -> None:
    url = await tus.url(len(video))
    await tus.patch(url, 0, video[:1000])
    assert len(stored()) == 1
    assert (await tus.delete(url)).status_code == 204
    assert stored() == []
    for answer in (await tus.head(url), await tus.patch(url, 1000, video[1000:]), await tus.delete(url)):
        assert (answer.status_code, "Upload-Offset" in answer.headers) == (410, False)
    assert (await client.get(url)).json()["status"] == "ended"


async def test_what_has_become_a_media_is_not_deleted_by_its_upload(
    tus: Tus, client: httpx.AsyncClient, video: bytes
) -> None:
    url = await tus.url(len(video))
    media_id = (await tus.patch(url, 0, video)).headers["Octavia-Media-Id"]
    answer = await tus.delete(url)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_completed")
    assert (await client.get(f"/v1/media/{media_id}")).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "HEAD"])
async def test_a_post_is_what_the_override_says(tus: Tus, client: httpx.AsyncClient, video: bytes, method: str) -> None:
    url = await tus.url(len(video))
    headers = {**BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": method}
    answer = await client.post(url, headers=headers, content=video[:100] if method == "PATCH" else b"")
    assert answer.status_code == {"PATCH": 204, "DELETE": 204, "HEAD": 200}[method]
    if method == "PATCH":
        assert await tus.offset(url) == 100


async def test_the_override_reaches_no_other_route(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/me", headers={"X-HTTP-Method-Override": "DELETE"}, json={})
    assert answer.status_code == 405


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"\0", 422, "not_media"), (b"not a media file " * 5_000, 422, "not_media")],
    ids=["one byte", "text"],
)
async def test_what_is_not_media_is_refused_when_it_is_whole(
    tus: Tus, client: httpx.AsyncClient, engine: AsyncEngine, stored: Stored, content: bytes, status: int, code: str
) -> None:
    url = await tus.url(len(content))
    answer = await tus.patch(url, 0, content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    again = await tus.patch(url, len(content), b"")
    assert (again.status_code, again.json()["detail"]) == (status, answer.json()["detail"])
    upload = (await client.get(url)).json()
    assert (upload["status"], upload["problem"]["code"], upload["media_id"]) == ("refused", code, None)
    assert (await tus.head(url)).headers["Upload-Offset"] == str(len(content)), "there is nothing to send again"
    assert stored() == []
    assert await count(engine, Media) == 0


async def test_each_kind_has_a_limit_of_its_own(tus: Tus, app_settings: Settings, clips: Path, stored: Stored) -> None:
    app_settings.max_audio_bytes = 10_000
    content = (clips / "a.wav").read_bytes()
    answer = await tus.patch(await tus.url(len(content), "a.wav"), 0, content)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "audio file" in answer.json()["detail"]
    assert stored() == []


async def test_uploads_are_listed_newest_first_and_only_ones_own(
    tus: Tus, client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    urls = [await tus.url(1000 + number) for number in range(3)]
    page = (await client.get("/v1/uploads", params={"limit": 2})).json()
    rest = (await client.get("/v1/uploads", params={"cursor": page["next_cursor"]})).json()
    listed = [f"/v1/uploads/{each['id']}" for each in page["items"] + rest["items"]]
    assert listed == urls[::-1]
    assert (await stranger.get("/v1/uploads")).json()["items"] == []


async def test_a_strangers_upload_is_not_there(
    tus: Tus, stranger: httpx.AsyncClient, video: bytes, stored: Stored
) -> None:
    url = await tus.url(len(video))
    await tus.patch(url, 0, video[:1000])
    other = Tus(stranger)
    for path in (url, f"/v1/uploads/{uuid4()}"):
        answers = [await other.head(path), await other.patch(path, 1000, video[1000:]), await other.delete(path)]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert (await stranger.get(path)).status_code == 404
    assert len(stored()) == 1
    assert await tus.offset(url) == 1000


async def test_a_page_of_another_origin_can_read_the_protocols_headers(client: httpx.AsyncClient) -> None:
    answer = await client.options("/v1/uploads", headers={"Origin": "http://localhost:3000"})
    exposed = answer.headers["Access-Control-Expose-Headers"]
    for name in ("Location", "Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Expires", "Octavia-Media-Id"):
        assert name in exposed


async def test_an_expired_upload_is_gone(
    tus: Tus, video: bytes, make_session: async_sessionmaker[AsyncSession]
) -> None:
    url = await tus.url(len(video))
    await tus.patch(url, 0, video[:1000])
    async with make_session.begin() as session:
        await session.execute(sa.update(Upload).values(expires_at=sa.func.now() - sa.text("interval '1 second'")))
    for answer in (await tus.head(url), await tus.patch(url, 1000, video[1000:])):
        assert (answer.status_code, "Upload-Offset" in answer.headers) == (410, False)


async def test_each_byte_that_comes_puts_the_end_off(
    tus: Tus, video: bytes, make_session: async_sessionmaker[AsyncSession]
) -> None:
    url = await tus.url(len(video))
    async with make_session.begin() as session:
        await session.execute(sa.update(Upload).values(expires_at=sa.func.now() + sa.text("interval '1 minute'")))
    soon = parsedate_to_datetime((await tus.head(url)).headers["Upload-Expires"])
    later = parsedate_to_datetime((await tus.patch(url, 0, video[:1])).headers["Upload-Expires"])
    assert (later - soon).total_seconds() > 23 * 3600
