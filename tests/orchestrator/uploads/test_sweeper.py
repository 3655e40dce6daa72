"""What nobody finishes or continues: finished, ended or deleted by the sweeper, and nothing else is."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts import deletion
from orchestrator.accounts.models import User
from orchestrator.media.models import Media
from orchestrator.observability.metrics import SWEEP_FAILURES
from orchestrator.storage import Storage, StorageError
from orchestrator.sweeping import SweepError
from orchestrator.uploads.finishing import finish
from orchestrator.uploads.models import Upload, UploadPart
from orchestrator.uploads.sweeper import Net, sweep
from tests.orchestrator.uploads.conftest import Tus

pytestmark = pytest.mark.anyio

Stored = Callable[[], list[str]]
Make = async_sessionmaker[AsyncSession]


async def later(make_session: Make, interval: str, *columns: str) -> None:
    """Move times of every upload into the past."""
    async with make_session.begin() as session:
        for column in columns:
            await session.execute(sa.text(f"update upload set {column} = {column} - interval '{interval}'"))  # noqa: S608


async def statuses(make_session: Make) -> list[str]:
    async with make_session() as session:
        return list((await session.scalars(sa.select(Upload.status).order_by(Upload.id))).all())


async def half_sent(tus: Tus, clips: Path) -> str:
    content = (clips / "v.mp4").read_bytes()
    url = await tus.url(len(content))
    await tus.patch(url, 0, content[:20_000])
    return url


async def test_an_upload_that_nobody_continues_ends_and_its_bytes_go(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored
) -> None:
    url = await half_sent(tus, clips)
    await sweep(net)
    assert len(stored()) == 1, "not yet"
    await later(make_session, "25 hours", "expires_at", "created_at")
    await sweep(net)
    assert stored() == []
    assert (await tus.client.get(url)).json()["status"] == "ended"
    assert (await tus.head(url)).status_code == 410
    await later(make_session, "25 hours", "expires_at")
    await sweep(net)
    assert (await tus.head(url)).status_code == 404, "and then it is forgotten"
    assert await statuses(make_session) == []


async def test_an_upload_that_is_being_sent_does_not_end(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored
) -> None:
    await half_sent(tus, clips)
    await later(make_session, "25 hours", "expires_at", "created_at")
    async with make_session.begin() as session:
        await session.execute(sa.update(Upload).values(writer=uuid4(), alive_until=sa.func.now()))
    await sweep(net)
    assert await statuses(make_session) == ["receiving"]
    assert len(stored()) == 1


async def left_to_check(tus: Tus, content: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """A whole upload whose API died before it was checked."""
    url = await tus.url(len(content))

    async def dying(self: Storage, key: str, chunks: AsyncIterator[bytes]) -> None:
        raise StorageError(key)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put_stream", dying)
        assert (await tus.patch(url, 0, content)).status_code == 503
    return url


async def test_a_whole_upload_that_was_left_is_finished(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (clips / "v.mp4").read_bytes()
    url = await left_to_check(tus, content, monkeypatch)
    await sweep(net)
    assert await statuses(make_session) == ["checking"], "whoever had it may still be at it"
    await later(make_session, "2 minutes", "created_at")
    await asyncio.gather(sweep(net), sweep(net))
    upload = (await tus.client.get(url)).json()
    media = (await tus.client.get(f"/v1/media/{upload['media_id']}")).json()
    assert media["sha256"] == hashlib.sha256(content).hexdigest()
    assert stored() == [f"media/{media['id']}/source"]


async def test_an_upload_that_nobody_can_finish_keeps_none_after_it_from_its_turn(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (clips / "v.mp4").read_bytes()
    first, second = [await left_to_check(tus, content, monkeypatch) for _ in range(2)]
    await later(make_session, "2 minutes", "created_at")

    async def odd(around: Net, upload: Upload, writer: UUID) -> Media:
        if str(upload.id) in first:
            raise KeyError("of an odd file")
        return await finish(around, upload, writer)

    monkeypatch.setattr("orchestrator.uploads.sweeper.finish", odd)
    before = SWEEP_FAILURES.labels("uploads to be finished")._value.get()
    with pytest.raises(SweepError):
        await sweep(net)
    assert SWEEP_FAILURES.labels("uploads to be finished")._value.get() == before + 1
    assert (await tus.client.get(second)).json()["media_id"]
    assert len(stored()) == 2


async def test_a_whole_upload_that_was_left_and_is_no_media_is_refused(
    tus: Tus, net: Net, make_session: Make, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await left_to_check(tus, b"text " * 1_000, monkeypatch)
    await later(make_session, "2 minutes", "created_at")
    await sweep(net)
    upload = (await tus.client.get(url)).json()
    assert (upload["status"], upload["problem"]["code"]) == ("refused", "not_media")
    assert stored() == []


async def test_what_became_of_an_upload_is_forgotten_and_its_media_stays(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored
) -> None:
    content = (clips / "a.mp3").read_bytes()
    media_id = (await tus.patch(await tus.url(len(content)), 0, content)).headers["Octavia-Media-Id"]
    await later(make_session, "25 hours", "expires_at", "created_at")
    await sweep(net)
    assert await statuses(make_session) == []
    assert stored() == [f"media/{media_id}/source"]
    assert (await tus.client.get(f"/v1/media/{media_id}")).status_code == 200


async def test_what_a_killed_multipart_request_stored_is_deleted_and_a_media_is_not(
    client: httpx.AsyncClient, net: Net, make_session: Make, user: User, clips: Path, storage: Storage, stored: Stored
) -> None:
    killed = uuid4()
    with (clips / "a.mp3").open("rb") as file:
        kept = UUID((await client.post("/v1/media", files={"file": ("a.mp3", file)})).json()["id"])
    await storage.put_bytes(f"media/{killed}/source", b"whole, and never recorded")
    folder = net.settings.data_dir / "storage" / "media" / str(killed)
    (folder / "source#1").write_bytes(b"half")
    async with make_session.begin() as session:
        for id_ in (killed, kept):
            row = {"user_id": user.id, "protocol": "form", "filename": "", "length": 9, "writer": uuid4()}
            now = {"alive_until": sa.func.now(), "expires_at": sa.func.now() + sa.text("interval '1 day'")}
            session.add(Upload(id=id_, **row, **now))
    await sweep(net)
    assert len(stored()) == 3, "not yet"
    await later(make_session, "11 minutes", "alive_until")
    await sweep(net)
    assert stored() == [f"media/{kept}/source"]
    assert await statuses(make_session) == []


async def test_a_storage_that_is_away_only_postpones(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    await half_sent(tus, clips)
    await later(make_session, "50 hours", "expires_at", "created_at")

    async def away(self: Storage, prefix: str) -> None:
        raise StorageError(prefix)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "delete_prefix", away)
        await sweep(net)
        await later(make_session, "50 hours", "expires_at")
        await sweep(net)
        assert await statuses(make_session) == ["ended"]
    await sweep(net)
    assert stored() == []
    assert await statuses(make_session) == []


async def test_a_whole_upload_of_a_closed_account_becomes_no_media(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_to_check(tus, (clips / "v.mp4").read_bytes(), monkeypatch)
    async with make_session.begin() as session:
        await session.execute(sa.update(User).values(status="deleted", deleted_at=sa.func.now()))
    await later(make_session, "2 minutes", "created_at")
    await sweep(net)
    assert stored() == []
    async with make_session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Media)) == 0


async def test_uploads_of_a_closed_account_end_and_are_purged_with_it(
    tus: Tus, net: Net, make_session: Make, clips: Path, stored: Stored, storage: Storage, engine: AsyncEngine
) -> None:
    await half_sent(tus, clips)
    async with make_session.begin() as session:
        await session.execute(sa.update(User).values(status="deleted", deleted_at=sa.func.now()))
    await later(make_session, "2 minutes", "created_at")
    await sweep(net)
    assert stored() == []
    async with make_session.begin() as session:
        await session.execute(sa.text("update user_account set deleted_at = now() - interval '31 days'"))
    assert await deletion.purge(make_session, storage) == 1
    assert await statuses(make_session) == []
    async with engine.connect() as connection:
        for table in (Media, UploadPart):
            assert await connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
