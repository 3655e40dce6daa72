"""Clients as the pages are: with a login of /api, or with nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from orchestrator.accounts.models import User
from tests.fixtures_control_plane import PASSWORD, MakeClient
from tests.orchestrator.jobs.conftest import job, make_job, make_media, media

__all__ = ["job", "make_job", "make_media", "media"]


@pytest.fixture
async def visitor(make_client: MakeClient) -> httpx.AsyncClient:
    """A page nobody is logged in at."""
    return await make_client(None)


LogIn = Callable[[User], Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def log_in(make_client: MakeClient) -> LogIn:
    async def enter(user: User) -> httpx.AsyncClient:
        client = await make_client(None)
        answer = await client.post("/api/auth/login", json={"email": user.email, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {mirrored(answer)['token']}"
        return client

    return enter


@pytest.fixture
async def page(log_in: LogIn, user: User) -> httpx.AsyncClient:
    """A page at which `user` is logged in."""
    return await log_in(user)


def mirrored(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The fields of a success, which stand at the top and below."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body.pop("success") is True
    below = body.pop("data")
    assert below == body
    return body


def refusal(answer: httpx.Response, status: int) -> str:
    """The words of a refusal, the same under every key."""
    assert answer.status_code == status, f"{answer.request.method} {answer.url}: {answer.text}"
    body = answer.json()
    assert body["success"] is False
    assert isinstance(body["error"], str)
    assert body["error"] == body["detail"] == body["message"]
    return str(body["error"])
