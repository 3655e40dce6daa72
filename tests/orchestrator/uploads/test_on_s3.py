"""Uploads and downloads of an API whose files lie on S3."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.fixtures_control_plane import MakeClient
from tests.orchestrator.media.padded import padded
from tests.orchestrator.uploads.conftest import Tus
from tests.standins.forwarder import Forwarder
from tests.standins.s3 import S3

pytestmark = pytest.mark.anyio


@pytest.fixture
def app_settings(app_settings: Settings, bucket: str) -> Settings:
    return app_settings.model_copy(update={"storage_url": f"s3://{bucket}/files"})


@pytest.fixture(scope="module")
def video(clips: Path) -> bytes:
    return padded((clips / "v.mp4").read_bytes(), 12_000_000)


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


async def test_both_ways_in_and_out(tus: Tus, client: httpx.AsyncClient, s3: S3, bucket: str, video: bytes) -> None:
    url = await tus.url(len(video))
    assert (await tus.patch(url, 0, pieces(video[:7_000_000]))).status_code == 204
    assert len(s3.objects(bucket)) == 2, "parts of at most 5 MiB"
    answer = await tus.patch(url, 7_000_000, pieces(video[7_000_000:]))
    form = await client.post("/v1/media", files={"file": ("clip.mp4", video)})
    ids = [answer.headers["Octavia-Media-Id"], form.json()["id"]]
    for media_id in ids:
        media = (await client.get(f"/v1/media/{media_id}")).json()
        assert media["sha256"] == hashlib.sha256(video).hexdigest()
    assert s3.objects(bucket) == sorted(f"files/media/{media_id}/source" for media_id in ids)
    assert s3.unfinished(bucket) == []


async def test_what_is_refused_leaves_nothing(tus: Tus, client: httpx.AsyncClient, s3: S3, bucket: str) -> None:
    text = b"not a media file " * 500_000
    assert (await tus.patch(await tus.url(len(text)), 0, pieces(text))).status_code == 422
    assert (await client.post("/v1/media", files={"file": ("a.mp4", text)})).status_code == 422
    assert (s3.objects(bucket), s3.unfinished(bucket)) == ([], [])


@pytest.fixture
def line(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forwarder]:
    """The way to the store, which breaks after 6 MB."""
    with Forwarder(s3.address, down_at=6_000_000) as line:
        for name, value in s3.environment(line.address).items():
            monkeypatch.setenv(name, value)
        yield line


async def test_while_the_store_is_away_an_upload_waits_with_what_counted(
    line: Forwarder, tus: Tus, client: httpx.AsyncClient, video: bytes, s3: S3, bucket: str
) -> None:
    url = await tus.url(len(video))
    answer = await tus.patch(url, 0, pieces(video))
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
    assert answer.headers["Retry-After"]
    offset = await tus.offset(url)
    assert 0 < offset < len(video)
    line.mend()
    answer = await tus.patch(url, offset, pieces(video[offset:]))
    media = (await client.get(f"/v1/media/{answer.headers['Octavia-Media-Id']}")).json()
    assert media["sha256"] == hashlib.sha256(video).hexdigest()
    assert s3.objects(bucket) == [f"files/media/{media['id']}/source"]


@pytest.fixture
async def artifact(make_session: async_sessionmaker[AsyncSession], user: User, storage: Storage) -> str:
    """The path of a finished job's dub."""
    media = Media(
        user_id=user.id, filename="Persuasion.mp4", kind="video", content_type="video/mp4", size=1, sha256="0" * 64
    )
    media.duration, media.storage_key = 1.0, "nowhere"
    async with make_session.begin() as session:
        session.add(media)
        await session.flush()
        job = Job(user_id=user.id, media_id=media.id, kind="video_translation", target_languages=["es"])
        job.status = "processing"
        session.add(job)
    key = f"jobs/{job.id}/artifacts/es.mp4"
    stored = await storage.put_bytes(key, bytes(range(256)) * 20_000)
    row = {"kind": "video", "language": "es", "name": "es.mp4", "content_type": "video/mp4", "storage_key": key}
    async with make_session.begin() as session:
        await progress.complete(session, job.id, [{**row, "size": stored.size, "sha256": stored.sha256}])
    return f"/v1/jobs/{job.id}/artifacts/es.mp4"


async def test_downloads_pass_through_the_api(client: httpx.AsyncClient, artifact: str) -> None:
    answer = await client.get(artifact, headers={"Range": "bytes=4194300-4194309"})
    assert (answer.status_code, answer.content) == (206, (bytes(range(256)) * 20_000)[4194300:4194310])
    assert (await client.get(artifact)).content == bytes(range(256)) * 20_000


async def test_downloads_are_redirected_to_the_store_where_the_setting_says_so(
    client: httpx.AsyncClient, make_client: MakeClient, artifact: str, app_settings: Settings
) -> None:
    app_settings.storage_redirect = True
    link = (await client.post(f"{artifact}/link")).json()["url"]
    for asked in (await client.get(artifact), await (await make_client(None)).get(link)):
        assert (asked.status_code, asked.headers["Cache-Control"]) == (307, "no-store")
        async with httpx.AsyncClient(timeout=60) as elsewhere:
            answer = await elsewhere.get(asked.headers["Location"], headers={"Range": "bytes=0-9"})
        assert (answer.status_code, answer.content) == (206, bytes(range(10)))
    assert (await client.head(artifact)).headers["Content-Length"] == str(256 * 20_000)
