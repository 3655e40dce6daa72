"""One's own account: API tokens, settings, the audit trail, export, deletion and what is left after 30 days."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import deletion, retention, secrets
from orchestrator.accounts.models import AccountRequest, ApiToken, LoginSession, SecurityEvent, User
from orchestrator.credits import ledger
from orchestrator.jobs import keys
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media
from orchestrator.storage import Storage
from tests.fixtures_control_plane import PASSWORD, MakeUser, QueueStandIn
from tests.orchestrator.accounts.conftest import Postbox, bearer

pytestmark = pytest.mark.anyio


async def test_an_api_token_opens_the_api_until_it_is_revoked(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    made = (await client.post("/v1/me/tokens", json={"password": PASSWORD, "name": "nightly dubs"})).json()
    secret = made["token"]
    assert (await anonymous.get("/v1/media", headers=bearer(secret))).status_code == 200
    (listed,) = (await client.get("/v1/me/tokens")).json()["items"]
    assert "token" not in listed
    assert secret.startswith(listed["hint"])
    assert listed["last_used_at"] is not None
    assert (await client.delete(f"/v1/me/tokens/{made['id']}")).status_code == 204
    assert (await anonymous.get("/v1/media", headers=bearer(secret))).status_code == 401
    assert (await client.get("/v1/me/tokens")).json()["items"] == []


async def test_an_api_token_cannot_change_the_account(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    secret = (await client.post("/v1/me/tokens", json={"password": PASSWORD, "name": "program"})).json()["token"]
    for method, path in (("POST", "/v1/me/tokens"), ("DELETE", "/v1/me"), ("POST", "/v1/auth/logout-everywhere")):
        body = {"name": "more", "password": PASSWORD}
        answer = await anonymous.request(method, path, json=body, headers=bearer(secret))
        assert (answer.status_code, answer.json()["code"]) == (403, "login_required"), path


async def test_an_api_token_that_has_expired_opens_nothing(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_session: async_sessionmaker[AsyncSession]
) -> None:
    secret = (
        await client.post("/v1/me/tokens", json={"password": PASSWORD, "name": "short", "expires_in_days": 1})
    ).json()["token"]
    assert (await anonymous.get("/v1/me", headers=bearer(secret))).status_code == 200
    async with make_session.begin() as session:
        await session.execute(sa.update(ApiToken).values(expires_at=sa.func.now()))
    assert (await anonymous.get("/v1/me", headers=bearer(secret))).status_code == 401


async def test_an_api_token_is_made_for_the_password_only(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/me/tokens", json={"password": "wrong password", "name": "thief"})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_password")


async def test_an_account_has_a_bounded_number_of_api_tokens(client: httpx.AsyncClient) -> None:
    for number in range(50):
        assert (
            await client.post("/v1/me/tokens", json={"password": PASSWORD, "name": f"token {number}"})
        ).status_code == 201
    assert (await client.post("/v1/me/tokens", json={"password": PASSWORD, "name": "one more"})).status_code == 409


def test_an_api_token_is_recognised_by_its_prefix_and_checksum() -> None:
    token = secrets.new_api_token()
    assert secrets.is_api_token(token)
    for wrong in (token[:-1], token + "0", token[:10] + "!" + token[11:], "xct_" + token[4:], "oct_", "oct_ä"):
        assert not secrets.is_api_token(wrong), wrong
    swapped = token[:8] + token[9] + token[8] + token[10:]
    assert swapped == token or not secrets.is_api_token(swapped)


async def test_settings_have_defaults_and_change_one_by_one(client: httpx.AsyncClient) -> None:
    before = (await client.get("/v1/me/settings")).json()
    assert (before["language"], before["time_zone"]) == ("en", "UTC")
    assert before["notifications"]["job_completed"] is True
    await client.patch("/v1/me/settings", json={"time_zone": "Europe/Berlin"})
    await client.patch("/v1/me/settings", json={"notifications": {"job_completed": False}, "language": "PT-br"})
    after = (await client.get("/v1/me/settings")).json()
    assert (after["language"], after["time_zone"]) == ("pt-BR", "Europe/Berlin")
    assert after["notifications"] == before["notifications"] | {"job_completed": False}


@pytest.mark.parametrize(
    "change",
    [
        {"time_zone": "Europe/Norland"},
        {"time_zone": "../../etc/passwd"},
        {"language": "Englisch"},
        {"notifications": {"everything": True}},
        {"role": "admin"},
    ],
)
async def test_settings_that_do_not_exist_are_refused(client: httpx.AsyncClient, change: object) -> None:
    assert (await client.patch("/v1/me/settings", json=change)).status_code == 422


async def test_a_name_can_be_changed_and_not_into_nonsense(client: httpx.AsyncClient) -> None:
    assert (await client.patch("/v1/me", json={"name": " Elinor Ferrars "})).json()["name"] == "Elinor Ferrars"
    assert (await client.patch("/v1/me", json={"name": "E\nF"})).status_code == 422
    assert (await client.get("/v1/me")).json()["name"] == "Elinor Ferrars"


async def test_the_audit_trail_is_paged_and_shows_failed_logins(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, user: User
) -> None:
    for _ in range(3):
        await anonymous.post("/v1/auth/login", json={"email": user.email, "password": "wrong password"})
    await client.patch("/v1/me", json={"name": "Elinor D."})
    first = (await client.get("/v1/me/security-events", params={"limit": 2})).json()
    rest = (await client.get("/v1/me/security-events", params={"cursor": first["next_cursor"]})).json()
    kinds = [event["kind"] for event in [*first["items"], *rest["items"]]]
    assert kinds == ["profile_changed", "login_failed", "login_failed", "login_failed"]
    assert all(event["address"] for event in first["items"])
    assert rest["next_cursor"] is None


async def uploaded(client: httpx.AsyncClient, clips: Path) -> str:
    with (clips / "a.mp3").open("rb") as file:
        return str((await client.post("/v1/media", files={"file": ("a.mp3", file)})).json()["id"])


async def test_the_export_has_everything_and_nothing_that_opens_anything(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, clips: Path, user: User
) -> None:
    media, others = await uploaded(client, clips), await uploaded(stranger, clips)
    token = (await client.post("/v1/me/tokens", json={"password": PASSWORD, "name": "program"})).json()["token"]
    answer = await client.get("/v1/me/export")
    document = answer.json()
    assert document["account"]["email"] == user.email
    assert [each["id"] for each in document["media"]] == [media]
    assert [each["name"] for each in document["api_tokens"]] == ["program"]
    assert "token=" not in json.dumps(document["mails"]), "a link that still works"
    assert {"sessions", "security_events", "mails", "jobs", "segments", "renditions", "artifacts"} <= set(document)
    assert {"speakers", "diarized_pieces"} <= set(document)
    for secret in ("argon2", token, others, "storage_key"):
        assert secret not in json.dumps(document)


async def granted(make_session: async_sessionmaker[AsyncSession], user_id: UUID, credits: int) -> None:
    async with make_session.begin() as session:
        await ledger.grant(session, user_id, credits, key=f"order:{user_id}", reference="order:1")


async def test_the_export_has_the_history_of_ones_credits(
    client: httpx.AsyncClient, make_user: MakeUser, user: User, make_session: async_sessionmaker[AsyncSession]
) -> None:
    await granted(make_session, user.id, 10)
    await granted(make_session, (await make_user("lucy@example.org")).id, 20)
    document = (await client.get("/v1/me/export")).json()
    assert [(each["kind"], each["amount"]) for each in document["credit_entries"]] == [("grant", 10)]
    assert [each["remaining"] for each in document["credit_lots"]] == [10]


async def test_deletion_needs_the_password(client: httpx.AsyncClient) -> None:
    answer = await client.request("DELETE", "/v1/me", json={"password": "wrong password"})
    assert answer.json()["code"] == "wrong_password"
    assert (await client.get("/v1/me")).status_code == 200


async def test_a_deleted_account_is_shut_at_once_and_its_jobs_are_cancelled(
    client: httpx.AsyncClient,
    anonymous: httpx.AsyncClient,
    postbox: Postbox,
    queue: QueueStandIn,
    clips: Path,
    user: User,
) -> None:
    token = (await client.post("/v1/me/tokens", json={"password": PASSWORD, "name": "program"})).json()["token"]
    media = await uploaded(client, clips)
    wish = {"kind": "audio_translation", "media_id": media, "target_language": "es"}
    job = (await client.post("/v1/jobs", json=wish)).json()
    assert (await client.request("DELETE", "/v1/me", json={"password": PASSWORD})).status_code == 204
    assert (await client.get("/v1/me")).status_code == 401
    assert (await anonymous.get("/v1/me", headers=bearer(token))).status_code == 401
    again = await anonymous.post("/v1/auth/login", json={"email": user.email, "password": PASSWORD})
    assert (again.status_code, again.json()["code"]) == (401, "login_refused")
    assert [str(each) for each in queue.cancelled] == [job["id"]]
    assert [mail.kind for mail in await postbox.mails(user.email)] == ["account_deleted"]


async def test_a_deleted_address_can_sign_up_again(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, postbox: Postbox, user: User
) -> None:
    await client.request("DELETE", "/v1/me", json={"password": PASSWORD})
    form = {"email": user.email, "password": PASSWORD, "name": "Elinor"}
    await anonymous.post("/v1/auth/sign-up", json=form)
    login = await anonymous.post("/v1/auth/verify", json={"token": await postbox.token(user.email)})
    assert login.json()["user"]["id"] != str(user.id)


async def test_after_thirty_days_files_and_personal_data_are_gone(
    client: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    storage: Storage,
    clips: Path,
    user: User,
    make_session: async_sessionmaker[AsyncSession],
) -> None:
    media, others = await uploaded(client, clips), await uploaded(stranger, clips)
    await granted(make_session, user.id, 10)
    wish = {"kind": "audio_translation", "media_id": media, "target_language": "es"}
    job = (await client.post("/v1/jobs", json=wish)).json()
    artifact = keys.artifact(job["id"], "es.mp3")
    await storage.put_bytes(artifact, b"dub")
    await client.request("DELETE", "/v1/me", json={"password": PASSWORD})
    async with make_session() as session:
        found = {str(each.id): each.storage_key for each in await session.scalars(sa.select(Media))}
    assert await deletion.purge(make_session, storage) == 0, "not yet"

    async with make_session.begin() as session:
        closed = User.deleted_at - deletion.KEPT - timedelta(seconds=1)
        await session.execute(sa.update(User).where(User.id == user.id).values(deleted_at=closed))
    assert await deletion.purge(make_session, storage) == 1
    assert await deletion.purge(make_session, storage) == 0, "done once"

    assert not await storage.exists(artifact)
    assert not await storage.exists(found[media])
    assert await storage.exists(found[others]), "another's file stays"
    async with make_session() as session:
        left = await session.get_one(User, user.id)
        assert (left.name, left.password_hash, left.email) == (deletion.NOBODY, None, f"{user.id}@deleted.invalid")
        for table in (Job, LoginSession, ApiToken, SecurityEvent):
            count = sa.select(sa.func.count()).select_from(table).where(table.user_id == user.id)
            assert await session.scalar(count) == 0, table
        assert (await ledger.balance(session, user.id)).available == 10, "the ledger stays"


async def test_files_that_cannot_be_deleted_keep_no_other_account_from_its_purge(
    make_user: MakeUser,
    storage: Storage,
    make_session: async_sessionmaker[AsyncSession],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck, other = [await make_user(f"{name}@example.org") for name in ("stuck", "other")]
    async with make_session.begin() as session:
        long_ago = datetime.now(UTC) - deletion.KEPT - timedelta(days=1)
        await session.execute(sa.update(User).values(status="deleted", deleted_at=long_ago))
        values = {"filename": "a", "kind": "audio", "content_type": "audio/mpeg", "size": 1, "sha256": "0"}
        session.add(Media(user_id=stuck.id, duration=1.0, audio=[], storage_key="stuck", **values))
    delete = storage.delete

    async def refusing(key: str) -> None:
        raise PermissionError(key)

    monkeypatch.setattr(storage, "delete", refusing)
    assert await deletion.purge(make_session, storage) == 1
    monkeypatch.setattr(storage, "delete", delete)
    assert await deletion.purge(make_session, storage) == 1
    async with make_session() as session:
        assert {(await session.get_one(User, each.id)).name for each in (stuck, other)} == {deletion.NOBODY}


async def test_what_has_done_its_work_is_forgotten_in_time_and_nothing_before(
    client: httpx.AsyncClient, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    now = datetime.now(UTC)
    ages = {"fresh": timedelta(days=1), "old": timedelta(days=400)}
    async with make_session.begin() as session:
        for name, age in ages.items():
            then = now - age
            session.add(
                User(email=f"{name}@example.org", name=name, password_hash=None, status="pending", created_at=then)
            )
            session.add(SecurityEvent(user_id=user.id, kind=name, created_at=then))
            session.add(AccountRequest(kind="resend", email=f"{name}@example.org", created_at=now - age / 2))
            session.add(LoginSession(user_id=user.id, user_agent=name, idle_until=then, expires_at=then, ended_at=then))
    await retention.forget_stale(make_session)
    async with make_session() as session:
        pending = await session.scalars(sa.select(User.name).where(User.status == "pending"))
        assert pending.all() == ["fresh"]
        assert (await session.scalars(sa.select(SecurityEvent.kind))).all() == ["fresh"]
        assert (await session.scalars(sa.select(AccountRequest.email))).all() == ["fresh@example.org"]
        ended = await session.scalars(sa.select(LoginSession.user_agent).where(LoginSession.ended_at.is_not(None)))
        assert ended.all() == ["fresh"]
    assert (await client.get("/v1/me")).status_code == 200, "what is open stays"
