"""What other public backends' tests expect of these routes, as far as it breaks nobody's security."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from orchestrator.settings import Settings
from tests.orchestrator.billing.payloads import STARTER
from tests.orchestrator.jobs.conftest import MakeJob
from tests.orchestrator.octavia_web.conftest import mirrored, refusal
from tests.standins.polar import PolarStandIn

pytestmark = pytest.mark.anyio

BAD = "nonexistent-job-id"


@pytest.fixture
async def polar() -> AsyncIterator[PolarStandIn]:
    async with PolarStandIn(time_scale=0.001) as standin:
        standin.add_product(STARTER.name, STARTER.price_cents, id_=str(STARTER.product_id))
        yield standin


@pytest.fixture
def app_settings(app_settings: Settings, polar: PolarStandIn) -> Settings:
    selling = {
        "demo_account": True,
        "billing": True,
        "polar_url": polar.url,
        "polar_access_token": SecretStr(polar.token),
        "polar_webhook_secrets": [SecretStr(polar.secret)],
        "packages": (STARTER,),
    }
    return app_settings.model_copy(update=selling)


@pytest.fixture
async def demo(visitor: httpx.AsyncClient) -> httpx.AsyncClient:
    """A page at which the demo account is logged in; whatever JSON comes with the request is ignored."""
    answer = await visitor.post("/api/auth/demo-login", json={"email": "demo@octavia.com", "password": "demo123"})
    visitor.headers["Authorization"] = f"Bearer {mirrored(answer)['token']}"
    return visitor


PUBLIC = (
    "/",
    "/api/health",
    "/api/metrics",
    "/api/voices/all",
    "/api/voices/en",
    "/api/voices/es",
    "/api/payments/packages",
    "/docs",
    "/redoc",
)

WITHOUT_A_TOKEN: tuple[tuple[str, str, set[int]], ...] = (
    ("GET", "/api/user/profile", {401, 403}),
    ("GET", "/api/user/credits", {401, 403}),
    ("GET", f"/api/jobs/{BAD}/status", {403}),
    ("GET", f"/api/progress/{BAD}", {401, 403, 404}),
    ("GET", f"/api/download/video/{BAD}", {403}),
    ("GET", f"/api/download/audio/{BAD}", {403}),
    ("GET", f"/api/download/subtitles/{BAD}", {403}),
    ("GET", f"/api/download/subtitle-audio/{BAD}", {403}),
    ("GET", f"/api/download/{BAD}", {403, 404}),
    ("POST", "/api/translate/video", {400, 403, 422}),
    ("POST", "/api/translate/video/enhanced", {401, 403}),
    ("POST", "/api/translate/audio", {400, 403}),
    ("POST", "/api/translate/subtitles", {401, 403}),
    ("POST", "/api/translate/subtitle-file", {401, 403}),
    ("POST", "/api/generate/subtitle-audio", {401, 403}),
)


async def test_what_anybody_may_see(visitor: httpx.AsyncClient) -> None:
    assert {path: (await visitor.get(path)).status_code for path in PUBLIC} == dict.fromkeys(PUBLIC, 200)


async def test_without_a_token(visitor: httpx.AsyncClient) -> None:
    for method, path, statuses in WITHOUT_A_TOKEN:
        files = {"file": ("notes.txt", b"text", "text/plain")} if method == "POST" else None
        for sent in (None, files):
            answer = await visitor.request(method, path, files=sent)
            assert answer.status_code in statuses, path
            assert "Authentication" in refusal(answer, answer.status_code)


async def test_the_front(visitor: httpx.AsyncClient) -> None:
    health = mirrored(await visitor.get("/api/health"))
    assert (health["status"], health["service"]) == ("healthy", "Octavia Video Translator")
    assert {"version", "models", "status_indicators"} <= set(health)
    front = mirrored(await visitor.get("/"))
    assert (front["service"], bool(front["endpoints"])) == ("Octavia Video Translator", True)


async def test_a_language_without_voices(visitor: httpx.AsyncClient) -> None:
    body = (await visitor.get("/api/voices/xyz")).json()
    assert body["success"] is False
    assert "not supported" in body["error"]


async def test_the_demo_and_its_money(demo: httpx.AsyncClient) -> None:
    profile = mirrored(await demo.get("/api/user/profile"))
    assert profile["user"]["email"] == "demo@octavia.com"
    credits = mirrored(await demo.get("/api/user/credits"))
    assert (credits["credits"], credits["email"]) == (5000, "demo@octavia.com")
    packages = (await demo.get("/api/payments/packages")).json()["packages"]
    assert {name: packages["starter_credits"][name] for name in ("credits", "price")} == {"credits": 100, "price": 999}
    bought = mirrored(await demo.post("/api/payments/create-session", json={"package_id": "starter_credits"}))
    assert bought["session_id"]
    assert isinstance((await demo.get("/api/payments/transactions")).json()["transactions"], list)


FORMS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("/api/translate/subtitles", "v.mp4", {"language": "en", "format": "srt"}),
    ("/api/translate/video", "v.mp4", {"target_language": "es"}),
    ("/api/translate/video/enhanced", "v.mp4", {"target_language": "es", "chunk_size": "30"}),
    ("/api/translate/audio", "a.mp3", {"source_lang": "en", "target_lang": "es"}),
)


@pytest.mark.parametrize(("path", "file", "fields"), FORMS)
async def test_a_job_by_form_fields(
    demo: httpx.AsyncClient, clips: Any, path: str, file: str, fields: dict[str, str]
) -> None:
    answer = await demo.post(path, files={"file": (file, (clips / file).read_bytes())}, data=fields)
    started = mirrored(answer)
    view = (await demo.get(f"/api/translate/jobs/{started['job_id']}/status")).json()
    assert view["data"]["status"] in {"pending", "processing"}
    assert {"status", "progress", "status_message", "download_url"} <= set(view["data"])
    assert isinstance(view["created_at"], str)
    history = (await demo.get("/api/translate/jobs/history")).json()
    assert history["total"] == 1
    assert [each["id"] for each in history["jobs"]] == [started["job_id"]]


async def test_a_text_is_no_sound(demo: httpx.AsyncClient) -> None:
    sent = {"file": ("test.txt", b"not audio at all, but text", "text/plain")}
    answer = await demo.post("/api/translate/audio", files=sent, data={"target_lang": "es"})
    assert "invalid" in refusal(answer, 400)


async def test_a_language_nobody_knows(demo: httpx.AsyncClient, clips: Any) -> None:
    sent = {"file": ("v.mp4", (clips / "v.mp4").read_bytes())}
    refusal(await demo.post("/api/translate/subtitles", files=sent, data={"language": "invalid_lang"}), 400)


async def test_the_download_address_by_a_links_last_two_parts(
    page: httpx.AsyncClient, make_job: MakeJob, visitor: httpx.AsyncClient
) -> None:
    job = await make_job()
    for kind in ("video", "audio", "subtitles", "subtitle-audio"):
        refusal(await page.get(f"/api/translate/download/{kind}/{job.id}"), 404)
        refusal(await visitor.get(f"/api/translate/download/{kind}/{job.id}"), 403)
