"""Logins: refreshed, stolen, listed, ended; and what changing or resetting the password does to them."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from passlib.hash import argon2
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import LoginSession, RefreshToken, User
from orchestrator.accounts.tokens import AccessTokens
from orchestrator.settings import Settings
from tests.fixtures_control_plane import PASSWORD, MakeClient, MakeUser
from tests.orchestrator.accounts.conftest import Postbox, bearer

pytestmark = pytest.mark.anyio

NEW = "a cottage in devonshire"


async def log_in(client: httpx.AsyncClient, user: User, password: str = PASSWORD) -> Any:
    answer = await client.post("/v1/auth/login", json={"email": user.email, "password": password})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/auth/refresh", json={"refresh_token": token})


async def opens(client: httpx.AsyncClient, login: Any) -> bool:
    """Whether the access token of a login opens the API."""
    return (await client.get("/v1/me", headers=bearer(login["access_token"]))).status_code == 200


async def test_a_refresh_token_gets_the_next_two_tokens(anonymous: httpx.AsyncClient, user: User) -> None:
    first = await log_in(anonymous, user)
    second = (await refresh(anonymous, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert await opens(anonymous, second)
    assert (await refresh(anonymous, second["refresh_token"])).status_code == 200


async def test_a_stolen_refresh_token_ends_the_login_for_thief_and_owner(
    anonymous: httpx.AsyncClient, user: User
) -> None:
    stolen = (await log_in(anonymous, user))["refresh_token"]
    owner = (await refresh(anonymous, stolen)).json()
    elsewhere = await log_in(anonymous, user)

    thief = await refresh(anonymous, stolen)
    assert (thief.status_code, thief.json()["code"]) == (401, "refresh_refused")
    assert (await refresh(anonymous, owner["refresh_token"])).status_code == 401
    assert not await opens(anonymous, owner)
    assert await opens(anonymous, elsewhere), "another login is another family"
    events = await anonymous.get("/v1/me/security-events", headers=bearer(elsewhere["access_token"]))
    assert events.json()["items"][0]["kind"] == "refresh_reused"


async def test_of_uses_of_one_refresh_token_at_once_at_most_one_is_answered(
    anonymous: httpx.AsyncClient, user: User
) -> None:
    token = (await log_in(anonymous, user))["refresh_token"]
    answers = await asyncio.gather(*(refresh(anonymous, token) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401, 401]


@pytest.mark.parametrize("column", ["idle_until", "expires_at"])
async def test_a_login_ends_by_itself(
    anonymous: httpx.AsyncClient, user: User, make_session: async_sessionmaker[AsyncSession], column: str
) -> None:
    login = await log_in(anonymous, user)
    async with make_session.begin() as session:
        await session.execute(sa.update(LoginSession).values({column: sa.func.now()}))
    assert (await refresh(anonymous, login["refresh_token"])).status_code == 401


async def test_neither_kind_of_token_does_the_others_work(anonymous: httpx.AsyncClient, user: User) -> None:
    login = await log_in(anonymous, user)
    assert not await opens(anonymous, {"access_token": login["refresh_token"]})
    assert (await refresh(anonymous, login["access_token"])).status_code in {401, 422}


async def test_secrets_are_kept_as_hashes_only(
    anonymous: httpx.AsyncClient, user: User, make_session: async_sessionmaker[AsyncSession]
) -> None:
    login = await log_in(anonymous, user)
    async with make_session() as session:
        kept = (await session.scalars(sa.select(RefreshToken.hash))).all()
    assert [len(each) for each in kept] == [32]
    assert login["refresh_token"].encode() not in kept


async def test_logout_ends_this_login_and_logout_everywhere_all(anonymous: httpx.AsyncClient, user: User) -> None:
    one, two, three = [await log_in(anonymous, user) for _ in range(3)]
    assert (await anonymous.post("/v1/auth/logout", headers=bearer(one["access_token"]))).status_code == 204
    assert [await opens(anonymous, each) for each in (one, two, three)] == [False, True, True]
    assert (await refresh(anonymous, one["refresh_token"])).status_code == 401
    await anonymous.post("/v1/auth/logout-everywhere", headers=bearer(two["access_token"]))
    assert [await opens(anonymous, each) for each in (two, three)] == [False, False]


async def test_logins_are_listed_with_where_they_came_from_and_can_be_ended(
    anonymous: httpx.AsyncClient, user: User
) -> None:
    old, new = [await log_in(anonymous, user) for _ in range(2)]
    items = (await anonymous.get("/v1/auth/sessions", headers=bearer(new["access_token"]))).json()["items"]
    assert [item["current"] for item in items] == [True, False]
    assert {item["user_agent"] for item in items} == {anonymous.headers["User-Agent"]}
    assert all(item["address"] for item in items)
    path = f"/v1/auth/sessions/{items[1]['id']}"
    assert (await anonymous.delete(path, headers=bearer(new["access_token"]))).status_code == 204
    assert not await opens(anonymous, old)
    assert (await anonymous.delete(path, headers=bearer(new["access_token"]))).status_code == 404


async def test_a_stranger_cannot_end_ones_login(
    anonymous: httpx.AsyncClient, user: User, stranger: httpx.AsyncClient
) -> None:
    login = await log_in(anonymous, user)
    (item,) = (await anonymous.get("/v1/auth/sessions", headers=bearer(login["access_token"]))).json()["items"]
    assert (await stranger.delete(f"/v1/auth/sessions/{item['id']}")).status_code == 404
    assert await opens(anonymous, login)


async def test_changing_the_password_ends_the_other_logins_and_tells_the_owner(
    anonymous: httpx.AsyncClient, postbox: Postbox, user: User
) -> None:
    this, other = [await log_in(anonymous, user) for _ in range(2)]
    change = {"current_password": PASSWORD, "new_password": NEW}
    answer = await anonymous.post("/v1/auth/change-password", json=change, headers=bearer(this["access_token"]))
    assert answer.status_code == 204
    assert [await opens(anonymous, each) for each in (this, other)] == [True, False]
    assert [mail.kind for mail in await postbox.mails(user.email)] == ["password_changed"]
    assert await log_in(anonymous, user, NEW)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"current_password": "wrong", "new_password": NEW}, 403, "wrong_password"),
        ({"current_password": PASSWORD, "new_password": "short"}, 422, "unfit_password"),
        ({"current_password": PASSWORD}, 422, "invalid_request"),
    ],
)
async def test_a_change_that_is_not_right_changes_nothing(
    anonymous: httpx.AsyncClient, user: User, change: dict[str, str], status: int, code: str
) -> None:
    login = await log_in(anonymous, user)
    answer = await anonymous.post("/v1/auth/change-password", json=change, headers=bearer(login["access_token"]))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await log_in(anonymous, user)


async def test_a_reset_by_mail_sets_the_password_once_and_ends_every_login(
    anonymous: httpx.AsyncClient, postbox: Postbox, user: User
) -> None:
    login = await log_in(anonymous, user)
    await anonymous.post("/v1/auth/forgot-password", json={"email": user.email.upper()})
    form = {"token": await postbox.token(user.email), "password": NEW}
    assert (await anonymous.post("/v1/auth/reset-password", json=form | {"password": "short"})).status_code == 422
    assert (await anonymous.post("/v1/auth/reset-password", json=form)).status_code == 204
    assert (await anonymous.post("/v1/auth/reset-password", json=form)).json()["code"] == "link_refused"
    assert not await opens(anonymous, login)
    assert await log_in(anonymous, user, NEW)
    assert [mail.kind for mail in await postbox.mails(user.email)] == ["reset_password", "password_changed"]


async def test_a_verification_link_resets_no_password(
    anonymous: httpx.AsyncClient, postbox: Postbox, make_user: MakeUser
) -> None:
    form = {"email": "lucy@example.org", "password": PASSWORD, "name": "Lucy"}
    await anonymous.post("/v1/auth/sign-up", json=form)
    answer = await anonymous.post(
        "/v1/auth/reset-password", json={"token": await postbox.token("lucy@example.org"), "password": NEW}
    )
    assert answer.json()["code"] == "link_refused"


async def test_a_hash_of_less_work_is_made_anew_at_the_next_login(
    anonymous: httpx.AsyncClient, user: User, make_session: async_sessionmaker[AsyncSession]
) -> None:
    weak = argon2.using(type="ID", memory_cost=8_192, time_cost=1, parallelism=1).hash(PASSWORD)
    async with make_session.begin() as session:
        await session.execute(sa.update(User).values(password_hash=weak))
    await log_in(anonymous, user)
    async with make_session() as session:
        stored = await session.scalar(sa.select(User.password_hash))
    assert stored is not None
    assert argon2.from_string(stored).memory_cost == 19_456
    assert await log_in(anonymous, user)


async def test_tokens_of_a_retired_key_are_good_until_they_end_and_new_ones_bear_the_new_key(
    app_settings: Settings, user: User, make_client: MakeClient, anonymous: httpx.AsyncClient
) -> None:
    tokens = AccessTokens(("new" * 12, app_settings.signing_key()), timedelta(minutes=15))
    login = await log_in(anonymous, user)
    assert tokens.read(login["access_token"]).user_id == user.id
    fresh = tokens.issue(user.id, tokens.read(login["access_token"]).session_id)
    assert tokens.read(fresh).user_id == user.id
    assert not await opens(anonymous, {"access_token": fresh}), "the other API does not know the new key"
