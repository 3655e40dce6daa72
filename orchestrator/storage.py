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
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, GenericError
from obstore.store import LocalStore, ObjectStore, from_url

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

PART_BYTES = 5 * 2**20
PARTS_AT_ONCE = 2
"""Bounds the memory of one transfer to about 15 MB."""

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
        return cls(from_url(settings.storage_url or ""), scratch=scratch)

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
        with _named_errors(key):
            await obstore.put_async(self._store, key, data, use_multipart=False)
        return Stored(len(data), (await asyncio.to_thread(hashlib.sha256, data)).hexdigest())

    async def _put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        with _named_errors(key):
            await obstore.put_async(self._store, key, chunks, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

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
        """The bytes [start, end) in chunks of up to a megabyte; to the end of the object when `end` is left out."""
        size = await self.size(key)
        end = size if end is None else min(end, size)
        if start >= end:
            return
        with _named_errors(key):
            found = await obstore.get_async(self._store, key, options={"range": (start, end)})
            async for chunk in found.stream(min_chunk_size=2**20):
                yield bytes(chunk)

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


class _named_errors:  # noqa: N801  (reads as the function it stands for)
    """Turns obstore's errors about `key` into ours; everything else passes."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise MissingObjectError(self._key) from None
        if isinstance(error, GenericError) and any(words in str(error) for words in _FULL_WORDS):
            raise StorageFullError from error
        if isinstance(error, BaseError):
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
