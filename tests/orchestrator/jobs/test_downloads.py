"""Artifacts: whole, in ranges, by name, and only when they are there."""

import hashlib
import random
from urllib.parse import unquote
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.downloads import content_disposition
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.storage import Storage

pytestmark = pytest.mark.anyio

CONTENT = random.Random(1).randbytes(3_000_000)
NAME = "dub.es.mp4"


@pytest.fixture
async def url(job: Job, storage: Storage, make_session: async_sessionmaker[AsyncSession]) -> str:
    """A completed job's dub."""
    key = f"jobs/{job.id}/artifacts/{NAME}"
    stored = await storage.put_bytes(key, CONTENT)
    artifact = {"kind": "video", "language": "es", "name": NAME, "content_type": "video/mp4", "storage_key": key}
    async with make_session.begin() as session:
        await progress.complete(session, job.id, [{**artifact, "size": stored.size, "sha256": stored.sha256}])
    return f"/v1/jobs/{job.id}/artifacts/{NAME}"


async def test_a_whole_artifact_with_its_name_type_and_tag(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert 'filename="Sense and Sensibility.dub.es.mp4"' in answer.headers["Content-Disposition"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_head_tells_the_same_without_the_file(client: httpx.AsyncClient, url: str) -> None:
    whole, head = await client.get(url), await client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    names = ("Content-Type", "Content-Length", "ETag", "Content-Disposition", "Accept-Ranges")
    assert [head.headers[name] for name in names] == [whole.headers[name] for name in names]


async def test_ranges_are_slices(client: httpx.AsyncClient, url: str) -> None:
    size, chance = len(CONTENT), random.Random(2)
    ranges = [(0, 0), (0, size - 1), (size - 1, size - 1), (size - 1, size + 10), (0, size * 2)]
    ranges += [(first := chance.randrange(size), first + chance.randrange(size)) for _ in range(20)]
    for first, last in ranges:
        answer = await client.get(url, headers={"Range": f"bytes={first}-{last}"})
        assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
        assert answer.headers["Content-Range"] == f"bytes {first}-{min(last, size - 1)}/{size}"
        assert answer.headers["Content-Length"] == str(len(answer.content))
    for length in (1, 1000, size, size * 2):
        assert (await client.get(url, headers={"Range": f"bytes=-{length}"})).content == CONTENT[-length:]
    assert (await client.get(url, headers={"Range": f"bytes={size - 5}-"})).content == CONTENT[-5:]


@pytest.mark.parametrize("header", ["bytes=3000000-", "bytes=-0", "bytes=9999999-99999999"])
async def test_a_range_outside_is_416_with_the_size(client: httpx.AsyncClient, url: str, header: str) -> None:
    answer = await client.get(url, headers={"Range": header})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */3000000")


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "bytes=5-1", "lines=0-1", "bytes", "bytes=" + "9" * 5000 + "-"])
async def test_a_range_that_is_not_understood_gives_the_whole(client: httpx.AsyncClient, url: str, header: str) -> None:
    assert (await client.get(url, headers={"Range": header})).status_code == 200


async def test_a_range_of_another_version_gives_the_whole(client: httpx.AsyncClient, url: str) -> None:
    etag = (await client.head(url)).headers["ETag"]
    for if_range, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)):
        answer = await client.get(url, headers={"Range": "bytes=0-9", "If-Range": if_range})
        assert answer.status_code == status, if_range


async def test_what_the_client_has_is_not_sent_again(client: httpx.AsyncClient, url: str) -> None:
    etag = (await client.head(url)).headers["ETag"]
    answer = await client.get(url, headers={"If-None-Match": f'"x", W/{etag}'})
    assert (answer.status_code, answer.content) == (304, b"")
    assert (await client.get(url, headers={"If-None-Match": '"x"'})).status_code == 200


async def test_artifacts_are_listed_with_the_completed_job(client: httpx.AsyncClient, job: Job, url: str) -> None:
    listed = (await client.get(f"/v1/jobs/{job.id}/artifacts")).json()["items"]
    assert [(each["name"], each["kind"], each["size"]) for each in listed] == [(NAME, "video", len(CONTENT))]
    assert (await client.get(f"/v1/jobs/{job.id}")).json()["artifacts"] == listed
    assert "storage_key" not in listed[0]


@pytest.mark.parametrize("name", ["other.mp4", "..%2F..%2Fsecret", "%00", "x" * 300])
async def test_other_names_are_not_there(client: httpx.AsyncClient, url: str, name: str) -> None:
    assert (await client.get(url.replace(NAME, name))).status_code in (404, 422)


async def test_an_artifact_whose_file_is_gone_says_so(
    client: httpx.AsyncClient, job: Job, storage: Storage, url: str
) -> None:
    await storage.delete(f"jobs/{job.id}/artifacts/{NAME}")
    answer = await client.get(url)
    assert (answer.status_code, answer.json()["code"]) == (404, "object_missing")
    assert str(UUID(str(job.id))) in answer.json()["detail"]


@pytest.mark.parametrize("name", ["plain.mp4", 'quo"te;.mp4', "日本語.mp4", "naïve café.mp4", "line\nbreak.mp4"])
def test_a_disposition_names_the_file_in_any_script(name: str) -> None:
    header = content_disposition(name)
    assert header.isascii()
    assert "\n" not in header
    assert header.count('"') == 2
    assert unquote(header.partition("filename*=UTF-8''")[2]) == name
