"""Storage on S3, with the client that production has: whole or not there, whatever fails on the way."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from obstore.store import from_url

from orchestrator import storage as storage_module
from orchestrator.settings import Settings
from orchestrator.storage import MissingObjectError, Storage, StorageError
from tests.standins.forwarder import Forwarder
from tests.standins.s3 import S3

pytestmark = pytest.mark.anyio

CONTENT = random.Random(3).randbytes(12_000_000)


@pytest.fixture
def storage(bucket: str, tmp_path: Path) -> Storage:
    return Storage.from_settings(Settings(storage_url=f"s3://{bucket}/files"), tmp_path)


def through(line: Forwarder, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """The storage over a line that fails."""
    for name, value in s3.environment(line.address).items():
        monkeypatch.setenv(name, value)
    return Storage.from_settings(Settings(storage_url=f"s3://{bucket}/files"))


async def chunks(fail_at: int | None = None, size: int = 1_000_000) -> AsyncIterator[bytes]:
    for start in range(0, len(CONTENT), size):
        if fail_at is not None and start >= fail_at:
            raise ConnectionResetError("the sender has gone")
        yield CONTENT[start : start + size]


async def whole(storage: Storage, key: str) -> bytes:
    return b"".join([chunk async for chunk in storage.stream(key)])


async def test_a_stream_goes_in_by_parts_that_s3_takes_and_comes_out_whole(
    storage: Storage, s3: S3, bucket: str
) -> None:
    stored = await storage.put_stream("media/1/source", chunks())
    assert (stored.size, stored.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert await whole(storage, "media/1/source") == CONTENT
    found = s3.client().head_object(Bucket=bucket, Key="files/media/1/source")
    assert found["ETag"].endswith('-3"'), "three parts, of 5 MiB but for the last"
    assert s3.unfinished(bucket) == []


async def test_ranges_sizes_lists_and_deletions(storage: Storage, s3: S3, bucket: str) -> None:
    await storage.put_stream("a/big", chunks())
    for name in ("a/1", "a/b/2", "ab/3"):
        await storage.put_bytes(name, name.encode())
    assert await storage.size("a/big") == len(CONTENT)
    assert await storage.read_range("a/big", 4_194_300, 4_194_310) == CONTENT[4_194_300:4_194_310]
    assert await storage.read_range("a/big", len(CONTENT) - 3, len(CONTENT) + 3) == CONTENT[-3:]
    assert await storage.read("a/b/2") == b"a/b/2"
    await storage.delete_prefix("a")
    assert s3.objects(bucket) == ["files/ab/3"]
    await storage.delete("ab/3")
    await storage.delete("ab/3")
    assert not await storage.exists("ab/3")
    with pytest.raises(MissingObjectError, match="a/big"):
        await storage.size("a/big")


async def test_a_file_goes_in_and_can_be_worked_on_as_a_file(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(CONTENT)
    await storage.put_file("media/1/source", tmp_path / "in")
    async with storage.local("media/1/source") as path:
        assert path.read_bytes() == CONTENT
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("fail_at", [0, 3_000_000, 11_000_000])
async def test_a_sender_that_breaks_off_leaves_nothing(storage: Storage, s3: S3, bucket: str, fail_at: int) -> None:
    await storage.put_bytes("kept", b"old")
    for key in ("new", "kept"):
        with pytest.raises(ConnectionResetError):
            await storage.put_stream(key, chunks(fail_at))
    assert s3.objects(bucket) == ["files/kept"]
    assert await storage.read("kept") == b"old"
    assert s3.unfinished(bucket) == []


async def test_a_cancelled_write_leaves_nothing(storage: Storage, s3: S3, bucket: str) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield CONTENT
        await asyncio.sleep(3600)

    writing = asyncio.create_task(storage.put_stream("new", stuck()))
    while not s3.unfinished(bucket):
        assert not writing.done()
        await asyncio.sleep(0.05)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert (s3.objects(bucket), s3.unfinished(bucket)) == ([], [])


async def test_a_line_that_breaks_is_tried_again(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Forwarder(s3.address, cuts=(1_000_000, 7_000_000)) as line:
        storage = through(line, s3, bucket, monkeypatch)
        await storage.put_stream("new", chunks())
        assert line.made == 2
    with Forwarder(s3.address, cuts=(100_000, 6_000_000, 9_000_000), answers=True) as line:
        assert await whole(through(line, s3, bucket, monkeypatch), "new") == CONTENT
        assert line.made == 3


@pytest.mark.parametrize("byte", [1, 100_000, 6_000_000, 11_500_000])
async def test_a_storage_that_fails_at_a_byte_publishes_nothing_says_so_and_takes_it_later(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch, byte: int
) -> None:
    monkeypatch.setitem(storage_module.RETRIES, "max_retries", 2)
    with Forwarder(s3.address, down_at=byte) as line:
        storage = through(line, s3, bucket, monkeypatch)
        with pytest.raises(StorageError, match="media/1/source") as caught:
            await storage.put_stream("media/1/source", chunks())
        assert caught.value.status == 503
        assert s3.objects(bucket) == []
        line.mend()
        assert (await storage.put_stream("media/1/source", chunks())).size == len(CONTENT)
        assert await whole(storage, "media/1/source") == CONTENT


async def test_a_download_that_fails_at_a_byte_says_so_and_is_never_silently_short(
    storage: Storage, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(storage_module.RETRIES, "max_retries", 2)
    await storage.put_stream("new", chunks())
    with Forwarder(s3.address, down_at=6_000_000, answers=True) as line:
        failing = through(line, s3, bucket, monkeypatch)
        came = b""

        async def read() -> None:
            nonlocal came
            async for chunk in failing.stream("new"):
                came += chunk

        with pytest.raises(StorageError, match="new"):
            await read()
        assert CONTENT.startswith(came)
        assert len(came) >= 4 * 2**20
        line.mend()
        rest = [chunk async for chunk in failing.stream("new", len(came))]
        assert came + b"".join(rest) == CONTENT


async def test_a_stream_is_of_one_version(storage: Storage) -> None:
    await storage.put_stream("new", chunks())
    stream = storage.stream("new")
    assert await anext(stream) == CONTENT[: 4 * 2**20]
    await storage.put_bytes("new", b"another" * 2_000_000)
    with pytest.raises(StorageError):
        await anext(stream)


async def test_a_slow_reader_is_waited_for(bucket: str, storage: Storage) -> None:
    await storage.put_stream("new", chunks())
    hasty = Storage(from_url(f"s3://{bucket}/files", client_options={"timeout": "1s", "allow_http": True}))
    came = b""
    async for chunk in hasty.stream("new"):
        came += chunk
        await asyncio.sleep(1.2)
    assert came == CONTENT


async def test_a_bucket_that_is_not_there_is_an_error_of_the_storage(bucket: str) -> None:
    storage = Storage.from_settings(Settings(storage_url=f"s3://{bucket}-not/files"))
    with pytest.raises(StorageError):
        await storage.put_bytes("new", b"x")
    with pytest.raises(StorageError):
        await storage.put_stream("new", chunks())


async def test_a_link_of_the_store_opens_the_object_without_our_keys(storage: Storage) -> None:
    await storage.put_stream("jobs/1/artifacts/es.mp4", chunks())
    url = await storage.link("jobs/1/artifacts/es.mp4")
    assert url is not None
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(url, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, CONTENT[10:20])
    assert "X-Amz-Expires=900" in url


async def test_a_folder_has_no_links(tmp_path: Path) -> None:
    assert await Storage.in_folder(tmp_path).link("a") is None
