"""The whole way with nothing left out: the API, its durable queue, a worker process, and a real mail server."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from orchestrator.app import create_app
from orchestrator.backends import open_backends
from orchestrator.settings import Settings
from tests.fixtures_worker import worker_process
from tests.orchestrator.accounts.conftest import PASSWORD, bearer, sign_up_form
from tests.standins.smtp import SmtpServer

pytestmark = pytest.mark.anyio

EMAIL = "marianne@example.org"
LIMIT_S = 60
WEB = "https://octavia.example"


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture
def settings(app_settings: Settings, server: SmtpServer) -> Settings:
    update = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "model_address": "127.0.0.1:1"}
    return app_settings.model_copy(update=update)


@pytest.fixture
async def api(settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API on its real queue, and a worker."""
    app = create_app(settings, open_backends)
    with worker_process(settings, tmp_path, "worker", OCTAVIA_WEB_URL=WEB):
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
        ):
            yield client


async def mail_number(server: SmtpServer, number: int) -> EmailMessage:
    """The mail the server took as its number-th."""
    deadline = time.monotonic() + LIMIT_S
    while len(server.received) < number:
        assert time.monotonic() < deadline, "no mail came"
        await asyncio.sleep(0.1)
    return server.received[number - 1].message


def link_in(message: EmailMessage, page: str) -> str:
    """The token of the link, which stands in both parts of the message."""
    assert message.get_content_type() == "multipart/alternative"
    found = set()
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        (link,) = set(re.findall(rf"{WEB}/{page}\?token=[\w-]+", part.get_content()))
        found.add(parse_qs(urlsplit(link).query)["token"][0])
    (token,) = found
    return str(token)


async def test_sign_up_verification_and_reset_by_real_mail(api: httpx.AsyncClient, server: SmtpServer) -> None:
    assert (await api.post("/v1/auth/sign-up", json=sign_up_form(EMAIL))).status_code == 202
    welcome = await mail_number(server, 1)
    assert welcome["To"] == EMAIL
    assert "Marianne" in welcome.as_string()
    login = await api.post("/v1/auth/verify", json={"token": link_in(welcome, "verify-email")})
    assert login.status_code == 200
    me = await api.get("/v1/me", headers=bearer(login.json()["access_token"]))
    assert me.json()["email"] == EMAIL

    assert (await api.post("/v1/auth/sign-up", json=sign_up_form(EMAIL))).status_code == 202
    known = await mail_number(server, 2)
    assert "token=" not in known.as_string()

    await api.post("/v1/auth/forgot-password", json={"email": EMAIL})
    token = link_in(await mail_number(server, 3), "reset-password")
    new = {"token": token, "password": "a cottage in devonshire"}
    assert (await api.post("/v1/auth/reset-password", json=new)).status_code == 204
    await mail_number(server, 4)
    old, fresh = [
        await api.post("/v1/auth/login", json={"email": EMAIL, "password": password})
        for password in (PASSWORD, new["password"])
    ]
    assert (old.status_code, fresh.status_code) == (401, 200)
    assert len(server.received) == 4
