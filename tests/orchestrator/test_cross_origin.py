"""Which pages may call the API from a browser, and what they get to see."""

import httpx
import pytest

from orchestrator.cross_origin import origin_of
from orchestrator.settings import Settings

pytestmark = pytest.mark.anyio

BETA = "https://beta.example.org"


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    return app_settings.model_copy(update={"web_url": "https://octavia.example/app", "web_origins": [BETA + "/"]})


async def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}
    return await client.options("/v1/jobs", headers={"Origin": origin, **asked})


@pytest.mark.parametrize("origin", ["https://octavia.example", BETA])
async def test_pages_of_the_frontend_may_call(client: httpx.AsyncClient, origin: str) -> None:
    answer = await preflight(client, origin)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://octavia.example", "https://octavia.example:8443", "null"]
)
async def test_other_pages_may_not(client: httpx.AsyncClient, origin: str) -> None:
    answer = await preflight(client, origin)
    assert answer.status_code == 400
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Origin" not in (await client.get("/v1/me", headers={"Origin": origin})).headers


async def test_a_refusal_can_be_read_by_the_page_too(client: httpx.AsyncClient) -> None:
    headers = {"Origin": "https://octavia.example", "Authorization": "Bearer wrong"}
    answer = await client.get("/v1/me", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "https://octavia.example"
    assert "Content-Disposition" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://octavia.example:443/app/", "https://octavia.example"),
        ("http://octavia.example:80", "http://octavia.example"),
        ("https://Octavia.Example/x?y", "https://octavia.example"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
    ],
)
def test_origin_of(url: str, origin: str) -> None:
    assert origin_of(url) == origin
