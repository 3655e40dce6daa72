"""Accounts, login and the tokens that come of it, through the API."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from passlib.hash import argon2
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import commands, local, passwords, service
from orchestrator.accounts.addresses import InvalidAccountError
from orchestrator.accounts.models import User
from orchestrator.accounts.passwords import UnfitPasswordError
from orchestrator.accounts.service import EmailTakenError
from orchestrator.accounts.tokens import AccessTokens, InvalidTokenError
from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings
from tests.fixtures_control_plane import PASSWORD, MakeUser
from tests.orchestrator.accounts.conftest import bearer

pytestmark = pytest.mark.anyio


async def test_a_login_gives_a_token_that_says_who_one_is(anonymous: httpx.AsyncClient, user: User) -> None:
    answer = await anonymous.post("/v1/auth/login", json={"email": "Elinor@EXAMPLE.org", "password": PASSWORD})
    assert answer.status_code == 200
    login = answer.json()
    assert (login["token_type"], login["expires_in"]) == ("bearer", 900)
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
        with pytest.raises((InvalidAccountError, UnfitPasswordError)):
            await service.create_user(session, email=email, name=name, password=password)


async def test_the_command_line_makes_a_user_who_can_log_in(
    app_settings: Settings, anonymous: httpx.AsyncClient
) -> None:
    await commands.create(app_settings, email="edward@example.org", name="Edward", password="ferrars ferrars")
    answer = await anonymous.post("/v1/auth/login", json={"email": "edward@example.org", "password": "ferrars ferrars"})
    assert answer.status_code == 200


async def test_the_local_token_opens_the_api_and_is_kept_while_it_does(
    anonymous: httpx.AsyncClient, app_settings: Settings, make_session: async_sessionmaker[AsyncSession]
) -> None:
    async with make_session.begin() as session:
        first = await local.access_token(session, app_settings, None)
    async with make_session.begin() as session:
        assert await local.access_token(session, app_settings, first) == first
        assert await local.access_token(session, app_settings, "of another secret") != first
    me = await anonymous.get("/v1/me", headers=bearer(first))
    assert (me.status_code, me.json()["email"]) == (200, "local@localhost")


async def test_a_token_is_good_for_its_lifetime_and_a_little_clock_skew(app_settings: Settings) -> None:
    tokens = AccessTokens.from_settings(app_settings)
    user_id, session_id = uuid4(), uuid4()
    late = tokens.issue(user_id, session_id, timedelta(seconds=-5))
    claims = tokens.read(late)
    assert (claims.user_id, claims.session_id) == (user_id, session_id)
    assert timedelta(seconds=4) < datetime.now(UTC) - claims.expires_at < timedelta(seconds=10)
    with pytest.raises(InvalidTokenError):
        tokens.read(tokens.issue(user_id, session_id, timedelta(seconds=-30)))


async def test_the_command_line_lists_shows_grants_and_disables(
    app_settings: Settings, anonymous: httpx.AsyncClient, user: User
) -> None:
    await commands.create(app_settings, email="admin@example.org", name="Admin", password="norland park", admin=True)
    assert [(each.email, each.role) for each in await commands.listed(app_settings)] == [
        ("elinor@example.org", "user"),
        ("admin@example.org", "admin"),
    ]
    assert (await commands.grant(app_settings, "ELINOR@example.org", "admin")).role == "admin"
    assert (await commands.show(app_settings, user.email)).role == "admin"
    for call in (
        commands.grant(app_settings, user.email, "owner"),
        commands.show(app_settings, "nobody@example.org"),
        commands.switch(app_settings, user.email, disabled=False),
    ):
        with pytest.raises(OctaviaError):
            await call


async def test_a_disabled_account_is_shut_and_says_so_to_the_right_password_only(
    app_settings: Settings, anonymous: httpx.AsyncClient, client: httpx.AsyncClient, user: User
) -> None:
    await commands.switch(app_settings, user.email, disabled=True)
    assert (await client.get("/v1/me")).status_code == 401
    answers = [
        await anonymous.post("/v1/auth/login", json={"email": user.email, "password": password})
        for password in (PASSWORD, "wrong password")
    ]
    assert [answer.json()["code"] for answer in answers] == ["account_disabled", "login_refused"]
    await commands.switch(app_settings, user.email, disabled=False)
    again = await anonymous.post("/v1/auth/login", json={"email": user.email, "password": PASSWORD})
    assert again.status_code == 200
