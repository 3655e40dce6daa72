"""Download links: they open one file for a while without a login, and nothing else, and not for ever."""

import random
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.app import create_app
from orchestrator.jobs import progress
from orchestrator.jobs.models import Artifact, Job
from orchestrator.settings import Settings
from orchestrator.signed_links import LinkExpiredError, LinkInvalidError, check, link_keys, signature
from orchestrator.storage import Storage
from tests.fixtures_control_plane import MakeClient, QueueStandIn

pytestmark = pytest.mark.anyio

CONTENT = random.Random(1).randbytes(300_000)
NAME = "dub.es.mp4"


@pytest.fixture
async def path(job: Job, storage: Storage, make_session: async_sessionmaker[AsyncSession]) -> str:
    """Of a completed job's dub."""
    key = f"jobs/{job.id}/artifacts/{NAME}"
    stored = await storage.put_bytes(key, CONTENT)
    artifact = {"kind": "video", "language": "es", "name": NAME, "content_type": "video/mp4", "storage_key": key}
    async with make_session.begin() as session:
        await progress.complete(session, job.id, [{**artifact, "size": stored.size, "sha256": stored.sha256}])
    return f"/v1/jobs/{job.id}/artifacts/{NAME}"


@pytest.fixture
async def nobody(make_client: MakeClient) -> httpx.AsyncClient:
    """A client without a login."""
    return await make_client(None)


async def link(client: httpx.AsyncClient, path: str, **wish: int) -> str:
    answer = await client.post(f"{path}/link", json=wish)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"])


def changed(url: str, **values: object) -> str:
    query = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
    return url.partition("?")[0] + "?" + urlencode(query | values)


async def test_a_link_opens_its_file_without_a_login(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, path: str
) -> None:
    answer = await client.post(f"{path}/link")
    url, expires_at = answer.json()["url"], datetime.fromisoformat(answer.json()["expires_at"])
    assert url.startswith("http://api/v1/downloads/")
    assert timedelta(minutes=59) < expires_at - datetime.now(UTC) <= timedelta(minutes=60)
    there, own = await nobody.get(url), await client.get(path)
    assert (there.status_code, there.content) == (200, CONTENT)
    names = ("Content-Type", "Content-Length", "ETag", "Content-Disposition", "Accept-Ranges", "Cache-Control")
    assert [there.headers[name] for name in names] == [own.headers[name] for name in names]
    assert 'filename="Sense and Sensibility.dub.es.mp4"' in there.headers["Content-Disposition"]
    head = await nobody.head(url)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(CONTENT)))


async def test_a_link_knows_ranges_and_tags(client: httpx.AsyncClient, nobody: httpx.AsyncClient, path: str) -> None:
    url = await link(client, path)
    part = await nobody.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, CONTENT[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(CONTENT)}"
    assert (await nobody.get(url, headers={"If-None-Match": part.headers["ETag"]})).status_code == 304
    assert (await nobody.get(url, headers={"Range": "bytes=300000-"})).status_code == 416


async def test_a_link_ends(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, path: str, job: Job, app_settings: Settings
) -> None:
    assert (await nobody.get(await link(client, path, seconds=30))).status_code == 200
    past = int(datetime.now(UTC).timestamp()) - 1
    signed = signature(link_keys(app_settings)[0], f"{job.id}/{NAME}", past)
    answer = await nobody.get(f"/v1/downloads/{job.id}/{NAME}", params={"expires": past, "signature": signed})
    assert (answer.status_code, answer.json()["code"]) == (410, "link_expired")
    assert "new one" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("seconds", "code"), [(3601, "link_too_long"), (0, "invalid_request"), (-5, "invalid_request")]
)
async def test_a_link_cannot_be_had_for_longer_than_the_setting(
    client: httpx.AsyncClient, path: str, seconds: int, code: str
) -> None:
    answer = await client.post(f"{path}/link", json={"seconds": seconds})
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_changed_link_opens_nothing(client: httpx.AsyncClient, nobody: httpx.AsyncClient, path: str) -> None:
    url = await link(client, path)
    signed = parse_qs(urlsplit(url).query)["signature"][0]
    later = int(parse_qs(urlsplit(url).query)["expires"][0]) + 3600
    flipped = ("0" if signed[0] != "0" else "1") + signed[1:]
    for other in (
        changed(url, expires=later),
        changed(url, signature=flipped),
        changed(url, signature="0" * 64),
        url.replace(NAME, "other.mp4"),
    ):
        answer = await nobody.get(other)
        assert (answer.status_code, answer.json()["code"]) == (403, "link_invalid"), other
    for other in (changed(url, signature="x"), changed(url, expires="soon"), url.partition("?")[0]):
        assert (await nobody.get(other)).status_code == 422


async def test_a_link_ends_with_its_file(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, path: str, make_session: async_sessionmaker[AsyncSession]
) -> None:
    url = await link(client, path)
    async with make_session.begin() as session:
        await session.execute(sa.delete(Artifact))
    answer = await nobody.get(url)
    assert (answer.status_code, answer.json()["code"]) == (410, "link_revoked")


@pytest.mark.parametrize("status", ["deleted", "disabled"])
async def test_a_link_ends_with_its_account(
    client: httpx.AsyncClient,
    nobody: httpx.AsyncClient,
    path: str,
    make_session: async_sessionmaker[AsyncSession],
    status: str,
) -> None:
    url = await link(client, path)
    gone = datetime.now(UTC) if status == "deleted" else None
    async with make_session.begin() as session:
        await session.execute(sa.update(User).values(status=status, deleted_at=gone))
    answer = await nobody.get(url)
    assert (answer.status_code, answer.json()["code"]) == (410, "link_revoked")


async def test_a_link_whose_object_is_lost_says_so(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, path: str, job: Job, storage: Storage
) -> None:
    url = await link(client, path)
    await storage.delete(f"jobs/{job.id}/artifacts/{NAME}")
    answer = await nobody.get(url)
    assert (answer.status_code, answer.json()["code"]) == (404, "object_missing")


async def test_nobody_makes_links_to_a_strangers_file(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.post(f"{path}/link")).status_code == 404
    assert (await stranger.post(f"{path.replace(NAME, 'none.mp4')}/link")).status_code == 404


async def test_links_lead_to_the_public_address(client: httpx.AsyncClient, path: str, app_settings: Settings) -> None:
    app_settings.public_url = "https://api.octavia.example/base/"
    assert (await link(client, path)).startswith("https://api.octavia.example/base/v1/downloads/")


async def test_a_link_outlives_the_rotation_of_its_key(
    client: httpx.AsyncClient, path: str, app_settings: Settings, queue: QueueStandIn
) -> None:
    url = await link(client, path)
    old = app_settings.signing_key()
    for previous, status in (([SecretStr(old)], 200), ([], 403)):
        rotated = {"jwt_secret": SecretStr("n" * 40), "jwt_previous_secrets": previous}
        app = create_app(app_settings.model_copy(update=rotated), queue.open)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as other:
            assert (await other.get(url)).status_code == status


async def test_names_of_any_script_go_through_a_link(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, path: str, make_session: async_sessionmaker[AsyncSession]
) -> None:
    name = "дубляж 50% & more?.mp4"
    async with make_session.begin() as session:
        await session.execute(sa.update(Artifact).values(name=name))
    url = await link(client, path.replace(NAME, quote(name)))
    answer = await nobody.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "%D0%B4" in answer.headers["Content-Disposition"]


def test_keys_of_links_are_not_those_of_tokens(app_settings: Settings) -> None:
    assert link_keys(app_settings)[0] != app_settings.signing_key().encode()


@given(st.text(max_size=50), st.integers(0, 2**40), st.text(max_size=70))
def test_no_other_signature_is_accepted(path: str, expires: int, given_: str) -> None:
    key, now = b"k" * 32, datetime(2026, 1, 1, tzinfo=UTC)
    right = signature(key, path, expires)
    if given_ != right:
        with pytest.raises(LinkInvalidError):
            check([key], path, expires, given_, now)
    if expires > now.timestamp():
        check([b"other", key], path, expires, right, now)
    else:
        with pytest.raises(LinkExpiredError):
            check([key], path, expires, right, now)
