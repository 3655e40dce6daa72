"""Files by key: whole or not there, whatever interrupts a write."""

import asyncio
import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from orchestrator.settings import Settings
from orchestrator.storage import MissingObjectError, Storage, StorageFullError, full_disk_named

pytestmark = pytest.mark.anyio


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def chunks(count: int, fail_at: int | None = None) -> AsyncIterator[bytes]:
    for number in range(count):
        if number == fail_at:
            raise ConnectionResetError("the sender has gone")
        yield bytes([number % 256]) * 1_000_000


@pytest.fixture(params=["folder", "object store"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage.in_folder(tmp_path) if request.param == "folder" else Storage(MemoryStore())


async def test_a_stream_is_stored_with_its_size_and_digest(any_storage: Storage) -> None:
    stored = await any_storage.put_stream("a/b.bin", chunks(12))
    content = b"".join([chunk async for chunk in chunks(12)])
    assert (stored.size, stored.sha256) == (12_000_000, hashlib.sha256(content).hexdigest())
    assert await any_storage.size("a/b.bin") == 12_000_000
    assert await any_storage.read_range("a/b.bin", 999_990, 1_000_010) == content[999_990:1_000_010]
    assert b"".join([part async for part in any_storage.stream("a/b.bin")]) == content


@pytest.mark.parametrize("fail_at", [0, 1, 11])
async def test_a_stream_that_breaks_leaves_nothing_and_keeps_the_old_object(tmp_path: Path, fail_at: int) -> None:
    storage = Storage.in_folder(tmp_path)
    await storage.put_bytes("kept", b"old")
    for key in ("new", "kept"):
        with pytest.raises(ConnectionResetError):
            await storage.put_stream(key, chunks(12, fail_at))
    assert [path.name for path in files(tmp_path)] == ["kept"]
    assert await storage.read_range("kept", 0, 10) == b"old"


async def test_a_cancelled_write_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage.in_folder(tmp_path)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 6_000_000
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(storage.put_stream("new", endless()))
    await asyncio.sleep(0.2)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    for _ in range(3_000):
        if not files(tmp_path):
            break
        await asyncio.sleep(0.02)
    assert not files(tmp_path)


async def test_reads_end_where_the_object_ends(any_storage: Storage) -> None:
    await any_storage.put_bytes("k", b"0123456789")
    assert await any_storage.read_range("k", 8, 100) == b"89"
    assert await any_storage.read_range("k", 10, 20) == b""
    assert await any_storage.read_range("k", 5, 5) == b""


async def test_an_empty_object_is_an_object(any_storage: Storage) -> None:
    stored = await any_storage.put_bytes("empty", b"")
    assert stored.size == 0
    assert await any_storage.exists("empty")
    assert [part async for part in any_storage.stream("empty")] == []


async def test_a_missing_object_is_named(any_storage: Storage) -> None:
    assert not await any_storage.exists("jobs/none")
    with pytest.raises(MissingObjectError, match="jobs/none"):
        await any_storage.size("jobs/none")
    with pytest.raises(MissingObjectError):
        await any_storage.read_range("jobs/none", 0, 1)
    with pytest.raises(MissingObjectError):
        async with any_storage.local("jobs/none"):
            pass
    await any_storage.delete("jobs/none")


async def test_deleting_by_prefix_spares_the_neighbours(any_storage: Storage) -> None:
    for key in ("jobs/1/work/a", "jobs/1/work/b/c", "jobs/1/artifacts/x", "jobs/12/work/a"):
        await any_storage.put_bytes(key, b"1")
    await any_storage.delete_prefix("jobs/1/work")
    assert [await any_storage.exists(key) for key in ("jobs/1/work/a", "jobs/1/work/b/c")] == [False, False]
    assert [await any_storage.exists(key) for key in ("jobs/1/artifacts/x", "jobs/12/work/a")] == [True, True]


async def test_deleting_by_prefix_takes_unfinished_files_and_empty_folders_along(tmp_path: Path) -> None:
    storage = Storage.in_folder(tmp_path)
    for key in ("jobs/1/work/es/000001.wav", "jobs/1/artifacts/es.mp4", "jobs/2/artifacts/es.mp4"):
        await storage.put_bytes(key, b"1")
        (tmp_path / f"{key}#1").write_bytes(b"half")
    await storage.delete_prefix("jobs/1")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(files(tmp_path))] == [
        "jobs/2/artifacts/es.mp4",
        "jobs/2/artifacts/es.mp4#1",
    ]
    assert not (tmp_path / "jobs" / "1").exists()
    await storage.delete_prefix("jobs/1")


async def test_deleting_what_is_unfinished_spares_the_finished(tmp_path: Path) -> None:
    storage = Storage.in_folder(tmp_path)
    for key in ("jobs/1/artifacts/es.mp4", "jobs/1/artifacts/no1", "jobs/12/work/x"):
        await storage.put_bytes(key, b"1")
        (tmp_path / f"{key}#27").write_bytes(b"half")
    await storage.delete_unfinished("jobs/1")
    names = ["jobs/1/artifacts/es.mp4", "jobs/1/artifacts/no1", "jobs/12/work/x", "jobs/12/work/x#27"]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in files(tmp_path)) == names


async def test_an_object_store_has_nothing_unfinished_to_show() -> None:
    storage = Storage(MemoryStore())
    await storage.put_bytes("jobs/1/work/x#27", b"whole")
    await storage.delete_unfinished("jobs/1")
    assert await storage.read("jobs/1/work/x#27") == b"whole"


async def test_storing_a_large_file_keeps_nobody_waiting_and_its_digest_is_right(
    any_storage: Storage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytes(range(256)) * 50_000
    source = tmp_path_factory.mktemp("source") / "clip.bin"
    source.write_bytes(content)
    stored = await any_storage.put_file("media/1/source", source)
    assert (stored.size, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await any_storage.read_range("media/1/source", 0, len(content)) == content


async def test_a_file_that_is_not_there_is_named_when_it_is_to_be_stored(any_storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(MissingObjectError, match="media/1/source"):
        await any_storage.put_file("media/1/source", tmp_path / "none")


async def test_what_is_downloaded_for_reading_lies_in_the_scratch_folder_while_in_use(tmp_path: Path) -> None:
    storage = Storage(MemoryStore(), scratch=tmp_path)
    await storage.put_bytes("media/1/source", b"content")
    async with storage.local("media/1/source") as path:
        assert path.is_relative_to(tmp_path)
        assert path.read_bytes() == b"content"
    assert files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_the_systems_words_for_a_full_disk_become_ours(number: int) -> None:
    with pytest.raises(StorageFullError), full_disk_named():
        raise OSError(number, os.strerror(number))


def test_other_errors_of_the_system_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), full_disk_named():
        raise PermissionError(errno.EACCES, "not yours")


async def test_an_object_can_be_read_as_a_file(any_storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = tmp_path_factory.mktemp("source") / "clip.bin"
    source.write_bytes(b"content")
    await any_storage.put_file("media/1/source", source)
    async with any_storage.local("media/1/source") as path:
        assert path.read_bytes() == b"content"


async def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    storage = Storage.in_folder(tmp_path / "storage")
    with pytest.raises(ValueError, match="path"):
        await storage.put_bytes("../outside", b"1")
    assert files(tmp_path) == []


def test_the_folder_is_of_its_owner_alone(tmp_path: Path) -> None:
    Storage.from_settings(Settings(data_dir=tmp_path))
    assert (tmp_path / "storage").stat().st_mode & 0o077 == 0


def test_a_file_url_names_a_folder(tmp_path: Path) -> None:
    Storage.from_settings(Settings(storage_url=f"file://{tmp_path}/my%20files"))
    assert (tmp_path / "my files").is_dir()


FULL_DISK = """
import asyncio, os, sys
from pathlib import Path
from orchestrator.storage import Storage, StorageFullError

async def chunks():
    for _ in range(30):
        yield b"x" * 1_000_000

async def main():
    try:
        await Storage.in_folder(Path(sys.argv[1])).put_stream("new", chunks())
    except StorageFullError as error:
        print(error.status, error.message, flush=True)

asyncio.run(main())
os._exit(0)  # obstore's threads may call into an interpreter that is being taken down, and abort it
"""


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, 8_000_000))

    said = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], check=True, capture_output=True, text=True, preexec_fn=limit
    ).stdout
    assert said.startswith("507")
    assert "no space left" in said
    assert files(tmp_path) == []
    assert StorageFullError().status == 507


async def test_a_small_object_is_read_whole_and_a_missing_one_is_named(storage: Storage) -> None:
    await storage.put_bytes("jobs/a/b", b"abc")
    assert await storage.read("jobs/a/b") == b"abc"
    with pytest.raises(MissingObjectError, match="jobs/a/none"):
        await storage.read("jobs/a/none")
