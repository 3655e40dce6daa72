"""Previews of voices: spoken once, paid for once by each user, heard through a link that ends."""

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import soundfile
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.credits.models import CreditEntry
from orchestrator.inference import ModelPlaneUnavailableError
from orchestrator.settings import Settings
from orchestrator.signed_links import link_keys, signature
from orchestrator.storage import Storage, StorageError
from orchestrator.voices import service
from orchestrator.voices.models import VoicePreview
from tests.fixtures_control_plane import MakeClient, QueueStandIn

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

URL = "/v1/voices/lola/preview"


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    selling = {"billing": True, "polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update=selling)


@pytest.fixture
async def rich(make_session: Sessions, user: User) -> None:
    """`user` has two credits."""
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 2, key="gift", reference="test")


async def available(make_session: Sessions, user: User) -> int:
    async with make_session() as session:
        assert [found async for found in disagreements(session)] == []
        return (await ledger.balance(session, user.id)).available


async def test_a_preview_costs_a_credit_once_and_plays_without_a_token(
    client: httpx.AsyncClient, make_client: MakeClient, queue: QueueStandIn, rich: None
) -> None:
    first = (await client.post(URL, json={})).json()
    assert (first["voice"], first["language"], first["credits"], first["available"]) == ("lola", "es", 1, 1)
    again = (await client.post(URL, json={"text": "  Hola, así es  como sueno. Me encantaría hablar por ti. "})).json()
    assert (again["credits"], again["available"]) == (0, 1)
    assert [each.text for each in queue.spoken] == ["Hola, así es como sueno. Me encantaría hablar por ti."]
    anybody = await make_client(None)
    sound = await anybody.get(first["url"])
    assert (sound.status_code, sound.headers["Content-Type"]) == (200, "audio/mpeg")
    samples, rate = soundfile.read(io.BytesIO(sound.content))
    assert len(samples) / rate == pytest.approx(first["seconds"], abs=0.1)
    part = await anybody.get(first["url"], headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, sound.content[:10])


async def test_of_many_presses_at_once_one_is_paid(
    client: httpx.AsyncClient, make_session: Sessions, user: User, rich: None
) -> None:
    answers = await asyncio.gather(*(client.post(URL, json={}) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["credits"] for answer in answers) == [0] * 7 + [1]
    assert await available(make_session, user) == 1


async def test_a_preview_tells_its_own_price_and_not_what_a_job_takes_meanwhile(
    client: httpx.AsyncClient, make_session: Sessions, user: User, rich: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = ledger.hold

    async def after_a_job(session: AsyncSession, *args: Any, **names: Any) -> CreditEntry:
        async with make_session.begin() as other:
            await hold(other, user.id, 1, key="job", reference="job")
        return await hold(session, *args, **names)

    monkeypatch.setattr(ledger, "hold", after_a_job)
    answer = (await client.post(URL, json={})).json()
    assert (answer["credits"], answer["available"]) == (1, 0)


async def test_each_user_pays_for_what_was_spoken_already(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, queue: QueueStandIn, rich: None
) -> None:
    await client.post(URL, json={})
    assert (await stranger.post(URL, json={})).status_code == 402
    assert len(queue.spoken) == 1


async def test_without_credits_nothing_is_spoken(client: httpx.AsyncClient, queue: QueueStandIn) -> None:
    answer = await client.post(URL, json={})
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
    assert queue.spoken == []


async def test_a_voice_that_cannot_speak_costs_nothing(
    client: httpx.AsyncClient, queue: QueueStandIn, make_session: Sessions, user: User, rich: None
) -> None:
    queue.refusal = ModelPlaneUnavailableError("coqui_tts", 30)
    assert (await client.post(URL, json={})).status_code == 503
    queue.known = None
    assert (await client.post(URL, json={})).status_code == 503
    assert await available(make_session, user) == 2


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("nobody", {}, 404, "no_voice"),
        ("lola", {"language": "de"}, 422, "unfit_text"),
        ("lola", {"text": " \n "}, 422, "unfit_text"),
        ("lola", {"text": "…!"}, 422, "unfit_text"),
        ("lola", {"text": "a" * 301}, 422, "unfit_text"),
        ("lola", {"text": "a" * 10_001}, 422, "invalid_request"),
        ("lola", {"language": "klingon tongue"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_said_is_refused(
    client: httpx.AsyncClient,
    make_session: Sessions,
    user: User,
    rich: None,
    name: str,
    body: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = await client.post(f"/v1/voices/{name}/preview", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await available(make_session, user) == 2


async def test_a_link_ends_and_cannot_be_made_up(client: httpx.AsyncClient, rich: None, app_settings: Settings) -> None:
    url = (await client.post(URL, json={})).json()["url"]
    path, signed = url.split("&signature=")
    begun = path.partition("=")[0]
    past = int(time.time()) - 10
    key = path.split("/")[-1].partition(".")[0]
    over = signature(link_keys(app_settings)[0], f"voice preview {key}", past)
    for changed, status in (
        (f"{begun}={past}&signature={over}", 410),
        (f"{path}0&signature={signed}", 403),
        (f"{path}&signature={signed[::-1]}", 403),
        (url.replace(key, "0" * 64), 403),
    ):
        assert (await client.get(changed)).status_code == status, changed


async def test_a_preview_whose_file_was_lost_is_spoken_again(
    client: httpx.AsyncClient, storage: Storage, queue: QueueStandIn, make_session: Sessions, rich: None
) -> None:
    await client.post(URL, json={})
    async with make_session() as session:
        kept = (await session.scalars(sa.select(VoicePreview))).one()
    await storage.delete(kept.storage_key)
    again = (await client.post(URL, json={})).json()
    assert again["credits"] == 0
    assert len(queue.spoken) == 2
    assert (await client.get(again["url"])).status_code == 200


async def test_what_nobody_asks_for_is_deleted(
    client: httpx.AsyncClient, storage: Storage, make_session: Sessions, rich: None
) -> None:
    url = (await client.post(URL, json={})).json()["url"]
    await service.forget_unused(make_session, storage)
    assert (await client.get(url)).status_code == 200
    async with make_session.begin() as session:
        await session.execute(sa.update(VoicePreview).values(used_at=datetime.now(UTC) - timedelta(days=31)))
    await service.forget_unused(make_session, storage)
    assert (await client.get(url)).status_code == 410


async def test_an_old_preview_that_cannot_be_deleted_keeps_no_other_from_its_turn(
    client: httpx.AsyncClient,
    storage: Storage,
    make_session: Sessions,
    rich: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for text in ("Hola", "Adiós"):
        await client.post(URL, json={"text": text})
    async with make_session.begin() as session:
        await session.execute(sa.update(VoicePreview).values(used_at=datetime.now(UTC) - timedelta(days=31)))
        stuck = (await session.scalars(sa.select(VoicePreview.storage_key))).first()
    delete = Storage.delete

    async def fail_once(self: Storage, key: str) -> None:
        if key == stuck:
            raise StorageError(key)
        await delete(self, key)

    with monkeypatch.context() as failing:
        failing.setattr(Storage, "delete", fail_once)
        await service.forget_unused(make_session, storage)
    async with make_session() as session:
        assert (await session.scalars(sa.select(VoicePreview.storage_key))).all() == [stuck]
    await service.forget_unused(make_session, storage)
    async with make_session() as session:
        assert (await session.scalars(sa.select(VoicePreview))).all() == []


async def test_the_library(client: httpx.AsyncClient) -> None:
    items = (await client.get("/v1/voices")).json()["items"]
    assert [each["name"] for each in items] == ["joe", "lola"]
    assert all(each["sample_text"] for each in items)
    (spanish,) = (await client.get("/v1/voices", params={"language": "es"})).json()["items"]
    assert (spanish["name"], spanish["gender"]) == ("lola", "female")


async def test_a_key_stands_for_one_preview_even_at_once(client: httpx.AsyncClient, rich: None) -> None:
    async def ask(text: str) -> httpx.Response:
        return await client.post(URL, json={"text": text}, headers={"Idempotency-Key": "once"})

    answers = await asyncio.gather(*(ask(text) for text in ("Hola", "Adiós", "Hola", "Adiós")))
    assert sorted(each.status_code for each in answers) == [200, 200, 409, 409]
    refused = next(each for each in answers if each.status_code == 409)
    assert refused.json()["code"] == "idempotency_key_reused"
