"""From sign-up to the first login, and what everybody is told on the way."""

import asyncio
import json
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import AccountRequest, EmailToken, User
from orchestrator.credits import ledger
from orchestrator.credits.models import CreditEntry
from orchestrator.settings import Settings
from tests.fixtures_control_plane import MakeUser
from tests.orchestrator.accounts.conftest import PASSWORD, Postbox, bearer, sign_up_form

pytestmark = pytest.mark.anyio

EMAIL = "marianne@example.org"


async def log_in(client: httpx.AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/v1/auth/login", json={"email": email, "password": password})


async def signed_up(client: httpx.AsyncClient, email: str = EMAIL, /, **changes: str) -> httpx.Response:
    return await client.post("/v1/auth/sign-up", json=sign_up_form(email, **changes))


async def test_the_link_of_the_mail_makes_the_account_active_and_logs_it_in(
    anonymous: httpx.AsyncClient, postbox: Postbox
) -> None:
    answer = await signed_up(anonymous)
    assert (answer.status_code, list(answer.json())) == (202, ["message"])
    token = await postbox.token(EMAIL)
    login = await anonymous.post("/v1/auth/verify", json={"token": token})
    assert login.status_code == 200
    me = await anonymous.get("/v1/me", headers=bearer(login.json()["access_token"]))
    assert (me.json()["email"], me.json()["name"]) == (EMAIL, "Marianne")
    assert (await log_in(anonymous)).status_code == 200


async def balances(make_session: async_sessionmaker[AsyncSession], *users: UUID) -> list[int]:
    async with make_session() as session:
        return [(await ledger.balance(session, user_id)).available for user_id in users]


async def test_the_first_credits_come_with_the_verification_and_once(
    anonymous: httpx.AsyncClient,
    postbox: Postbox,
    app_settings: Settings,
    make_session: async_sessionmaker[AsyncSession],
) -> None:
    app_settings.sign_up_credits = 25
    await signed_up(anonymous)
    token = await postbox.token(EMAIL)
    async with make_session() as session:
        user_id = (await session.scalars(sa.select(User.id).where(User.email == EMAIL))).one()
    assert await balances(make_session, user_id) == [0]
    answers = await asyncio.gather(*(anonymous.post("/v1/auth/verify", json={"token": token}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert await balances(make_session, user_id) == [25]
    async with make_session() as session:
        (entry,) = (await session.scalars(sa.select(CreditEntry))).all()
    assert (entry.kind, entry.idempotency_key, entry.reference) == ("grant", f"sign_up:{user_id}", "sign_up")


async def test_without_that_setting_a_new_account_has_no_credits(
    anonymous: httpx.AsyncClient, postbox: Postbox, make_session: async_sessionmaker[AsyncSession]
) -> None:
    await signed_up(anonymous)
    login = await anonymous.post("/v1/auth/verify", json={"token": await postbox.token(EMAIL)})
    assert await balances(make_session, UUID(login.json()["user"]["id"])) == [0]
    async with make_session() as session:
        assert (await session.scalars(sa.select(CreditEntry))).all() == []


async def test_before_that_only_the_right_password_is_told_why_it_does_not_open(
    anonymous: httpx.AsyncClient, postbox: Postbox
) -> None:
    await signed_up(anonymous)
    await postbox.work()
    right, wrong = await log_in(anonymous), await log_in(anonymous, password="not the password")
    assert (right.status_code, right.json()["code"]) == (403, "not_verified")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "login_refused")


async def test_of_a_pending_account_the_newest_password_is_the_right_one(
    anonymous: httpx.AsyncClient, postbox: Postbox
) -> None:
    await signed_up(anonymous, password="the first that came to mind")
    await signed_up(anonymous)
    await postbox.work()
    assert (await log_in(anonymous)).json()["code"] == "not_verified"


async def test_a_known_address_is_answered_like_a_new_one_and_its_owner_told_by_mail(
    anonymous: httpx.AsyncClient, postbox: Postbox, user: User
) -> None:
    new, known = await signed_up(anonymous), await signed_up(anonymous, user.email)
    assert (new.status_code, new.content) == (known.status_code, known.content)
    assert set(new.headers) == set(known.headers)
    assert [mail.kind for mail in await postbox.mails(user.email)] == ["address_known"]
    assert (await log_in(anonymous, user.email)).status_code == 401, "the password of the account is the old one"


@pytest.mark.parametrize("route", ["forgot-password", "resend-verification"])
async def test_asking_for_a_mail_says_nothing_of_the_address(
    anonymous: httpx.AsyncClient, postbox: Postbox, user: User, route: str
) -> None:
    answers = [
        await anonymous.post(f"/v1/auth/{route}", json={"email": email})
        for email in (user.email, "nobody@example.org", EMAIL)
    ]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert await postbox.mails("nobody@example.org") == []


async def test_a_verification_mail_can_be_had_again_and_either_link_works_until_one_is_used(
    anonymous: httpx.AsyncClient, postbox: Postbox
) -> None:
    await signed_up(anonymous)
    first = await postbox.token(EMAIL)
    await anonymous.post("/v1/auth/resend-verification", json={"email": EMAIL})
    second = await postbox.token(EMAIL)
    assert first != second
    assert (await anonymous.post("/v1/auth/verify", json={"token": first})).status_code == 200
    assert (await anonymous.post("/v1/auth/verify", json={"token": second})).json()["code"] == "already_verified"
    assert (await log_in(anonymous)).status_code == 200


@pytest.mark.parametrize("owner_is_first", [True, False])
async def test_a_link_and_the_password_given_with_it_belong_together(
    anonymous: httpx.AsyncClient, postbox: Postbox, owner_is_first: bool
) -> None:
    guess, tokens = "somebody else's guess", dict[str, str]()
    for password in (PASSWORD, guess) if owner_is_first else (guess, PASSWORD):
        await signed_up(anonymous, password=password)
        tokens[password] = await postbox.token(EMAIL)
    assert (await anonymous.post("/v1/auth/verify", json={"token": tokens[PASSWORD]})).status_code == 200
    assert (await log_in(anonymous)).status_code == 200
    assert (await log_in(anonymous, password=guess)).status_code == 401
    assert (await anonymous.post("/v1/auth/verify", json={"token": tokens[guess]})).status_code == 409


async def test_a_link_followed_twice_says_that_all_is_well_and_logs_nobody_in(
    anonymous: httpx.AsyncClient, postbox: Postbox
) -> None:
    await signed_up(anonymous)
    token = await postbox.token(EMAIL)
    answers = await asyncio.gather(*(anonymous.post("/v1/auth/verify", json={"token": token}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    again = await anonymous.post("/v1/auth/verify", json={"token": token})
    assert again.json()["code"] == "already_verified"


async def test_a_mail_scanner_that_opens_the_link_consumes_nothing(
    anonymous: httpx.AsyncClient, postbox: Postbox
) -> None:
    await signed_up(anonymous)
    token = await postbox.token(EMAIL)
    for method in ("GET", "HEAD"):
        assert (await anonymous.request(method, f"/v1/auth/verify?token={token}")).status_code == 405
    assert (await anonymous.post("/v1/auth/verify", json={"token": token})).status_code == 200


async def test_tokens_that_are_forged_expired_or_for_something_else_are_refused_alike(
    anonymous: httpx.AsyncClient, postbox: Postbox, user: User, make_session: async_sessionmaker[AsyncSession]
) -> None:
    await anonymous.post("/v1/auth/forgot-password", json={"email": user.email})
    foreign = await postbox.token(user.email)
    await signed_up(anonymous)
    expired = await postbox.token(EMAIL)
    async with make_session.begin() as session:
        past = sa.update(EmailToken).where(EmailToken.purpose == "verify")
        await session.execute(past.values(expires_at=sa.func.now()))
    tokens = [foreign, expired, expired[:-1] + "A", "x", "\0", "ä" * 200]
    answers = [await anonymous.post("/v1/auth/verify", json={"token": token}) for token in tokens]
    assert {(answer.status_code, answer.json()["detail"]) for answer in answers} == {
        (400, "This link is not valid or has expired. Ask for a new e-mail.")
    }


async def test_of_sign_ups_of_one_address_at_once_one_account_comes(
    anonymous: httpx.AsyncClient, postbox: Postbox, make_session: async_sessionmaker[AsyncSession]
) -> None:
    await asyncio.gather(*(signed_up(anonymous, email) for email in (EMAIL, "Marianne@Example.ORG") * 3))
    waiting, postbox.queue.account_requests[:] = list(postbox.queue.account_requests), []

    async def worker(request_id: object) -> None:
        one = Postbox(make_session, postbox.settings, type(postbox.queue)())
        one.queue.account_requests.append(request_id)  # type: ignore[arg-type]
        await one.work()

    await asyncio.gather(*(worker(request_id) for request_id in waiting))
    async with make_session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(User)) == 1
        assert await session.scalar(sa.select(sa.func.count()).select_from(AccountRequest)) == 0


async def test_a_tag_makes_another_address_and_case_does_not(anonymous: httpx.AsyncClient, postbox: Postbox) -> None:
    for email in ("anne@example.org", "anne+octavia@example.org"):
        await signed_up(anonymous, email)
        await anonymous.post("/v1/auth/verify", json={"token": await postbox.token(email)})
    assert (await log_in(anonymous, "ANNE@EXAMPLE.ORG")).json()["user"]["email"] == "anne@example.org"
    assert (await log_in(anonymous, "Anne+Octavia@example.org")).json()["user"]["email"] == "anne+octavia@example.org"


async def test_an_address_that_only_looks_like_another_is_another(
    anonymous: httpx.AsyncClient, postbox: Postbox, make_user: MakeUser
) -> None:
    await make_user("anne@example.org")
    await signed_up(anonymous, "\u0430nne@example.org")
    assert [mail.kind for mail in await postbox.mails("\u0430nne@example.org")] == ["verify_address"]
    assert await postbox.mails("anne@example.org") == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "marianne"}, "invalid_account"),
        ({"email": "marianne@localhost"}, "invalid_account"),
        ({"email": "m" * 290 + "@x.org"}, "invalid_account"),
        ({"email": "m\0@example.org"}, "invalid_account"),
        ({"email": "m@example.org\r\nBcc: all@example.org"}, "invalid_account"),
        ({"email": "m" * 400 + "@x.org"}, "invalid_request"),
        ({"name": "M\r\nBcc: all@example.org"}, "invalid_account"),
        ({"name": "M\0"}, "invalid_account"),
        ({"name": " "}, "invalid_account"),
        ({"password": "1234567"}, "unfit_password"),
        ({"password": "x" * 129}, "unfit_password"),
        ({"password": "x" * 2000}, "invalid_request"),
        ({"password": "password123"}, "unfit_password"),
        ({"password": "BASEBALL"}, "unfit_password"),
        ({"role": "admin"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_an_account_is_refused_and_nothing_is_left(
    anonymous: httpx.AsyncClient, postbox: Postbox, changes: dict[str, str], code: str
) -> None:
    answer = await signed_up(anonymous, **changes)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert "password" not in changes or changes["password"] not in answer.text
    assert postbox.queue.account_requests == []


@pytest.mark.parametrize("password", ["пароль из слов", "ﬁve ﬁsh swim", "a\0b\0c\0d\0e", "🐟" * 128, "        "])
async def test_a_password_may_be_of_any_characters_and_nothing_of_it_is_cut_off(
    anonymous: httpx.AsyncClient, postbox: Postbox, password: str
) -> None:
    await signed_up(anonymous, password=password)
    await anonymous.post("/v1/auth/verify", json={"token": await postbox.token(EMAIL)})
    assert (await log_in(anonymous, password=password)).status_code == 200
    assert (await log_in(anonymous, password=password[:-1])).status_code == 401


async def test_a_lone_surrogate_is_bad_input_and_not_our_fault(anonymous: httpx.AsyncClient) -> None:
    for field in ("email", "name", "password"):
        form = sign_up_form(EMAIL, **{field: "SURROGATE and more"})
        body = json.dumps(form).replace("SURROGATE", "\\ud800")
        headers = {"Content-Type": "application/json"}
        answer = await anonymous.post("/v1/auth/sign-up", content=body.encode(), headers=headers)
        assert answer.status_code == 422, field
