"""Logins under attack, and what those who are refused are told."""

from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.rate_limits.rules import Action
from orchestrator.rate_limits.service import RateLimits, TooManyRequestsError
from orchestrator.settings import Settings
from tests.orchestrator.rate_limits.conftest import Clock, MakeLimits

pytestmark = pytest.mark.anyio

ELINOR = "elinor@example.org"
HOME, HOTEL = "192.0.2.1", "198.51.100.1"


async def tries(limits: RateLimits, attempts: int, address: str, account: str = ELINOR) -> int:
    """How many of so many attempts to log in are let through."""
    admitted = 0
    for _ in range(attempts):
        try:
            await limits.hit("log_in", address=address, account=account)
        except TooManyRequestsError:
            continue
        admitted += 1
    return admitted


async def hammer(limits: RateLimits, account: str = ELINOR) -> None:
    """Strangers all over the world try passwords until the account is over its limit, and on."""
    for n in range(1, 12):
        await tries(limits, 10, f"203.0.113.{n}", account)


async def test_a_stranger_who_hammers_does_not_lock_the_owner_out_at_a_known_address(make_limits: MakeLimits) -> None:
    limits = make_limits({})
    await limits.note_success(ELINOR, HOME)
    await hammer(limits)
    assert await tries(limits, 10, HOME) == 10
    await hammer(limits)
    await limits.note_success(ELINOR, HOME)
    assert await tries(limits, 10, HOME) == 10


async def test_at_an_unknown_address_a_hammered_account_is_slow_but_open(make_limits: MakeLimits) -> None:
    limits = make_limits({})
    await limits.note_success(ELINOR, HOME)
    assert await tries(limits, 20, HOTEL) == 10
    await hammer(limits)
    assert await tries(limits, 20, "198.51.100.2") == 2
    assert await tries(limits, 20, "198.51.100.3", "nobody@example.org") == 10


async def test_an_account_that_does_not_exist_is_treated_alike(make_limits: MakeLimits, clock: Clock) -> None:
    limits = make_limits({})
    told = []
    for account in (ELINOR, "nobody@example.org"):
        await hammer(limits, account)
        await tries(limits, 2, HOTEL, account)
        with pytest.raises(TooManyRequestsError) as error:
            await limits.hit("log_in", address=HOTEL, account=account)
        told.append((error.value.message, error.value.headers))
    assert told[0] == told[1]


async def test_when_the_whole_service_is_hammered_known_addresses_still_get_in(make_limits: MakeLimits) -> None:
    limits = make_limits({"log_in.overall": "5/hour"})
    await limits.note_success(ELINOR, HOME)
    assert [await tries(limits, 1, f"203.0.113.{n}", f"{n}@example.org") for n in range(7)] == [1] * 5 + [0] * 2
    assert await tries(limits, 1, HOTEL) == 0
    assert await tries(limits, 10, HOME) == 10


async def test_a_known_address_that_guesses_is_stopped_and_a_success_forgives(make_limits: MakeLimits) -> None:
    limits = make_limits({})
    await limits.note_success(ELINOR, HOME)
    assert await tries(limits, 15, HOME) == 10
    await limits.note_success("somebody.else@example.org", HOME)
    assert await tries(limits, 1, HOME) == 0, "a login to an account of one's own gives no new guesses at another's"
    await limits.note_success(ELINOR, HOME)
    assert await tries(limits, 15, HOME) == 10


async def test_an_address_is_known_for_thirty_days(make_limits: MakeLimits, engine: AsyncEngine) -> None:
    limits = make_limits({})
    await limits.note_success(ELINOR, HOME)
    for days, let_through in ((29, 10), (31, 2)):
        age = sa.text("update known_address set seen_at = now() - make_interval(days => :days)")
        async with engine.begin() as connection:
            await connection.execute(age, {"days": days})
        await hammer(limits)
        assert await tries(limits, 10, HOME) == let_through
        async with engine.begin() as connection:
            await connection.execute(sa.text("delete from rate_limit"))


async def test_one_ipv6_customer_is_one_caller(make_limits: MakeLimits) -> None:
    limits = make_limits({})
    assert [await tries(limits, 5, f"2001:db8::{n}") for n in range(1, 5)] == [5, 5, 0, 0]
    assert await tries(limits, 5, "2001:db8:0:1::1") == 5


async def test_neither_counts_nor_known_addresses_hold_an_email_address(
    make_limits: MakeLimits, engine: AsyncEngine
) -> None:
    limits = make_limits({})
    await tries(limits, 1, HOME)
    await limits.note_success(ELINOR, HOME)
    await tries(limits, 1, HOME)
    async with engine.connect() as connection:
        counts = (await connection.execute(sa.text("select key from rate_limit"))).scalars().all()
        known = (await connection.execute(sa.text("select account_hash, address_hash from known_address"))).all()
    assert counts
    assert len(known) == 1
    assert "elinor" not in str([counts, known])
    assert HOME not in str(known)


@pytest.mark.parametrize(
    ("at_s", "told", "words"),
    [(0, 3601, "2 hours"), (600, 3001, "51 minutes"), (3570, 31, "31 seconds"), (3599.5, 1, "1 second")],
)
async def test_the_refused_are_told_when_to_come_back_and_then_get_in(
    make_limits: MakeLimits, clock: Clock, at_s: float, told: int, words: str
) -> None:
    limits = make_limits({"export.account": "3/hour"})
    user_id = uuid4()
    for _ in range(3):
        await limits.hit("export", address=HOME, user_id=user_id)
    clock.now += at_s
    with pytest.raises(TooManyRequestsError) as error:
        await limits.hit("export", address=HOME, user_id=user_id)
    assert (error.value.status, error.value.code) == (429, "too_many_requests")
    assert error.value.headers == {"Retry-After": str(told)}
    assert error.value.message == f"Too many attempts to export your data. Try again in {words}."
    clock.now += told
    await limits.hit("export", address=HOME, user_id=user_id)


@pytest.mark.parametrize(("action", "most"), [("sign_up", 30), ("forgot_password", 3), ("resend_verification", 30)])
async def test_what_sends_mail_is_limited_per_mailbox_wherever_it_is_asked_from(
    make_limits: MakeLimits, action: Action, most: int, clock: Clock
) -> None:
    limits = make_limits({})
    for n in range(most):
        await limits.hit(action, address=f"203.0.113.{n}", account=ELINOR)
    with pytest.raises(TooManyRequestsError):
        await limits.hit(action, address=HOME, account="Elinor@Example.org")
    clock.now += 3601
    await limits.hit(action, address=HOME, account=ELINOR)


@pytest.mark.parametrize("action", ["sign_up", "resend_verification"])
async def test_a_stranger_who_uses_up_his_sign_ups_of_an_address_does_not_keep_its_owner_out(
    make_limits: MakeLimits, action: Action
) -> None:
    limits = make_limits({})
    for _ in range(3):
        await limits.hit(action, address="203.0.113.1", account=ELINOR)
    with pytest.raises(TooManyRequestsError):
        await limits.hit(action, address="203.0.113.1", account=ELINOR)
    await limits.hit(action, address=HOME, account=ELINOR)


async def test_switched_off_nothing_is_refused_or_counted(engine: AsyncEngine, app_settings: Settings) -> None:
    limits = RateLimits(engine, app_settings)
    assert await tries(limits, 30, HOME) == 30
    await limits.note_success(ELINOR, HOME)
    async with engine.connect() as connection:
        for table in ("rate_limit", "known_address"):
            assert (await connection.execute(sa.text(f"select from {table}"))).all() == []
