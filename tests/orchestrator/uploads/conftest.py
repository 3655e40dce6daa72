"""A small client of the tus protocol that shows every answer, and what is stored behind the API."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from orchestrator.uploads.sweeper import Net
from tests.fixtures_control_plane import Bearer

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> dict[str, str]:
    """The header Upload-Metadata."""
    pairs = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


@dataclass(frozen=True)
class Tus:
    """Requests of the protocol, each with the headers it needs; `more` changes them."""

    client: httpx.AsyncClient

    async def begin(self, length: int, name: str = "clip.mp4", **more: str) -> httpx.Response:
        headers = {**TUS, "Upload-Length": str(length), **metadata(filename=name), **more}
        return await self.client.post("/v1/uploads", headers=headers)

    async def url(self, length: int, name: str = "clip.mp4") -> str:
        """The path of a new upload."""
        answer = await self.begin(length, name)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    async def head(self, url: str) -> httpx.Response:
        return await self.client.head(url, headers=TUS)

    async def offset(self, url: str) -> int:
        return int((await self.head(url)).headers["Upload-Offset"])

    async def patch(self, url: str, offset: int, content: bytes | AsyncIterator[bytes], **more: str) -> httpx.Response:
        return await self.client.patch(url, headers={**BYTES, "Upload-Offset": str(offset), **more}, content=content)

    async def delete(self, url: str) -> httpx.Response:
        return await self.client.delete(url, headers=TUS)


@pytest.fixture
def tus(client: httpx.AsyncClient) -> Tus:
    return Tus(client)


@pytest.fixture
def live_tus(live: httpx.AsyncClient) -> Tus:
    """As `tus`, over a real connection."""
    return Tus(live)


@pytest.fixture
async def token(user: User, bearer: Bearer) -> str:
    """An access token of `user`, for clients of their own."""
    return (await bearer(user))["Authorization"].partition(" ")[2]


@pytest.fixture
def stored(app_settings: Settings) -> Callable[[], list[str]]:
    """What lies in the storage of this test's API, by path."""
    folder = app_settings.data_dir / "storage"

    def paths() -> list[str]:
        return sorted(Path(path).relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    return paths


@pytest.fixture
def net(app_settings: Settings, make_session: async_sessionmaker[AsyncSession], storage: Storage) -> Net:
    """What the sweeper works with."""
    return Net(app_settings, make_session, storage, asyncio.Semaphore(1))
