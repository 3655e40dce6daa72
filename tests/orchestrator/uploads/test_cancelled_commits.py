"""Whoever is cancelled in a commit cannot know whether it was done: nothing is deleted that may count."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.media.models import Media
from orchestrator.storage import Storage
from orchestrator.uploads.errors import TakenOverError
from orchestrator.uploads.finishing import finish, keep
from orchestrator.uploads.models import Upload
from orchestrator.uploads.receiving import Receiver
from orchestrator.uploads.sweeper import Net, sweep
from tests.orchestrator.uploads.conftest import Tus

pytestmark = pytest.mark.anyio

Stored = Callable[[], list[str]]
Make = async_sessionmaker[AsyncSession]


@contextmanager
def commit_meets(engine: AsyncEngine, table: str, cancel: Callable[[], object], *, done: bool) -> Iterator[None]:
    """Cancel as the first transaction that inserts into the table commits, which is `done` all the same, or is not."""
    inserting: list[sa.Connection] = []

    def notice(connection: sa.Connection, _: object, statement: str, *__: object) -> None:
        if statement.lower().startswith(f"insert into {table} "):
            inserting.append(connection)

    def commit(connection: sa.Connection) -> None:
        if connection in inserting:
            inserting.clear()
            cancel()
            if not done:
                raise asyncio.CancelledError  # as psycopg does, which does not know either

    sa.event.listen(engine.sync_engine, "before_cursor_execute", notice)
    sa.event.listen(engine.sync_engine, "commit", commit)
    yield
    sa.event.remove(engine.sync_engine, "before_cursor_execute", notice)
    sa.event.remove(engine.sync_engine, "commit", commit)


async def cancelled(engine: AsyncEngine, table: str, work: Coroutine[Any, Any, object], *, done: bool) -> None:
    """Do the work, which is cancelled in its commit."""
    task = asyncio.create_task(work)
    with commit_meets(engine, table, task.cancel, done=done), pytest.raises(asyncio.CancelledError):
        await task


async def count(make_session: Make, table: type[Any]) -> int:
    async with make_session() as session:
        return await session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


async def days_pass(make_session: Make) -> None:
    async with make_session.begin() as session:
        for column in ("alive_until", "created_at", "expires_at"):
            await session.execute(sa.text(f"update upload set {column} = {column} - interval '3 days'"))  # noqa: S608


@pytest.mark.parametrize("done", [True, False])
async def test_a_media_of_a_multipart_request(
    client: httpx.AsyncClient,
    application: FastAPI,
    net: Net,
    make_session: Make,
    clips: Path,
    stored: Stored,
    done: bool,
) -> None:
    sending = client.post("/v1/media", files={"file": ("a.mp3", (clips / "a.mp3").read_bytes())})
    await cancelled(application.state.context.engine, "media", sending, done=done)
    assert await count(make_session, Media) == done
    assert len(stored()) == 1
    assert await count(make_session, Upload) == (not done), "what leads the sweeper to the file"
    await days_pass(make_session)
    await sweep(net)
    assert len(stored()) == done
    assert await count(make_session, Upload) == 0


async def whole(tus: Tus, make_session: Make, clips: Path, monkeypatch: pytest.MonkeyPatch) -> Upload:
    """An upload whose bytes are all there, which nobody has checked."""
    content = (clips / "a.mp3").read_bytes()
    url = await tus.url(len(content), "a.mp3")

    async def put_off(*_: object) -> None:
        raise TakenOverError

    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.uploads.service.finish", put_off)
        await tus.patch(url, 0, content)
    async with make_session.begin() as session:
        upload = await session.get_one(Upload, UUID(url.rpartition("/")[2]))
        upload.writer = uuid4()
    return upload


@pytest.mark.parametrize("done", [True, False])
async def test_a_media_of_an_upload_in_parts(
    tus: Tus,
    engine: AsyncEngine,
    net: Net,
    make_session: Make,
    clips: Path,
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    done: bool,
) -> None:
    upload = await whole(tus, make_session, clips, monkeypatch)
    assert upload.writer is not None
    await cancelled(engine, "media", finish(net, upload, upload.writer), done=done)
    assert await count(make_session, Media) == done
    assert f"media/{upload.id}/source" in stored()
    await days_pass(make_session)
    await sweep(net)
    assert stored() == ([f"media/{upload.id}/source"] if done else [])


@pytest.mark.parametrize("done", [True, False])
async def test_a_part(
    tus: Tus, engine: AsyncEngine, net: Net, storage: Storage, make_session: Make, stored: Stored, done: bool
) -> None:
    url = await tus.url(1_000_000)
    async with make_session.begin() as session:
        upload = await session.get_one(Upload, UUID(url.rpartition("/")[2]))
        upload.writer = writer = uuid4()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(300_000)

    receiver = Receiver(make_session, storage, upload, writer, keep(net.settings))
    await cancelled(engine, "upload_part", receiver.receive(body()), done=done)
    assert await tus.offset(url) == (300_000 if done else 0)
    assert len(stored()) == 1
    await days_pass(make_session)
    await sweep(net)
    assert stored() == []
