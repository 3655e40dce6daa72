"""What a user may have stored and open: refused before a byte is read, whoever asks at the same time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.settings import Settings
from orchestrator.uploads import quotas
from orchestrator.uploads.errors import QuotaExceededError, TakenOverError
from orchestrator.uploads.models import Upload
from orchestrator.uploads.quotas import Size
from tests.orchestrator.uploads.conftest import Tus

pytestmark = pytest.mark.anyio

FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'


async def never() -> AsyncIterator[bytes]:
    raise AssertionError("the body was read")
    yield b""


async def open_rows(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(Upload)) or 0)


async def test_media_and_open_uploads_together_fill_the_quota(
    tus: Tus, client: httpx.AsyncClient, app_settings: Settings, clips: Path
) -> None:
    sound = (clips / "a.mp3").read_bytes()
    app_settings.user_storage_bytes = len(sound) + 10_000
    assert (await client.post("/v1/media", files={"file": ("a.mp3", sound)})).status_code == 201
    url = await tus.url(9_000)
    refused = await tus.begin(1_001)
    assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    assert (refused.json()["used"], refused.json()["limit"]) == (len(sound) + 9_000, len(sound) + 10_000)
    assert "Delete" in refused.json()["detail"]
    assert (await tus.begin(1_000)).status_code == 201
    await tus.delete(url)
    assert (await tus.begin(9_000)).status_code == 201, "what is deleted makes room"


async def test_an_upload_counts_once_when_it_has_become_a_media(tus: Tus, app_settings: Settings, clips: Path) -> None:
    sound = (clips / "a.mp3").read_bytes()
    app_settings.user_storage_bytes = len(sound) + 100
    assert (await tus.patch(await tus.url(len(sound)), 0, sound)).status_code == 204
    assert (await tus.begin(101)).status_code == 413
    assert (await tus.begin(100)).status_code == 201


async def test_a_refused_file_makes_room_again(tus: Tus, app_settings: Settings) -> None:
    app_settings.user_storage_bytes = 1_000
    assert (await tus.patch(await tus.url(1_000), 0, b"x" * 1_000)).status_code == 422
    assert (await tus.begin(1_000)).status_code == 201


async def test_a_multipart_request_beyond_the_quota_is_refused_before_its_body_is_read(
    client: httpx.AsyncClient, app_settings: Settings, engine: AsyncEngine
) -> None:
    app_settings.user_storage_bytes = 100_000
    answer = await client.post("/v1/media", content=never(), headers={**FORM, "Content-Length": "200000"})
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    app_settings.user_storage_bytes = 0
    answer = await client.post("/v1/media", content=never(), headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    assert await open_rows(engine) == 0


async def test_a_multipart_request_of_unknown_length_is_stopped_where_the_room_ends(
    client: httpx.AsyncClient, app_settings: Settings, engine: AsyncEngine, stored: Callable[[], list[str]]
) -> None:
    app_settings.user_storage_bytes = 1_000_000
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield PART
        for _ in range(1_000):
            sent += 1
            yield bytes(100_000)

    answer = await client.post("/v1/media", content=endless(), headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    assert sent < 20
    assert stored() == []
    assert await open_rows(engine) == 0


async def test_a_small_file_of_unknown_length_fits_into_what_room_there_is(
    client: httpx.AsyncClient, app_settings: Settings, clips: Path
) -> None:
    sound = (clips / "a.mp3").read_bytes()
    app_settings.user_storage_bytes = len(sound)

    async def body() -> AsyncIterator[bytes]:
        yield PART + sound + b"\r\n--x--\r\n"

    assert (await client.post("/v1/media", content=body(), headers=FORM)).status_code == 201


async def test_uploads_at_once_take_no_more_room_than_there_is(tus: Tus, app_settings: Settings) -> None:
    app_settings.user_storage_bytes = 5_000
    answers = await asyncio.gather(*(tus.begin(1_000) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [413] * 7


async def test_a_user_has_a_bounded_number_of_open_uploads(tus: Tus, app_settings: Settings) -> None:
    app_settings.open_uploads_per_user = 3
    answers = await asyncio.gather(*(tus.begin(1_000) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 3
    refused = await tus.begin(1_000)
    assert (refused.json()["code"], refused.json()["limit"]) == ("too_many_uploads", 3)
    assert "/v1/uploads" in refused.json()["detail"]
    answer = await tus.client.post("/v1/media", content=never(), headers=FORM)
    assert answer.json()["code"] == "too_many_uploads", "multipart requests count too"


async def test_what_a_killed_multipart_request_announced_takes_no_room(
    tus: Tus, make_session: async_sessionmaker[AsyncSession], app_settings: Settings, user: User
) -> None:
    app_settings.user_storage_bytes = 1_000
    row = {"user_id": user.id, "protocol": "form", "filename": "", "length": 900, "writer": uuid4()}
    async with make_session.begin() as session:
        tomorrow = sa.func.now() + sa.text("interval '1 day'")
        session.add(Upload(**row, alive_until=sa.func.now() - sa.text("interval '1 second'"), expires_at=tomorrow))
    assert (await tus.begin(1_000)).status_code == 201


async def test_others_uploads_take_nobodys_room(tus: Tus, stranger: httpx.AsyncClient, app_settings: Settings) -> None:
    app_settings.user_storage_bytes = 1_000
    assert (await tus.begin(1_000)).status_code == 201
    assert (await Tus(stranger).begin(1_000)).status_code == 201


async def test_a_closed_account_begins_nothing(
    make_session: async_sessionmaker[AsyncSession], app_settings: Settings, user: User
) -> None:
    async with make_session.begin() as session:
        await session.execute(sa.update(User).values(status="disabled"))
    with pytest.raises(InvalidTokenError):
        async with make_session.begin() as session:
            await quotas.lock_room(session, app_settings, user.id)


async def test_a_reservation_that_was_taken_for_dead_stores_nothing(
    make_session: async_sessionmaker[AsyncSession], app_settings: Settings, user: User, engine: AsyncEngine
) -> None:
    async with quotas.reserved(make_session, app_settings, user.id, uuid4(), Size(1, 10)) as reservation:
        async with make_session.begin() as session:
            await session.execute(sa.delete(Upload))
        async with make_session() as session:
            with pytest.raises(TakenOverError):
                await reservation.settle(session)
    assert await open_rows(engine) == 0


async def test_a_file_of_unknown_size_has_the_room_that_is_left(
    make_session: async_sessionmaker[AsyncSession], app_settings: Settings, user: User
) -> None:
    app_settings.user_storage_bytes = 100
    async with AsyncExitStack() as stack:

        async def reserved() -> int:
            kept = quotas.reserved(make_session, app_settings, user.id, uuid4(), Size(0, 70))
            return (await stack.enter_async_context(kept)).size

        assert [await reserved(), await reserved()] == [70, 30]
        with pytest.raises(QuotaExceededError):
            await reserved()
