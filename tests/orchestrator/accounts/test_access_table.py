"""Every route against every way of not being allowed: one table, checked against the OpenAPI document."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import api_tokens, sessions
from orchestrator.accounts.audit import SYSTEM
from orchestrator.accounts.models import LoginSession, User
from orchestrator.accounts.sessions import Lifetimes
from orchestrator.accounts.tokens import AccessTokens, key_id
from orchestrator.credits.prices import Price
from orchestrator.jobs.models import Artifact
from orchestrator.notifications.models import Notification
from orchestrator.settings import Settings
from tests.fixtures_control_plane import PASSWORD, MakeUser
from tests.orchestrator.accounts.conftest import bearer
from tests.orchestrator.billing.payloads import STARTER, purchase_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    """Billing is on, or its routes were not there; jobs cost nothing."""
    free = {"audio_translation": Price(credits=0)}
    selling = {"billing": True, "polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update={**selling, "prices": free})


OPEN = {
    ("POST", "/v1/auth/sign-up"),
    ("POST", "/v1/auth/verify"),
    ("POST", "/v1/auth/resend-verification"),
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/forgot-password"),
    ("POST", "/v1/auth/reset-password"),
    ("POST", "/webhooks/polar"),
    ("GET", "/v1/voices/previews/{key}.mp3"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("OPTIONS", "/v1/uploads"),
    ("GET", "/v1/downloads/{job_id}/{name}"),
}
"""Routes that ask for no token: they are there before one has any, or their caller signs what it sends."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route behind a token. `login`: an API token is refused. `owned`: it takes an id, which may be a stranger's."""

    method: str
    path: str
    login: bool = False
    owned: bool = False


TABLE = (
    Route("POST", "/v1/auth/logout", login=True),
    Route("POST", "/v1/auth/logout-everywhere", login=True),
    Route("GET", "/v1/auth/sessions", login=True),
    Route("DELETE", "/v1/auth/sessions/{session_id}", login=True, owned=True),
    Route("POST", "/v1/auth/change-password", login=True),
    Route("GET", "/v1/me"),
    Route("PATCH", "/v1/me", login=True),
    Route("DELETE", "/v1/me", login=True),
    Route("GET", "/v1/me/settings"),
    Route("PATCH", "/v1/me/settings", login=True),
    Route("GET", "/v1/me/export", login=True),
    Route("GET", "/v1/me/security-events", login=True),
    Route("GET", "/v1/me/tokens", login=True),
    Route("POST", "/v1/me/tokens", login=True),
    Route("DELETE", "/v1/me/tokens/{token_id}", login=True, owned=True),
    Route("POST", "/v1/media"),
    Route("GET", "/v1/media"),
    Route("GET", "/v1/media/{media_id}", owned=True),
    Route("POST", "/v1/uploads"),
    Route("GET", "/v1/uploads"),
    Route("GET", "/v1/uploads/{upload_id}", owned=True),
    Route("HEAD", "/v1/uploads/{upload_id}", owned=True),
    Route("PATCH", "/v1/uploads/{upload_id}", owned=True),
    Route("DELETE", "/v1/uploads/{upload_id}", owned=True),
    Route("DELETE", "/v1/media/{media_id}", owned=True),
    Route("DELETE", "/v1/jobs/{job_id}", owned=True),
    Route("GET", "/v1/retention"),
    Route("GET", "/v1/notifications"),
    Route("GET", "/v1/notifications/unread"),
    Route("POST", "/v1/notifications/read"),
    Route("POST", "/v1/notifications/{notification_id}/read", owned=True),
    Route("DELETE", "/v1/notifications/{notification_id}", owned=True),
    Route("POST", "/v1/webhooks", login=True),
    Route("GET", "/v1/webhooks"),
    Route("GET", "/v1/webhooks/{webhook_id}", owned=True),
    Route("PATCH", "/v1/webhooks/{webhook_id}", login=True, owned=True),
    Route("DELETE", "/v1/webhooks/{webhook_id}", login=True, owned=True),
    Route("POST", "/v1/webhooks/{webhook_id}/rotate-secret", login=True, owned=True),
    Route("POST", "/v1/webhooks/{webhook_id}/ping", owned=True),
    Route("GET", "/v1/webhooks/{webhook_id}/deliveries", owned=True),
    Route("GET", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}", owned=True),
    Route("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", owned=True),
    Route("GET", "/v1/languages"),
    Route("GET", "/v1/voices"),
    Route("POST", "/v1/voices/{name}/preview"),
    Route("GET", "/v1/credits"),
    Route("GET", "/v1/credits/history"),
    Route("GET", "/v1/credits/history.csv"),
    Route("POST", "/v1/credits/test-credits"),
    Route("GET", "/v1/billing/offers"),
    Route("POST", "/v1/billing/purchases"),
    Route("GET", "/v1/billing/purchases"),
    Route("GET", "/v1/billing/purchases/{purchase_id}", owned=True),
    Route("POST", "/v1/billing/purchases/{purchase_id}/refresh", owned=True),
    Route("GET", "/v1/billing/purchases/{purchase_id}/invoice", owned=True),
    Route("POST", "/v1/billing/portal", login=True),
    Route("GET", "/v1/billing/subscription"),
    Route("POST", "/v1/billing/subscription/cancel", login=True),
    Route("POST", "/v1/billing/subscription/resume", login=True),
    Route("POST", "/v1/billing/subscription/change", login=True),
    Route("POST", "/v1/jobs"),
    Route("POST", "/v1/jobs/quote"),
    Route("GET", "/v1/jobs"),
    Route("GET", "/v1/jobs/{job_id}", owned=True),
    Route("POST", "/v1/jobs/{job_id}/cancel", owned=True),
    Route("POST", "/v1/jobs/{job_id}/retry", owned=True),
    Route("GET", "/v1/jobs/{job_id}/previews", owned=True),
    Route("GET", "/v1/jobs/{job_id}/previews/{language}/{passage}", owned=True),
    Route("HEAD", "/v1/jobs/{job_id}/previews/{language}/{passage}", owned=True),
    Route("GET", "/v1/jobs/{job_id}/events", owned=True),
    Route("GET", "/v1/jobs/{job_id}/log", owned=True),
    Route("GET", "/v1/events"),
    Route("GET", "/v1/jobs/{job_id}/segments", owned=True),
    Route("GET", "/v1/jobs/{job_id}/artifacts", owned=True),
    Route("GET", "/v1/jobs/{job_id}/artifacts/{name}", owned=True),
    Route("HEAD", "/v1/jobs/{job_id}/artifacts/{name}", owned=True),
    Route("POST", "/v1/jobs/{job_id}/artifacts/{name}/link", owned=True),
    Route("GET", "/v1/jobs/{job_id}/transcript", owned=True),
    Route("POST", "/v1/jobs/{job_id}/transcript/edits", owned=True),
    Route("GET", "/v1/jobs/{job_id}/transcript/revisions", owned=True),
    Route("POST", "/v1/jobs/{job_id}/transcript/restore", owned=True),
    Route("POST", "/v1/jobs/{job_id}/regenerate/quote", owned=True),
    Route("POST", "/v1/jobs/{job_id}/regenerate", owned=True),
    Route("GET", "/v1/jobs/{job_id}/regenerations", owned=True),
    Route("POST", "/v1/glossary"),
    Route("GET", "/v1/glossary"),
    Route("GET", "/v1/glossary/{entry_id}", owned=True),
    Route("PUT", "/v1/glossary/{entry_id}", owned=True),
    Route("DELETE", "/v1/glossary/{entry_id}", owned=True),
)


async def test_the_table_has_every_route(anonymous: httpx.AsyncClient) -> None:
    schema = (await anonymous.get("/openapi.json")).json()
    there = {(method.upper(), path) for path, methods in schema["paths"].items() for method in methods}
    assert there == OPEN | {(route.method, route.path) for route in TABLE if route.method != "HEAD"}


@pytest.fixture
async def bad_tokens(
    app_settings: Settings, user: User, make_user: MakeUser, make_session: async_sessionmaker[AsyncSession]
) -> Mapping[str, str]:
    """What is no valid access token of the user, by what is wrong with it."""
    key, tokens = app_settings.signing_key(), AccessTokens.from_settings(app_settings)
    other = await make_user("lucy@example.org")
    lifetimes = Lifetimes.from_settings(app_settings)
    async with make_session.begin() as session:
        open_, revoked = [await sessions.start(session, user, SYSTEM, lifetimes) for _ in range(2)]
        await sessions.end(session, user.id, revoked.session_id, "revoked")
        dead, dead_secret = await api_tokens.create(session, user, "revoked", None)
        await api_tokens.revoke(session, user.id, dead.id)
        old, old_secret = await api_tokens.create(session, user, "expired", 1)
        old.expires_at = datetime.now(UTC)
    good = tokens.issue(user.id, open_.session_id)
    claims = jwt.decode(good, key, ["HS256"], audience="octavia-api")
    header = {"kid": key_id(key)}

    def signed(algorithm: str = "HS256", with_key: str = key, header: dict[str, str] = header, **changes: Any) -> str:
        changed = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(changed, with_key, algorithm, headers=header)

    past, future = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(hours=1)
    return {
        "nonsense": "nonsense",
        "empty": "",
        "expired": signed(exp=past),
        "not yet issued": signed(iat=future),
        "no signature": signed("none", ""),
        "another key": signed(with_key="t" * 40),
        "another key's name": signed(header={"kid": key_id("t" * 40)}),
        "no key's name": jwt.encode(claims, key, "HS256"),
        "another algorithm": signed("HS512", key + "s" * 30),
        "another issuer": signed(iss="elsewhere"),
        "another audience": signed(aud="other-api"),
        "another type": signed(typ="refresh"),
        "without a type": signed(typ=None),
        "without an end": signed(exp=None),
        "without a subject": signed(sub=None),
        "without a login": signed(sid=None),
        "without an issuer": signed(iss=None),
        "without an audience": signed(aud=None),
        "a subject that is no id": signed(sub="root"),
        "an unknown user": signed(sub=str(uuid4())),
        "another user's login": signed(sub=str(other.id)),
        "an unknown login": signed(sid=str(uuid4())),
        "revoked": tokens.issue(user.id, revoked.session_id),
        "a refresh token": open_.refresh_token,
        "a revoked API token": dead_secret,
        "an expired API token": old_secret,
        "an API token that was never made": "oct_" + "x" * 46,
    }


def url(route: Route) -> str:
    names = ("media_id", "upload_id", "job_id", "name", "session_id", "token_id", "purchase_id")
    named = (*names, "notification_id", "webhook_id", "delivery_id", "entry_id")
    return route.path.format(**dict.fromkeys(named, str(uuid4())), **PASSAGE)


PASSAGE = {"language": "es", "passage": "0"}
"""Of these there are as many as jobs have; whose they are, the job says."""


BODY = {"name": "A", "password": PASSWORD, "current_password": PASSWORD, "new_password": "another password"}


@pytest.mark.parametrize("route", TABLE, ids=lambda route: f"{route.method} {route.path}")
async def test_no_route_opens_without_a_valid_token(
    anonymous: httpx.AsyncClient, bad_tokens: Mapping[str, str], route: Route
) -> None:
    missing = await anonymous.request(route.method, url(route), json=BODY)
    assert missing.status_code == 401
    for kind, token in bad_tokens.items():
        answer = await anonymous.request(route.method, url(route), json=BODY, headers=bearer(token))
        assert answer.status_code == 401, kind
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), kind
        if route.method != "HEAD":
            assert answer.headers["Content-Type"] == "application/problem+json", kind


@pytest.mark.parametrize("route", [route for route in TABLE if route.login], ids=lambda route: route.path)
async def test_what_changes_the_account_asks_for_a_login(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, route: Route
) -> None:
    secret = (await client.post("/v1/me/tokens", json={"name": "program", "password": PASSWORD})).json()["token"]
    answer = await anonymous.request(route.method, url(route), json=BODY, headers=bearer(secret))
    assert (answer.status_code, answer.json()["code"]) == (403, "login_required")


ARTIFACT = {
    "kind": "audio",
    "content_type": "audio/mpeg",
    "size": 3,
    "sha256": "0" * 64,
    "storage_key": "nowhere",
}


TERM = {"source": "Octavia"}

ASKED_OF_STRANGERS: Mapping[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/webhooks/{webhook_id}"): {},
    ("PUT", "/v1/glossary/{entry_id}"): TERM,
    ("POST", "/v1/jobs/{job_id}/transcript/edits"): {
        "base_revision": 1,
        "operations": [{"op": "delete", "segment": 0}],
    },
    ("POST", "/v1/jobs/{job_id}/transcript/restore"): {"base_revision": 1, "revision": 1},
    ("POST", "/v1/jobs/{job_id}/regenerate"): {"base_revision": 1},
}
"""Valid bodies of routes that look at theirs first."""


@pytest.fixture
async def owned(
    client: httpx.AsyncClient, user: User, clips: Path, make_session: async_sessionmaker[AsyncSession]
) -> Mapping[str, str]:
    """An id of the user's for every kind of thing that a path can name."""
    with (clips / "a.mp3").open("rb") as file:
        media = (await client.post("/v1/media", files={"file": ("a.mp3", file)})).json()["id"]
    begun = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    upload = (await client.post("/v1/uploads", headers=begun)).headers["Location"].rpartition("/")[2]
    wish = {"kind": "audio_translation", "media_id": media, "target_language": "es"}
    job = (await client.post("/v1/jobs", json=wish)).json()["id"]
    token = (await client.post("/v1/me/tokens", json={"name": "program", "password": PASSWORD})).json()["id"]
    async with make_session.begin() as session:
        login = await session.scalar(sa.select(LoginSession.id).where(LoginSession.user_id == user.id).limit(1))
        session.add(Artifact(job_id=UUID(job), name="es.mp3", **ARTIFACT))
        purchase = purchase_of(user.id, STARTER)
        session.add(purchase)
        note = Notification(user_id=user.id, kind="job_completed", title="", message="", page="/")
        session.add(note)
    webhook = (await client.post("/v1/webhooks", json={"url": "https://example.org/"})).json()["id"]
    delivery = (await client.post(f"/v1/webhooks/{webhook}/ping")).json()["id"]
    entry = (await client.post("/v1/glossary", json=TERM)).json()["id"]
    ids = {
        "media_id": media,
        "upload_id": upload,
        "job_id": job,
        "token_id": token,
        "session_id": login,
        "purchase_id": purchase.id,
        "notification_id": note.id,
        "webhook_id": webhook,
        "delivery_id": delivery,
        "entry_id": entry,
    }
    return {"name": "es.mp3", **PASSAGE, **{name: str(value) for name, value in ids.items()}}


@pytest.mark.parametrize(
    "route", [route for route in TABLE if route.owned], ids=lambda route: f"{route.method} {route.path}"
)
async def test_a_strangers_id_is_answered_like_one_that_does_not_exist(
    stranger: httpx.AsyncClient, owned: Mapping[str, str], route: Route
) -> None:
    body = ASKED_OF_STRANGERS.get((route.method, route.path))
    taken = await stranger.request(route.method, route.path.format(**owned), json=body)
    unknown = await stranger.request(route.method, url(route), json=body)
    assert (taken.status_code, unknown.status_code) == (404, 404)
    assert said(taken) == said(unknown)


def said(answer: httpx.Response) -> object:
    """An answer's body without the ids in it."""
    body = answer.json() if answer.content else {}
    body.pop("request_id", None)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|es\.mp3", "…", json.dumps(body))
