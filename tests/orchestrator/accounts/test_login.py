"""Accounts, login and the tokens that come of it, through the API."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from passlib.hash import argon2
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import commands, passwords, service
from orchestrator.accounts.models import User
from orchestrator.accounts.service import EmailTakenError, InvalidAccountError
from orchestrator.accounts.tokens import AccessTokens, local_token
from orchestrator.settings import Settings
from tests.fixtures_control_plane import PASSWORD, MakeClient, MakeUser

pytestmark = pytest.mark.anyio


@pytest.fixture
async def anonymous(make_client: MakeClient) -> httpx.AsyncClient:
    return await make_client(None)


async def test_a_login_gives_a_token_that_says_who_one_is(anonymous: httpx.AsyncClient, user: User) -> None:
    answer = await anonymous.post("/v1/auth/login", json={"email": "Elinor@EXAMPLE.org", "password": PASSWORD})
    assert answer.status_code == 200
    login = answer.json()
    assert (login["token_type"], login["expires_in"]) == ("bearer", 3600)
    me = await anonymous.get("/v1/me", headers={"Authorization": f"Bearer {login['access_token']}"})
    assert me.status_code == 200
    assert (me.json()["id"], me.json()["email"]) == (str(user.id), "elinor@example.org")
    assert "password" not in me.text


async def test_unknown_address_and_wrong_password_get_the_same_answer(anonymous: httpx.AsyncClient, user: User) -> None:
    answers = [
        await anonymous.post("/v1/auth/login", json={"email": email, "password": "wrong password"})
        for email in (user.email, "nobody@example.org", "null\0@example.org", "", "\u0130@EXAMPLE.org")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert all(answer.headers["WWW-Authenticate"].startswith("Bearer") for answer in answers)


async def test_an_unknown_address_costs_as_much_hashing_as_a_wrong_password(
    anonymous: httpx.AsyncClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    verify = passwords._HASHER.verify

    class Counting:
        @staticmethod
        def verify(password: str, stored: str) -> bool:
            seen.append(stored)
            return bool(verify(password, stored))

    monkeypatch.setattr(passwords, "_HASHER", Counting)
    for email in (user.email, "nobody@example.org"):
        await anonymous.post("/v1/auth/login", json={"email": email, "password": "wrong password"})
    assert len(seen) == 2
    assert len({stored.split("$")[3] for stored in seen}) == 1, "the same memory, passes and lanes"


async def test_a_password_of_a_megabyte_is_refused_and_not_repeated(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/v1/auth/login", json={"email": "a@b.c", "password": "secret" * 200_000})
    assert answer.status_code == 413
    answer = await anonymous.post("/v1/auth/login", json={"email": "a@b.c", "password": "secret" * 1_000})
    assert answer.status_code == 422
    assert "secretsecret" not in answer.text


async def test_logins_at_once_all_end(anonymous: httpx.AsyncClient, user: User) -> None:
    answers = await asyncio.gather(
        *(anonymous.post("/v1/auth/login", json={"email": user.email, "password": PASSWORD}) for _ in range(12))
    )
    assert {answer.status_code for answer in answers} == {200}


def test_passwords_are_kept_as_argon2id_of_at_least_owasps_cost() -> None:
    stored = asyncio.run(passwords.hash_password(PASSWORD))
    parsed = argon2.from_string(stored)
    assert stored.startswith("$argon2id$")
    assert (parsed.memory_cost, parsed.rounds, parsed.parallelism) >= (19_456, 2, 1)


async def test_without_a_hash_no_password_matches() -> None:
    assert not await passwords.matches("", None)
    assert not await passwords.matches(PASSWORD, None)


async def test_an_address_counts_once_whatever_its_case(
    make_user: MakeUser, make_session: async_sessionmaker[AsyncSession]
) -> None:
    await make_user("Marianne@example.org")
    with pytest.raises(EmailTakenError):
        await make_user("mariANNE@example.ORG")
    async with make_session() as session:
        found = await service.find_by_email(session, " marianne@example.org")
    assert found is not None
    assert found.email == "Marianne@example.org"


async def test_of_two_accounts_at_once_with_one_address_one_is_made(make_user: MakeUser) -> None:
    results = await asyncio.gather(*(make_user("twice@example.org") for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["EmailTakenError"] * 4 + ["User"]


@pytest.mark.parametrize(
    ("email", "name", "password"),
    [
        ("", "N", PASSWORD),
        ("no-at.example.org", "N", PASSWORD),
        ("@example.org", "N", PASSWORD),
        ("a@", "N", PASSWORD),
        ("a b@example.org", "N", PASSWORD),
        ("a\n@example.org", "N", PASSWORD),
        ("a\0@example.org", "N", PASSWORD),
        ("a" * 250 + "@example.org", "N", PASSWORD),
        ("a@example.org", "", PASSWORD),
        ("a@example.org", "N\r\nBcc: all", PASSWORD),
        ("a@example.org", "N" * 201, PASSWORD),
        ("a@example.org", "N", "seven77"),
        ("a@example.org", "N", "x" * 129),
    ],
)
async def test_what_cannot_be_an_account_is_refused(
    make_session: async_sessionmaker[AsyncSession], email: str, name: str, password: str
) -> None:
    async with make_session() as session:
        with pytest.raises(InvalidAccountError):
            await service.create_user(session, email=email, name=name, password=password)


async def test_the_command_line_makes_a_user_who_can_log_in(
    app_settings: Settings, anonymous: httpx.AsyncClient
) -> None:
    await commands.create(app_settings, email="edward@example.org", name="Edward", password="ferrars ferrars")
    answer = await anonymous.post("/v1/auth/login", json={"email": "edward@example.org", "password": "ferrars ferrars"})
    assert answer.status_code == 200


async def test_the_local_token_opens_the_api(anonymous: httpx.AsyncClient, app_settings: Settings, user: User) -> None:
    token = local_token(app_settings, user.id)
    assert (await anonymous.get("/v1/me", headers={"Authorization": f"Bearer {token}"})).status_code == 200


KEY = "s" * 40
NOW = datetime.now(UTC)


def claims(**changes: Any) -> dict[str, Any]:
    good = {
        "iss": "octavia",
        "aud": "octavia-api",
        "sub": str(uuid4()),
        "iat": NOW,
        "exp": NOW + timedelta(hours=1),
        "typ": "access",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "nonsense": lambda: "nonsense",
    "empty": lambda: "",
    "another key": lambda: jwt.encode(claims(), "t" * 40, "HS256"),
    "no signature": lambda: jwt.encode(claims(), "", "none"),
    "another algorithm": lambda: jwt.encode(claims(), KEY + "s" * 30, "HS512"),
    "expired": lambda: jwt.encode(claims(exp=NOW - timedelta(minutes=1)), KEY, "HS256"),
    "not yet issued": lambda: jwt.encode(claims(iat=NOW + timedelta(hours=1)), KEY, "HS256"),
    "another issuer": lambda: jwt.encode(claims(iss="elsewhere"), KEY, "HS256"),
    "another audience": lambda: jwt.encode(claims(aud="other-api"), KEY, "HS256"),
    "another type": lambda: jwt.encode(claims(typ="refresh"), KEY, "HS256"),
    "no type": lambda: jwt.encode(claims(typ=None), KEY, "HS256"),
    "no expiry": lambda: jwt.encode(claims(exp=None), KEY, "HS256"),
    "no subject": lambda: jwt.encode(claims(sub=None), KEY, "HS256"),
    "a subject that is no id": lambda: jwt.encode(claims(sub="root"), KEY, "HS256"),
    "an unknown user": lambda: jwt.encode(claims(), KEY, "HS256"),
}


async def test_every_bad_token_is_answered_401_with_a_challenge(anonymous: httpx.AsyncClient) -> None:
    for kind, make in BAD_TOKENS.items():
        answer = await anonymous.get("/v1/me", headers={"Authorization": f"Bearer {make()}"})
        assert answer.status_code == 401, kind
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_token_is_good_for_its_lifetime_and_a_little_clock_skew() -> None:
    user_id = str(uuid4())
    tokens = AccessTokens(KEY, timedelta(hours=1))
    late = jwt.encode(claims(sub=user_id, exp=datetime.now(UTC) - timedelta(seconds=5)), KEY, "HS256")
    assert str(tokens.user_of(late)) == user_id


async def test_every_route_but_login_and_health_asks_for_a_token(anonymous: httpx.AsyncClient) -> None:
    schema = (await anonymous.get("/openapi.json")).json()
    open_routes = {"/v1/auth/login", "/healthz", "/readyz"}
    asked = 0
    for path, methods in schema["paths"].items():
        for method in methods:
            if path in open_routes:
                continue
            url = path.format(**dict.fromkeys(("media_id", "job_id", "name"), str(uuid4())))
            answer = await anonymous.request(method, url)
            assert answer.status_code == 401, f"{method} {path}"
            asked += 1
    assert asked >= 12
