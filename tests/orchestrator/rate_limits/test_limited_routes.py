"""Rate limits as callers of the API meet them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network
from typing import Annotated
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import Body, Depends, FastAPI

from orchestrator.accounts.models import User
from orchestrator.accounts.service import LoginRefusedError
from orchestrator.app import create_app
from orchestrator.client_address import ClientAddress
from orchestrator.context import Context, DbSession
from orchestrator.database import EmbeddedPostgres
from orchestrator.problems import documented
from orchestrator.rate_limits.dependencies import limited
from orchestrator.settings import Settings
from tests.fixtures_control_plane import Bearer, QueueStandIn

pytestmark = pytest.mark.anyio

LIMITS = {
    "default.address": "6/hour",
    "default.account": "4/hour",
    "log_in.address": "5/hour",
    "log_in.pair": "3/hour",
    "verify_email.overall": "2/hour",
}


@pytest.fixture
def limited_settings(app_settings: Settings) -> Settings:
    return app_settings.model_copy(
        update={"rate_limits_enabled": True, "rate_limits": LIMITS, "trusted_proxies": [ip_network("10.0.0.0/8")]}
    )


@asynccontextmanager
async def replica(settings: Settings, queue: QueueStandIn) -> AsyncIterator[FastAPI]:
    """An application with two routes more: a login that writes and then always fails, and one limited overall."""
    app = create_app(settings, queue.open)

    @app.post("/try/login", dependencies=[Depends(limited("log_in"))], responses=documented(401, 429))
    async def log_in(
        context: Context, session: DbSession, address: ClientAddress, email: Annotated[str, Body(embed=True)]
    ) -> None:
        await context.limits.hit("log_in", address=address, account=email)
        await session.execute(sa.text("insert into worker (executor_id, version, state) values ('x', '1', 'up')"))
        raise LoginRefusedError

    @app.get("/try/verify", dependencies=[Depends(limited("verify_email"))])
    async def verify() -> str:
        return "ok"

    async with app.router.lifespan_context(app):
        yield app


Call = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def caller(limited_settings: Settings, queue: QueueStandIn, bearer: Bearer, user: User) -> AsyncIterator[Call]:
    """Clients of two applications with one database, by the number of the application and their own address."""
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(replica(limited_settings, queue)) for _ in range(2)]

        mine = await bearer(user)

        def call(number: int = 0, address: str = "192.0.2.1", logged_in: bool = False) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(replicas[number], client=(address, 4711))
            return httpx.AsyncClient(transport=transport, base_url="http://api", headers=mine if logged_in else {})

        yield call


async def log_in(client: httpx.AsyncClient, email: str = "a@b.c", **headers: str) -> int:
    return (await client.post("/try/login", json={"email": email}, headers=headers)).status_code


async def test_two_applications_on_one_database_count_together(caller: Call) -> None:
    clients = [caller(number, logged_in=True) for number in (0, 1)]
    answers = await asyncio.gather(*(clients[n % 2].get("/v1/jobs") for n in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 6


async def test_a_429_is_a_problem_that_says_when_to_come_back(caller: Call) -> None:
    client = caller(logged_in=True)
    for _ in range(4):
        assert (await client.get("/v1/media")).status_code == 200
    answer = await client.get("/v1/media")
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600 + 3600 // 4 + 1
    problem = answer.json()
    assert (problem["code"], problem["status"]) == ("too_many_requests", 429)
    assert problem["detail"].startswith("Too many attempts to use the API. Try again in ")
    assert (await client.get("/healthz")).status_code == 200


async def test_a_refused_login_counts_though_its_transaction_rolls_back(caller: Call) -> None:
    client = caller()
    assert [await log_in(client) for _ in range(4)] == [401, 401, 401, 429]
    assert [await log_in(caller(1)) for _ in range(1)] == [429]


async def test_other_accounts_are_counted_by_the_address_before_anything_is_read(caller: Call) -> None:
    client = caller()
    assert [await log_in(client, f"{n}@example.org") for n in range(6)] == [401] * 5 + [429]
    assert (await client.post("/try/login", json={})).status_code == 429
    assert await log_in(caller(address="192.0.2.2")) == 401


async def test_a_made_up_forwarded_address_changes_nothing(caller: Call) -> None:
    client = caller()
    spoofed = [await log_in(client, f"{n}@b.c", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(6)]
    assert spoofed == [401] * 5 + [429]
    proxy = caller(address="10.0.0.1")
    behind = [await log_in(proxy, f"{n}@b.c", **{"X-Forwarded-For": f"203.0.113.{n}, 192.0.2.7"}) for n in range(6)]
    assert behind == [401] * 5 + [429]
    assert await log_in(proxy, **{"X-Forwarded-For": "192.0.2.8"}) == 401


async def test_what_is_limited_overall_is_so_for_everybody(caller: Call) -> None:
    answers = [await caller(n % 2, f"192.0.2.{n}").get("/try/verify") for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_requests_without_a_valid_token_count_for_their_address(caller: Call) -> None:
    client = caller()
    headers = {"Authorization": "Bearer nonsense"}
    statuses = [(await client.get(f"/v1/jobs/{uuid4()}", headers=headers)).status_code for _ in range(7)]
    assert statuses == [401] * 6 + [429]


async def test_while_the_database_is_away_nothing_is_let_through(postgres: EmbeddedPostgres, caller: Call) -> None:
    client = caller()
    assert await log_in(client) == 401
    await asyncio.to_thread(postgres.stop)
    try:
        answer = await client.post("/try/login", json={"email": "a@b.c"})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    finally:
        await asyncio.to_thread(postgres.start)
    assert await log_in(client) == 401


async def test_the_description_names_429_and_its_header(caller: Call) -> None:
    paths = (await caller().get("/openapi.json")).json()["paths"]
    for path, method in (("/v1/jobs", "post"), ("/v1/media", "get"), ("/try/login", "post")):
        answer = paths[path][method]["responses"]["429"]
        assert answer["headers"]["Retry-After"]["schema"]["type"] == "integer"
        assert "application/problem+json" in answer["content"]
