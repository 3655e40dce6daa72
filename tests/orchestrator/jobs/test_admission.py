"""Who may follow events: so many streams a user, and none longer than its token is good."""

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import sessions as logins
from orchestrator.accounts.audit import SYSTEM
from orchestrator.accounts.models import User
from orchestrator.accounts.sessions import Lifetimes
from orchestrator.accounts.tokens import AccessTokens, InvalidTokenError
from orchestrator.jobs import admission
from orchestrator.jobs.admission import Admission, TooManyStreamsError
from orchestrator.jobs.models import Job
from orchestrator.settings import Settings
from tests.fixtures_control_plane import PASSWORD
from tests.orchestrator.jobs.event_streams import PATIENCE_S, end, read, report, some

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
USER = uuid4()


async def good() -> None:
    return


async def bad() -> None:
    raise InvalidTokenError(given=True)


def test_a_user_has_so_many_and_those_that_end_make_room() -> None:
    doors = Admission(2)
    with ExitStack() as places:
        for _ in range(2):
            places.enter_context(doors.admitted(USER, "token", None, good))
        with pytest.raises(TooManyStreamsError, match="GET /v1/events"), doors.admitted(USER, "token", None, good):
            pass
        with doors.admitted(uuid4(), "another", None, good):
            assert doors.streams == 3
    assert doors.streams == 0
    assert not doors._tokens
    with doors.admitted(USER, "token", None, good):
        assert doors.streams == 1


async def test_a_token_is_good_until_it_expires_and_no_longer_than_to_the_next_look() -> None:
    doors = Admission(9)
    soon = datetime.now(UTC) + timedelta(seconds=20)
    with doors.admitted(USER, "a", soon, good) as leave:
        assert 10 < await leave.seconds_left() <= 20
    with doors.admitted(USER, "b", datetime.now(UTC) - timedelta(seconds=1), good) as leave:
        assert await leave.seconds_left() == 0
    with doors.admitted(USER, "c", None, good) as leave:
        assert await leave.seconds_left() == admission.CHECK_S


async def test_a_token_is_looked_up_once_for_all_its_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    async def look() -> None:
        nonlocal looked
        looked += 1
        if looked > 1:
            await bad()

    doors = Admission(99)
    with ExitStack() as places:
        leaves = [places.enter_context(doors.admitted(USER, "token", None, look)) for _ in range(20)]
        assert all([await leave.seconds_left() for leave in leaves])
        assert looked == 0, "it was good a moment ago"
        for times in (1, 2):
            for token in doors._tokens.values():
                token.checked_at -= 1 + admission.CHECK_S
            left = await asyncio.gather(*(leave.seconds_left() for leave in leaves))
            assert looked == times
        assert not any([await leave.seconds_left() for leave in leaves])
        assert left.count(0) >= 1
        with doors.admitted(USER, "another token", None, good) as other:
            assert await other.seconds_left() > 0


async def test_while_the_database_is_away_streams_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise sa.exc.TimeoutError

    monkeypatch.setattr(admission, "CHECK_S", 0.0)
    with Admission(1).admitted(USER, "token", datetime.now(UTC) + timedelta(seconds=60), away) as leave:
        token = leave._token
        token.checked_at = 0.0
        await leave._look_up()
        assert token.is_good


@pytest.fixture
async def short(live: httpx.AsyncClient, app_settings: Settings, user: User, make_session: Sessions) -> str:
    """The header of a token of `user` that is good for five seconds."""
    async with make_session.begin() as session:
        login = await logins.start(session, user, SYSTEM, Lifetimes.from_settings(app_settings))
    tokens = AccessTokens.from_settings(app_settings)
    return f"Bearer {tokens.issue(user.id, login.session_id, timedelta(seconds=5))}"


@pytest.mark.parametrize("url", ["/v1/events", "/v1/jobs/{id}/events"])
async def test_a_stream_ends_with_its_token_and_says_so_and_another_token_goes_on(
    live: httpx.AsyncClient, job: Job, make_session: Sessions, short: str, url: str
) -> None:
    url = url.format(id=job.id)
    stream = read(live, url, {"Authorization": short})
    async with asyncio.timeout(PATIENCE_S):
        told = [event async for event in stream]
    assert told[-1]["type"] == "expired"
    assert told[-1]["code"] == "invalid_token"
    assert "Last-Event-ID" in told[-1]["message"]
    assert told[-1]["id"] == 0, "it has no id, so that the client's position stays"
    position = told[-2]["id"]
    await report(make_session, job.id, 10)
    later = read(live, url, {"Last-Event-ID": str(position)})
    assert (await some(later, 1))[0]["progress"] == 10


async def test_a_stream_ends_soon_after_its_login(
    live: httpx.AsyncClient, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CHECK_S", 0.2)
    stream = read(live, f"/v1/jobs/{job.id}/events")
    await some(stream, 2)
    assert (await live.post("/v1/auth/logout-everywhere", json={})).is_success
    assert [event["type"] for event in await some(stream, 1)] == ["expired"]


async def test_a_stream_ends_soon_after_its_api_token(
    live: httpx.AsyncClient, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CHECK_S", 0.2)
    made = (await live.post("/v1/me/tokens", json={"name": "program", "password": PASSWORD})).json()
    stream = read(live, "/v1/events", {"Authorization": f"Bearer {made['token']}"})
    await some(stream, 1)
    assert (await live.delete(f"/v1/me/tokens/{made['id']}")).is_success
    assert [event["type"] for event in await some(stream, 1)] == ["expired"]


async def test_streams_beyond_the_most_are_refused_and_places_come_back(
    application: FastAPI, live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    doors = application.state.context.admission
    doors._most = 3
    streams = [read(live, url) for url in ("/v1/events", f"/v1/jobs/{job.id}/events", "/v1/events")]
    for stream in streams:
        await some(stream, 1)
    for url in ("/v1/events", f"/v1/jobs/{job.id}/events"):
        refused = await live.get(url)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert refused.headers["Retry-After"] == "10"
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(PATIENCE_S):
        while doors.streams:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await end(make_session, job.id)
    assert [event["type"] async for event in read(live, f"/v1/jobs/{job.id}/events")][-1] == "completed"
