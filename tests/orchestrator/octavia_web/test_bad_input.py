"""Requests that cannot be answered, of every route of the pages: who is refused, and in which words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.accounts.tokens import AccessTokens
from orchestrator.billing.models import Purchase
from orchestrator.credits import ledger
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media
from orchestrator.settings import Settings
from tests.orchestrator.jobs.conftest import MakeJob
from tests.orchestrator.octavia_web.conftest import mirrored, refusal

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    selling = {"billing": True, "polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update=selling)


@pytest.fixture
async def rich(make_session: Sessions, user: User) -> None:
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 100, key="gift", reference="test")


@dataclass(frozen=True, slots=True)
class Route:
    """`of`: what the id in its address is the id of."""

    method: str
    path: str
    of: str = ""
    json: Mapping[str, object] | None = None
    form: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, page: httpx.AsyncClient, id_: object, headers: Mapping[str, str] | None = None) -> Any:
        files = {name: (None, value) for name, value in self.form.items()} or None
        path = self.path.format(id=id_)
        return await page.request(self.method, path, json=self.json, files=files, headers=headers)


def of_job(path: str, method: str = "GET") -> Route:
    return Route(method, path, of="job")


JOBS = (
    of_job("/api/translate/jobs/{id}/status"),
    of_job("/api/jobs/{id}/status"),
    of_job("/api/generate/subtitle-audio/status/{id}"),
    of_job("/api/translate/subtitle-status/{id}"),
    of_job("/api/progress/{id}"),
    of_job("/api/translate/subtitles/review/{id}"),
    of_job("/api/jobs/{id}/sample"),
    of_job("/api/download/video/{id}"),
    of_job("/api/download/audio/{id}"),
    of_job("/api/download/subtitle-audio/{id}"),
    of_job("/api/generate/subtitle-audio/download/{id}"),
    of_job("/api/download/chunk/{id}/0"),
    of_job("/api/download/{id}"),
    of_job("/api/translate/download/subtitles/{id}"),
    of_job("/api/translate/download/video/{id}"),
    of_job("/api/download/translated-subtitle/{id}"),
    of_job("/api/cancel/{id}", "POST"),
)
SESSIONS = (Route("GET", "/api/payments/status/{id}", of="purchase"),)
UPLOADS = (
    Route("POST", "/api/translate/video"),
    Route("POST", "/api/translate/video/enhanced"),
    Route("POST", "/api/translate/audio"),
    Route("POST", "/api/translate/subtitles"),
    Route("POST", "/api/translate/subtitle-file"),
    Route("POST", "/api/generate/subtitle-audio"),
)
OTHERS = (
    Route("GET", "/api/user/profile"),
    Route("GET", "/api/user/credits"),
    Route("GET", "/api/user/settings"),
    Route("PUT", "/api/user/profile", json={"name": "Elinor"}),
    Route("PUT", "/api/user/settings", json={"language": "German"}),
    Route("POST", "/api/user/change-password", json={"current_password": "a", "new_password": "b"}),
    Route("DELETE", "/api/user/account"),
    Route("POST", "/api/auth/logout"),
    Route("GET", "/api/translate/jobs/history"),
    Route("GET", "/api/payments/transactions"),
    Route("POST", "/api/payments/create-session", json={"package_id": "starter_credits"}),
    Route("POST", "/api/payments/add-test-credits", json={"credits": 10}),
    Route("POST", "/api/voices/preview", form={"voice_id": "lola", "text": "Hola.", "language": "es"}),
)
PROTECTED = (*JOBS, *SESSIONS, *UPLOADS, *OTHERS)


def named(route: object) -> str:
    return f"{route.method} {route.path}" if isinstance(route, Route) else str(route)[:40]


async def test_without_a_login_or_with_one_that_is_over(
    visitor: httpx.AsyncClient, page: httpx.AsyncClient, user: User, app_settings: Settings
) -> None:
    expired = AccessTokens.from_settings(app_settings).issue(user.id, user.id, timedelta(days=-1))
    mirrored(await page.post("/api/auth/logout"))
    over = page.headers["Authorization"]
    for route in PROTECTED:
        assert "Authentication" in refusal(await route.ask(visitor, uuid4()), 403), named(route)
        for bad in ("Bearer nonsense", f"Bearer {expired}", over):
            answer = await route.ask(visitor, uuid4(), {"Authorization": bad})
            assert "Authentication" in refusal(answer, 401), named(route)


async def test_another_users_ids_are_as_unknown_as_any(
    stranger: httpx.AsyncClient, user: User, make_job: MakeJob, make_session: Sessions
) -> None:
    theirs = {"job": (await make_job()).id, "purchase": await bought(make_session, user)}
    for route in (*JOBS, *SESSIONS):
        asked = (theirs[route.of], uuid4())
        said = [refusal(await route.ask(stranger, id_), 404).replace(str(id_), "") for id_ in asked]
        assert said[0] == said[1], named(route)
        for malformed in ("not-an-id", "0", "undefined", "%00"):
            refusal(await route.ask(stranger, malformed), 400)


async def bought(make_session: Sessions, user: User) -> UUID:
    purchase = Purchase(
        user_id=user.id,
        offer="starter_credits",
        kind="package",
        credits=100,
        price_cents=999,
        currency="usd",
        product_id=uuid4(),
    )
    async with make_session.begin() as session:
        session.add(purchase)
        await session.flush()
        return purchase.id


MISSING_OR_WRONG: tuple[tuple[Route, str], ...] = (
    (Route("POST", "/api/auth/signup", json={}), "email"),
    (Route("POST", "/api/auth/signup", json={"email": 5, "password": [], "name": None}), "email"),
    (Route("POST", "/api/auth/login", json={"email": "elinor@example.org"}), "password"),
    (Route("POST", "/api/auth/login", json={"email": ["a"], "password": {}}), "email"),
    (Route("POST", "/api/auth/verify", form={"other": "x"}), "token"),
    (Route("POST", "/api/auth/resend-verification", json={}), "email"),
    (Route("PUT", "/api/user/profile", json={"name": 5}), "name"),
    (Route("PUT", "/api/user/settings", json={"notifications": {"weeklySummary": "perhaps"}}), "weeklySummary"),
    (Route("PUT", "/api/user/settings", json={"language": "Klingon"}), "language"),
    (Route("POST", "/api/user/change-password", json={"current_password": "x"}), "new_password"),
    (Route("POST", "/api/payments/create-session", json={}), "package_id"),
    (Route("POST", "/api/payments/create-session", json={"package_id": 7}), "package_id"),
    (Route("POST", "/api/payments/add-test-credits", json={"credits": "many"}), "credits"),
    (Route("POST", "/api/payments/add-test-credits", json={"credits": -5}), "credits"),
    (Route("POST", "/api/voices/preview", form={"text": "Hola."}), "voice_id"),
    (Route("GET", "/api/download/chunk/01a219b1-253e-75a5-869b-1435596d357b/one"), "number"),
    (Route("GET", "/api/download/chunk/01a219b1-253e-75a5-869b-1435596d357b/-1"), "number"),
)


async def test_missing_fields_and_wrong_types_are_named(page: httpx.AsyncClient) -> None:
    for route, words in MISSING_OR_WRONG:
        assert words in refusal(await route.ask(page, ""), 400), named(route)


async def test_an_address_that_is_none(page: httpx.AsyncClient) -> None:
    given = {"email": "nobody", "password": "long enough to hold", "name": "Elinor"}
    assert "not an e-mail address" in refusal(await page.post("/api/auth/signup", json=given), 422)


async def test_a_body_that_is_no_json_nor_a_form(page: httpx.AsyncClient, rich: None) -> None:
    for route in (*OTHERS, *UPLOADS):
        if route.json or route.form or route in UPLOADS:
            refusal(await page.request(route.method, route.path, content=b"{{{"), 400)


LIMITS: Mapping[str, int] = {
    "/api/translate/video": 500,
    "/api/translate/video/enhanced": 500,
    "/api/translate/audio": 100,
    "/api/translate/subtitles": 500,
    "/api/translate/subtitle-file": 10,
    "/api/generate/subtitle-audio": 10,
}
"""Megabytes each page promises to take."""


class Body:
    """A body that counts how much of it is asked for."""

    def __init__(self) -> None:
        self.read = 0

    async def __aiter__(self) -> Any:
        while self.read < 64:
            self.read += 1
            yield b"x" * 2**20


@pytest.mark.parametrize(("path", "most"), LIMITS.items())
async def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    page: httpx.AsyncClient, make_session: Sessions, rich: None, path: str, most: int
) -> None:
    body = Body()
    length = str((most + 1) * 2**20)
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": length}
    answer = await page.post(path, content=body, headers=headers)
    assert f"too large: at most {most} MB" in refusal(answer, 400)
    assert body.read < 3
    await nothing_is_there(make_session)


@pytest.mark.parametrize("route", UPLOADS, ids=named)
async def test_a_balance_too_small_for_a_tool(page: httpx.AsyncClient, make_session: Sessions, route: Route) -> None:
    body = Body()
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(5 * 2**20)}
    assert "credits" in refusal(await page.post(route.path, content=body, headers=headers), 402)
    assert body.read < 3
    await nothing_is_there(make_session)


async def test_a_balance_too_small_for_a_preview(page: httpx.AsyncClient) -> None:
    form = {"voice_id": "lola", "text": "Hola.", "language": "es"}
    assert "credits" in refusal(await page.post("/api/voices/preview", data=form), 402)


async def nothing_is_there(make_session: Sessions) -> None:
    async with make_session() as session:
        for table in (Media, Job):
            assert await session.scalar(sa.select(sa.func.count()).select_from(table)) == 0
