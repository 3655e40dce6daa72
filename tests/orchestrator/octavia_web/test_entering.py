"""Signing up, logging in and out, and one's account, as the pages do it."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import jwt
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.accounts.tokens import AccessTokens
from orchestrator.credits import ledger
from orchestrator.settings import Settings
from tests.fixtures_control_plane import PASSWORD, QueueStandIn
from tests.orchestrator.octavia_web.conftest import LogIn, mirrored, refusal

pytestmark = pytest.mark.anyio


async def test_signing_up_asks_for_verification_and_tells_nobody_who_has_an_account(
    visitor: httpx.AsyncClient, user: User, queue: QueueStandIn
) -> None:
    answers = []
    for email in ("new@example.org", user.email):
        given = {"email": email, "password": "long enough to hold", "name": "Elinor"}
        fields = mirrored(await visitor.post("/api/auth/signup", json=given))
        assert fields["requires_verification"] is True
        assert fields["user"].pop("email") == email
        answers.append(fields)
    assert answers[0] == answers[1]
    assert len(queue.account_requests) == 2


async def test_logging_in_gives_a_token_of_seven_days_that_opens_the_profile(
    visitor: httpx.AsyncClient, user: User
) -> None:
    fields = mirrored(await visitor.post("/api/auth/login", json={"email": user.email, "password": PASSWORD}))
    assert fields["user"] == fields["user"] | {"email": user.email, "name": user.name, "credits": 0, "verified": True}
    ends = datetime.fromtimestamp(jwt.decode(fields["token"], options={"verify_signature": False})["exp"], UTC)
    assert timedelta(days=6.9) < ends - datetime.now(UTC) <= timedelta(days=7)
    profile = await visitor.get("/api/user/profile", headers={"Authorization": f"Bearer {fields['token']}"})
    assert mirrored(profile)["user"] == fields["user"]


async def test_a_wrong_password_is_said_as_such(visitor: httpx.AsyncClient, user: User) -> None:
    answer = await visitor.post("/api/auth/login", json={"email": user.email, "password": "wrong"})
    assert "password is wrong" in refusal(answer, 401)


async def test_an_account_that_waits_for_its_verification_gets_the_one_answer_with_a_link(
    visitor: httpx.AsyncClient, user: User, make_session: async_sessionmaker[AsyncSession]
) -> None:
    async with make_session.begin() as session:
        await session.execute(sa.update(User).values(status="pending"))
    answer = await visitor.post("/api/auth/login", json={"email": user.email, "password": PASSWORD})
    assert "verify" in refusal(answer, 200)
    assert answer.json()["requires_verification"] is True
    mirrored(await visitor.post("/api/auth/resend-verification", json={"email": user.email}))


async def test_verifying_takes_a_form_and_refuses_an_old_link(visitor: httpx.AsyncClient) -> None:
    assert "link" in refusal(await visitor.post("/api/auth/verify", data={"token": "x" * 40}), 400)
    assert "token" in refusal(await visitor.post("/api/auth/verify", data={}), 400)


async def test_a_page_that_logged_out_is_told_to_log_in(page: httpx.AsyncClient) -> None:
    mirrored(await page.post("/api/auth/logout"))
    assert "Authentication" in refusal(await page.get("/api/user/profile"), 401)


@pytest.mark.parametrize("path", ["/api/user/profile", "/api/translate/jobs/history", "/api/payments/transactions"])
async def test_no_token_is_403_and_a_bad_or_expired_one_401(
    visitor: httpx.AsyncClient, user: User, app_settings: Settings, path: str
) -> None:
    assert "Authentication" in refusal(await visitor.get(path), 403)
    tokens = AccessTokens.from_settings(app_settings)
    expired = tokens.issue(user.id, user.id, timedelta(days=-1))
    for bad in ("nonsense", expired):
        answer = await visitor.get(path, headers={"Authorization": f"Bearer {bad}"})
        assert "Authentication" in refusal(answer, 401)


async def test_profile_settings_and_password_are_saved(
    page: httpx.AsyncClient, user: User, visitor: httpx.AsyncClient
) -> None:
    saved = await page.put("/api/user/profile", json={"name": "Marianne", "email": user.email})
    assert mirrored(saved)["user"]["name"] == "Marianne"
    refused = await page.put("/api/user/profile", json={"name": "Marianne", "email": "other@example.org"})
    assert "cannot be changed" in refusal(refused, 400)

    wanted = {
        "notifications": {"translationComplete": False, "emailNotifications": True, "weeklySummary": False},
        "language": "German",
        "time_zone": "CET (GMT+1)",
    }
    assert mirrored(await page.put("/api/user/settings", json=wanted))["settings"] == wanted
    assert mirrored(await page.get("/api/user/settings"))["settings"] == wanted
    assert "not a time zone" in refusal(await page.put("/api/user/settings", json={"time_zone": "Mars"}), 400)

    change = {"current_password": PASSWORD, "new_password": "another long password"}
    mirrored(await page.post("/api/user/change-password", json=change))
    entered = await visitor.post("/api/auth/login", json={"email": user.email, "password": change["new_password"]})
    mirrored(entered)
    assert "wrong" in refusal(await page.post("/api/user/change-password", json=change), 403)


async def test_deleting_the_account_shuts_it_at_once(page: httpx.AsyncClient, log_in: LogIn, user: User) -> None:
    mirrored(await page.delete("/api/user/account"))
    assert "Authentication" in refusal(await page.get("/api/user/profile"), 401)
    with pytest.raises(AssertionError, match="401"):
        await log_in(user)


async def test_an_api_token_cannot_change_the_account(client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/me/tokens", json={"name": "script", "password": PASSWORD})
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    assert "Authentication" in refusal(await client.delete("/api/user/account", headers=headers), 403)


async def test_the_front_says_what_this_is(visitor: httpx.AsyncClient) -> None:
    front = mirrored(await visitor.get("/"))
    assert front["service"] == "Octavia Video Translator"
    assert "endpoints" in front
    assert "<h1>Octavia" in (await visitor.get("/", headers={"Accept": "text/html"})).text
    health = mirrored(await visitor.get("/api/health"))
    assert (health["status"], health["service"]) == ("healthy", front["service"])
    assert health["models"] == {"whisper": "loaded", "translation": "loaded", "tts": "loaded"}
    assert health["status_indicators"]
    assert (await visitor.get("/docs")).status_code == 200


async def test_health_while_the_models_are_away(visitor: httpx.AsyncClient, queue: QueueStandIn) -> None:
    queue.known = None
    assert mirrored(await visitor.get("/api/health"))["models"]["whisper"] == "unavailable"


async def test_an_unknown_address_is_refused_in_the_surfaces_own_words(page: httpx.AsyncClient) -> None:
    assert "/api/nowhere" in refusal(await page.get("/api/nowhere"), 404)
    assert (await page.get("/v1/nowhere")).json()["code"] == "not_found"


async def test_there_is_no_demo_account_unless_a_setting_makes_one(visitor: httpx.AsyncClient) -> None:
    assert "no demo account" in refusal(await visitor.post("/api/auth/demo-login"), 403)


class TestTheDemo:
    @pytest.fixture
    def app_settings(self, app_settings: Settings) -> Settings:
        return app_settings.model_copy(update={"demo_account": True})

    async def test_everybody_gets_the_same_account_filled_up_once_a_day(
        self, visitor: httpx.AsyncClient, make_session: async_sessionmaker[AsyncSession]
    ) -> None:
        answers = await asyncio.gather(*(visitor.post("/api/auth/demo-login") for _ in range(4)))
        entered = [mirrored(answer) for answer in answers]
        assert {each["user"]["email"] for each in entered} == {"demo@octavia.com"}
        assert {each["user"]["id"] for each in entered} == {entered[0]["user"]["id"]}
        assert len({each["token"] for each in entered}) == 4
        assert entered[0]["user"]["credits"] == 5000
        user_id = UUID(entered[0]["user"]["id"])
        async with make_session.begin() as session:
            held = await ledger.hold(session, user_id, 4000, key="spent", reference="test")
            await ledger.capture(session, held.id)
        assert mirrored(await visitor.post("/api/auth/demo-login"))["user"]["credits"] == 1000

    async def test_nobody_logs_in_to_it_by_a_password(self, visitor: httpx.AsyncClient) -> None:
        await visitor.post("/api/auth/demo-login")
        for password in ("demo123", ""):
            given = {"email": "demo@octavia.com", "password": password}
            refusal(await visitor.post("/api/auth/login", json=given), 401)
