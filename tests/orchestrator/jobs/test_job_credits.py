"""A job and its credits: quoted, held at the start, spent by completion, given back by whatever else ends it."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.credits.ledger import Balance
from orchestrator.credits.models import CreditEntry
from orchestrator.credits.prices import Price, quote
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.jobs.sweeper import sweep
from orchestrator.media.models import Media
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import MakeMedia

pytestmark = pytest.mark.anyio

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    token = {"polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update={"billing": True, **token})


async def grant(make: Sessions, user: User, credits: int) -> None:
    async with make.begin() as session:
        await ledger.grant(session, user.id, credits, key=f"test:{user.id}", reference="test")


async def balance(make: Sessions, user: User) -> Balance:
    async with make() as session:
        return await ledger.balance(session, user.id)


async def kinds(make: Sessions, user: User) -> Sequence[str]:
    async with make() as session:
        query = sa.select(CreditEntry.kind).where(CreditEntry.user_id == user.id).order_by(CreditEntry.sequence)
        return (await session.scalars(query)).all()


def request(media: Media, **options: object) -> dict[str, object]:
    return {"kind": "video_translation", "media_id": str(media.id), "target_languages": ["es"], **options}


async def started(client: httpx.AsyncClient, media: Media, **options: object) -> UUID:
    answer = await client.post("/v1/jobs", json=request(media, **options))
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


@pytest.mark.parametrize(
    ("kind", "targets", "duration", "prices", "credits"),
    [
        ("video_translation", ["es"], 36_000.0, {}, 10),
        ("audio_translation", ["es", "de"], 60.0, {}, 20),
        ("subtitles", [], 60.0, {}, 1),
        ("subtitles", ["es", "de", "fr"], 60.0, {}, 3),
        ("subtitle_translation", ["es"], 0.0, {}, 5),
        ("subtitle_to_audio", ["es"], 0.0, {}, 5),
        ("voice_preview", ["es"], 0.0, {}, 1),
        ("subtitles", ["es"], 60.0, {"subtitles": Price(credits=2, per_minute=3)}, 5),
        ("subtitles", ["es"], 60.1, {"subtitles": Price(credits=2, per_minute=3)}, 8),
        ("subtitles", ["es"], 0.0, {"subtitles": Price(credits=0)}, 0),
    ],
)
def test_a_price_is_the_sum_over_the_languages(
    kind: str, targets: list[str], duration: float, prices: dict[str, Price], credits: int
) -> None:
    assert quote(kind, targets, duration, prices).credits == credits  # type: ignore[arg-type]


async def test_a_quote_says_the_price_and_holds_nothing(
    client: httpx.AsyncClient, user: User, media: Media, make_session: Sessions
) -> None:
    await grant(make_session, user, 15)
    answer = await client.post("/v1/jobs/quote", json=request(media, target_languages=["es", "de"]))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "credits": 20,
        "lines": [{"language": "es", "credits": 10}, {"language": "de", "credits": 10}],
        "available": 15,
        "enough": False,
        "notices": answer.json()["notices"],
    }
    assert [each["code"] for each in answer.json()["notices"]] == ["stand_in_voice"]
    assert await kinds(make_session, user) == ["grant"]


async def test_a_quote_refuses_what_the_job_would_be_refused_for(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, media: Media
) -> None:
    unknown = await client.post("/v1/jobs/quote", json=request(media, target_languages=["xx"]))
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_language")
    assert (await stranger.post("/v1/jobs/quote", json=request(media))).status_code == 404


async def test_a_start_holds_and_completion_spends(
    client: httpx.AsyncClient, user: User, media: Media, make_session: Sessions
) -> None:
    await grant(make_session, user, 30)
    job_id = await started(client, media, target_languages=["es", "de"])
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["credits"] == 20
    there = await balance(make_session, user)
    assert (there.available, there.held) == (10, 20)
    async with make_session.begin() as session:
        await progress.start(session, job_id)
        assert await progress.complete(session, job_id, [])
    there = await balance(make_session, user)
    assert (there.available, there.held) == (10, 0)
    assert await kinds(make_session, user) == ["grant", "hold", "capture"]


@pytest.mark.parametrize(
    ("kind", "targets", "price"),
    [
        ("subtitle_translation", ["es", "de"], 10),
        ("subtitle_to_audio", ["es"], 5),
        ("subtitle_to_audio", [], 5),
    ],
)
@pytest.mark.parametrize("ends", ["completed", "failed"])
async def test_jobs_on_subtitle_files_hold_spend_and_give_back_alike(
    client: httpx.AsyncClient,
    user: User,
    make_media: MakeMedia,
    make_session: Sessions,
    kind: str,
    targets: list[str],
    price: int,
    ends: str,
) -> None:
    await grant(make_session, user, 12)
    found = {"format": "srt", "encoding": "utf-8", "cues": 2, "language": "en", "remarks": []}
    file = await make_media(kind="subtitles", video=None, audio=[], subtitles=found)
    job_id = await started(client, file, kind=kind, target_languages=targets)
    there = await balance(make_session, user)
    assert (there.available, there.held) == (12 - price, price)
    async with make_session.begin() as session:
        await progress.start(session, job_id)
        if ends == "completed":
            assert await progress.complete(session, job_id, [])
        else:
            assert await progress.fail(session, job_id, "internal", "no")
    there = await balance(make_session, user)
    assert (there.available, there.held) == (12 - (price if ends == "completed" else 0), 0)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_failure_and_cancellation_give_back_once(
    end: str, client: httpx.AsyncClient, user: User, media: Media, make_session: Sessions
) -> None:
    await grant(make_session, user, 10)
    job_id = await started(client, media)
    for _ in range(2):
        if end == "cancelled":
            await client.post(f"/v1/jobs/{job_id}/cancel")
        else:
            async with make_session.begin() as session:
                await progress.fail(session, job_id, "internal", "no")
    there = await balance(make_session, user)
    assert (there.available, there.held) == (10, 0)
    assert await kinds(make_session, user) == ["grant", "hold", "release"]


async def test_too_few_credits_start_nothing(
    client: httpx.AsyncClient, user: User, media: Media, make_session: Sessions, engine: AsyncEngine
) -> None:
    await grant(make_session, user, 9)
    answer = await client.post("/v1/jobs", json=request(media))
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
    assert "credits" in answer.json()["detail"]
    async with make_session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Job)) == 0
    assert await kinds(make_session, user) == ["grant"]


async def test_the_same_key_holds_once(
    client: httpx.AsyncClient, user: User, media: Media, make_session: Sessions
) -> None:
    await grant(make_session, user, 30)
    headers = {"Idempotency-Key": "once"}
    sent = (client.post("/v1/jobs", json=request(media), headers=headers) for _ in range(5))
    answers = await asyncio.gather(*sent)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert (await balance(make_session, user)).held == 10


async def test_of_many_starts_on_the_last_credits_one_wins(
    client: httpx.AsyncClient, user: User, media: Media, make_session: Sessions, engine: AsyncEngine
) -> None:
    await grant(make_session, user, 10)
    answers = await asyncio.gather(*(client.post("/v1/jobs", json=request(media)) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201, *[402] * 19]
    there = await balance(make_session, user)
    assert (there.available, there.held) == (0, 10)
    async with make_session() as session:
        assert [found async for found in disagreements(session)] == []


async def test_without_billing_nothing_is_held(
    client: httpx.AsyncClient, user: User, media: Media, make_session: Sessions, app_settings: Settings
) -> None:
    app_settings.billing = False
    job_id = await started(client, media)
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["credits"] == 0
    quoted = (await client.post("/v1/jobs/quote", json=request(media))).json()
    assert (quoted["credits"], quoted["enough"]) == (0, True)
    assert await kinds(make_session, user) == []


@pytest.mark.parametrize(
    ("statement", "last"),
    [
        ("delete from job_event; delete from job", "release"),
        ("update job set status = 'completed', finished_at = now() - interval '2 minutes'", "capture"),
        ("update job set status = 'failed', finished_at = now() - interval '2 minutes'", "release"),
        ("update job set queued_at = now() - interval '25 hours'", "release"),
        ("update job set queued_at = now() - interval '2 minutes'", "release"),
    ],
)
async def test_the_sweeper_settles_what_nothing_else_would(
    statement: str,
    last: str,
    client: httpx.AsyncClient,
    user: User,
    media: Media,
    make_session: Sessions,
    engine: AsyncEngine,
    storage: Storage,
) -> None:
    await grant(make_session, user, 10)
    await started(client, media)
    async with engine.begin() as connection:
        await connection.execute(sa.text("set local session_replication_role = replica"))
        await connection.execute(sa.text("update credit_entry set created_at = now() - interval '2 minutes'"))
        for part in statement.split(";"):
            await connection.execute(sa.text(part))

    async def cancel(_: str) -> None: ...

    for _ in range(2):
        await sweep(engine, storage, cancel)
    assert await kinds(make_session, user) == ["grant", "hold", last]
    assert (await balance(make_session, user)).held == 0
