"""The body of a request, stored piece by piece: what came counts, however the request ends."""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from starlette.requests import ClientDisconnect

from orchestrator.observability.metrics import UPLOADED
from orchestrator.slow_bodies import SlowBodyError
from orchestrator.storage import PART_BYTES, MissingObjectError, Storage, StorageError
from orchestrator.uploads import keys, rows
from orchestrator.uploads.errors import BeyondLengthError
from orchestrator.uploads.models import Upload, UploadPart

SMALL_BYTES = 256 * 2**10
"""A last part smaller than this is stored again with what follows, so that there are few."""
UNSAVED_S = 10.0
"""A slow sender's bytes are stored before a whole part has come: neither memory nor a killed process holds much."""


class Receiver:
    """Writes one request's bytes to the end of an upload, a part at a time. `received` is what counts so far."""

    def __init__(
        self, make: async_sessionmaker[AsyncSession], storage: Storage, upload: Upload, writer: UUID, keep: timedelta
    ) -> None:
        self._make = make
        self._storage = storage
        self._upload_id = upload.id
        self._length = upload.length
        self._writer = writer
        self._keep = keep
        self._pieces: list[bytes] = []
        self._held = 0
        self._start = self.received = upload.received
        self._since = 0.0
        self._replaces: str | None = None
        self._alive = True
        self.whole = upload.received == upload.length

    async def receive(self, body: AsyncIterator[bytes]) -> None:
        """Take in a body, which may break off: then what came is stored, and the error goes on.

        Raises BeyondLengthError, TakenOverError, StorageError, StorageFullError; ClientDisconnect and SlowBodyError of
        the body.
        """
        async with rows.kept_alive(self._make, self._upload_id, self._writer, self._shown_life):
            await self._take_up_small_part()
            try:
                async for chunk in body:
                    self._alive = True
                    if self._start + self._held + len(chunk) > self._length:
                        raise BeyondLengthError(self._length)
                    UPLOADED.inc(len(chunk))
                    await self._add(chunk)
            except (ClientDisconnect, SlowBodyError):
                await self._store()
                raise
            await self._store()

    def _shown_life(self) -> bool:
        alive, self._alive = self._alive, False
        return alive

    async def _take_up_small_part(self) -> None:
        async with self._make() as session:
            last = await rows.last_part(session, self._upload_id)
        if last is None or last.size >= SMALL_BYTES or self.whole:
            return
        try:
            self._pieces = [await self._storage.read(last.storage_key)]
        except MissingObjectError as error:
            raise StorageError(last.storage_key) from error
        self._held, self._start, self._replaces = last.size, last.start, last.storage_key

    async def _add(self, chunk: bytes) -> None:
        if not self._unsaved:
            self._since = time.monotonic()
        self._pieces.append(chunk)
        self._held += len(chunk)
        late = time.monotonic() - self._since > UNSAVED_S
        if self._held >= PART_BYTES or (late and self._held >= SMALL_BYTES):
            await self._store()

    @property
    def _unsaved(self) -> int:
        return self._start + self._held - self.received

    async def _store(self) -> None:
        """Store what is held as one part, then count it."""
        if not self._unsaved:
            return
        data = b"".join(self._pieces)
        self._pieces.clear()
        key = keys.part(self._upload_id, self._start, self._writer)
        await self._storage.put_bytes(key, data)
        part = UploadPart(upload_id=self._upload_id, start=self._start, size=len(data), storage_key=key)
        committing = False
        try:
            async with self._make.begin() as session:
                self.whole = await rows.add_part(session, self._writer, self.received, part, self._keep)
                committing = True
        except sa.exc.SQLAlchemyError:
            raise  # whether it counts is not known, so the object stays
        except BaseException:
            if not committing:  # who is cancelled in a commit cannot tell either
                await self._storage.delete(key)
            raise
        self._alive = True
        self.received = self._start = self._start + len(data)
        self._held = 0
        if self._replaces is not None:
            with suppress(StorageError):  # then it goes when the upload ends
                await self._storage.delete(self._replaces)
            self._replaces = None
