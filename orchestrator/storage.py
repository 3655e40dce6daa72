"""Files by key, over obstore: a folder of this machine, or an object store by URL. Nothing half-written is visible."""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError, GenericError
from obstore.store import LocalStore, ObjectStore, S3Store, from_url

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

if TYPE_CHECKING:  # obstore's types are not there at run time
    from obstore import GetOptions
    from obstore.store import RetryConfig

log = structlog.get_logger(__name__)

PART_BYTES = 5 * 2**20
PARTS_AT_ONCE = 2
"""Bounds the memory of one transfer to about 15 MB."""
WINDOW_BYTES = 4 * 2**20
"""What one request to an object store reads: it never lasts long, however slowly the reader takes it."""
HASHED_AT_ONCE = 2**18
"""Bytes: more of them keep the others waiting, so a thread hashes them."""
ABORT_S = 10.0
"""How long a cancelled write may take to remove what it has stored."""
RETRIES: "RetryConfig" = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
"""Of one request to an object store, with growing pauses."""
SIGNED_FOR = timedelta(minutes=15)

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_FULL_WORDS = tuple(f"os error {number})" for number in _FULL)
"""As obstore words them; it has no class for a full disk."""

_STAGED = re.compile(r"#\d+$")
"""How the name of a file ends that obstore is still writing; it lists none of these."""


class StorageFullError(OctaviaError):
    """The disk or the quota of the storage is used up."""

    def __init__(self) -> None:
        super().__init__(
            "storage_full", "The server has no space left for this file. Nothing was stored; try again later.", 507
        )


class StorageError(OctaviaError):
    """The object store did not do what was asked."""

    def __init__(self, key: str) -> None:
        super().__init__("storage_failed", f"The file storage failed on {key}. Try again later.", 503)


class MissingObjectError(OctaviaError):
    """No object lies under the key."""

    def __init__(self, key: str) -> None:
        super().__init__("object_missing", f"Nothing is stored under {key}.", 404)


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: bytes and the hexadecimal sha256 of the content."""

    size: int
    sha256: str


class Storage:
    """Objects by key ("jobs/…/artifacts/dub.mp4"). A write is atomic: readers see the old or the whole new object."""

    def __init__(self, store: ObjectStore, folder: Path | None = None, scratch: Path | None = None) -> None:
        self._store = store
        self._folder = folder
        self._scratch = scratch

    @classmethod
    def from_settings(cls, settings: Settings, scratch: Path | None = None) -> Self:
        """The storage of OCTAVIA_STORAGE_URL, or the folder `storage` of the data folder.

        `scratch` is where `local` downloads to, the system's folder for temporary files when left out.
        """
        parts = urlsplit(settings.storage_url or "")
        if parts.scheme in ("", "file"):
            folder = Path(unquote(parts.path)) if settings.storage_url else settings.data_dir / "storage"
            return cls.in_folder(folder)
        return cls(from_url(settings.storage_url or "", retry_config=RETRIES), scratch=scratch)

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        folder = folder.expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(LocalStore(folder), folder)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> Stored:
        """Store what the iterator yields, with bounded memory. Its exception passes through and nothing is stored."""
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                if len(chunk) > HASHED_AT_ONCE:
                    await asyncio.to_thread(digest.update, chunk)
                else:
                    digest.update(chunk)
                size += len(chunk)
                yield chunk

        await self._put(key, counted())
        return Stored(size, digest.hexdigest())

    async def put_file(self, key: str, path: Path) -> Stored:
        """Store a file of this machine; reading and hashing it keeps nobody else waiting."""
        file = _HashedFile(path)
        await self._put(key, file.chunks())
        return Stored(file.size, file.digest.hexdigest())

    async def put_bytes(self, key: str, data: bytes) -> Stored:
        with _named_errors(key, writing=True):
            await obstore.put_async(self._store, key, data, use_multipart=False)
        return Stored(len(data), (await asyncio.to_thread(hashlib.sha256, data)).hexdigest())

    async def _put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Cancelled, it first lets obstore abort: a write that is only dropped leaves a multipart upload behind."""
        stop = asyncio.Event()
        put = obstore.put_async(
            self._store, key, _until(stop, chunks), chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )
        writing = asyncio.ensure_future(put)
        try:
            with _named_errors(key, writing=True):
                await asyncio.shield(writing)
        except asyncio.CancelledError:
            stop.set()
            done, _ = await asyncio.wait({writing}, timeout=ABORT_S)
            if done:
                writing.exception()  # which is ours, unless the write was through before it heard
            else:
                writing.cancel()
            raise

    async def size(self, key: str) -> int:
        """Bytes of the object. Raises MissingObjectError."""
        with _named_errors(key):
            return int((await obstore.head_async(self._store, key))["size"])

    async def exists(self, key: str) -> bool:
        try:
            await self.size(key)
        except MissingObjectError:
            return False
        return True

    async def read(self, key: str) -> bytes:
        """The whole of a small object. Raises MissingObjectError."""
        with _named_errors(key):
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())

    async def read_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes [start, end); fewer where the object ends before. Raises MissingObjectError."""
        if end <= start:
            return b""
        return b"".join([chunk async for chunk in self.stream(key, start, end)])

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes [start, end) in chunks of some megabytes at most; to the object's end when `end` is left out.

        All are of one version of the object: where it is replaced or deleted meanwhile, StorageError or
        MissingObjectError ends the stream.
        """
        with _named_errors(key):
            found = await obstore.head_async(self._store, key)
            end = found["size"] if end is None else min(end, found["size"])
            if start < end and self._folder is not None:
                whole = await obstore.get_async(self._store, key, options={"range": (start, end)})
                async for chunk in whole.stream(min_chunk_size=2**20):
                    yield bytes(chunk)
                return
            for first in range(start, end, WINDOW_BYTES):
                window: GetOptions = {"range": (first, min(first + WINDOW_BYTES, end))}
                if found["e_tag"]:
                    window["if_match"] = found["e_tag"]
                part = await obstore.get_async(self._store, key, options=window)
                yield bytes(await part.bytes_async())

    async def link(self, key: str) -> str | None:
        """A URL of the object store that lets whoever has it GET the object for 15 minutes; None where it has none."""
        if not isinstance(self._store, S3Store):
            return None
        with _named_errors(key):
            return await obstore.sign_async(self._store, "GET", key, SIGNED_FOR)

    async def delete(self, key: str) -> None:
        """Delete the object, if there is one."""
        try:
            with _named_errors(key):
                await obstore.delete_async(self._store, key)
        except MissingObjectError:
            return

    async def delete_prefix(self, prefix: str) -> None:
        """Delete every object under "prefix/"."""
        with _named_errors(prefix):
            async for page in obstore.list(self._store, prefix=prefix):
                await asyncio.gather(*(self.delete(entry["path"]) for entry in page))
        if self._folder is not None:
            await asyncio.to_thread(_delete_staged, self._folder, prefix)

    async def delete_unfinished(self, prefix: str) -> None:
        """Delete what killed processes were still writing under "prefix/". For where nobody writes any more.

        In an object store these are incomplete multipart uploads, which its own lifecycle rule removes.
        """
        if self._folder is not None:
            await asyncio.to_thread(_delete_staged, self._folder, prefix)

    @asynccontextmanager
    async def local(self, key: str) -> AsyncIterator[Path]:
        """The object as a file to read: in place where the storage is a folder, else downloaded while in use."""
        if self._folder is not None:
            path = self._folder / key
            if not path.is_file():
                raise MissingObjectError(key)
            yield path
            return
        with full_disk_named():
            scratch = Path(tempfile.mkdtemp(prefix="octavia-", dir=self._scratch))
        try:
            path = scratch / Path(key).name
            with full_disk_named(), path.open("wb") as file:
                async for chunk in self.stream(key):
                    await asyncio.to_thread(file.write, chunk)
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


async def _until(stop: asyncio.Event, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks, until `stop` is set: then an error, which makes obstore abort what it writes."""
    stopped = asyncio.ensure_future(stop.wait())
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(chunks))
            await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                raise InterruptedError
            try:
                chunk = coming.result()
            except StopAsyncIteration:
                return
            yield chunk
    finally:
        stopped.cancel()
        if coming is not None:
            coming.cancel()


class _named_errors:  # noqa: N801  (reads as the function it stands for)
    """Turns obstore's errors about `key` into ours; everything else passes."""

    def __init__(self, key: str, *, writing: bool = False) -> None:
        self._key = key
        self._writing = writing

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # What obstore does not find while it writes is the bucket; with an errno it is our own file that is missing.
        no_bucket = self._writing and isinstance(error, FileNotFoundError) and error.errno is None
        if isinstance(error, FileNotFoundError) and not no_bucket:
            raise MissingObjectError(self._key) from None
        if isinstance(error, GenericError) and any(words in str(error) for words in _FULL_WORDS):
            raise StorageFullError from error
        if isinstance(error, BaseError) or no_bucket:
            log.warning("the file storage failed", key=self._key, error=str(error).partition("\n")[0])
            raise StorageError(self._key) from error


@contextmanager
def full_disk_named() -> Iterator[None]:
    """Turns the operating system's word for a full disk, quota or file into StorageFullError; the rest passes."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError from error
        raise


class _HashedFile:
    """A file of this machine in chunks; `size` and `digest` are of what was read so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = 0
        self.digest = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := await asyncio.to_thread(self._next, file):
                yield chunk

    def _next(self, file: BinaryIO) -> bytes:
        chunk = file.read(PART_BYTES)
        self.digest.update(chunk)
        self.size += len(chunk)
        return chunk


def _delete_staged(folder: Path, prefix: str) -> None:
    """Delete unfinished files below folder/prefix, and folders that hold nothing any more."""
    for name, _, files in os.walk(folder / prefix, topdown=False):
        for file in files:
            if _STAGED.search(file):
                Path(name, file).unlink(missing_ok=True)
        _remove_empty(Path(name))


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # somebody else's file lies in it, or it is gone
        folder.rmdir()
