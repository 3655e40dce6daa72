"""The API in this process, workers in processes of their own, and the suite's model plane behind a proxy."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.app import create_app
from orchestrator.backends import open_backends
from orchestrator.context import AppContext
from orchestrator.jobs import keys
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.fixtures_control_plane import Bearer
from tests.fixtures_system import SAMPLE
from tests.fixtures_worker import worker_process
from tests.standins.model_proxy import ModelProxy

PATIENCE_S = 120.0
"""How long a test waits for what takes seconds: the machine may be busy."""
ENDED = ("completed", "failed", "cancelled")

Json = dict[str, Any]


@dataclass
class Workshop:
    """Jobs of one user on a database of the test's own. Workers are started by the test."""

    settings: Settings
    engine: AsyncEngine
    storage: Storage
    proxy: ModelProxy
    client: httpx.AsyncClient
    context: AppContext

    @contextmanager
    def worker(
        self, name: str, module: str = "orchestrator.jobs.worker", **variables: str
    ) -> Iterator[subprocess.Popen[str]]:
        """A worker process, once it takes work; killed at the end at the latest.

        It reads no dub back: models whose calls are counted are asked for the dub alone.
        """
        file = self.settings.data_dir / f"{name}.log"
        before = file.stat().st_size if file.exists() else 0
        settings = {
            "OCTAVIA_MODEL_ADDRESS": self.proxy.address,
            "OCTAVIA_MODEL_WAIT_S": "60",
            "OCTAVIA_READ_BACK": "none",
        }
        environment = settings | variables
        with worker_process(self.settings, self.settings.data_dir, name, module, **environment) as process:
            deadline = time.monotonic() + PATIENCE_S
            while "worker ready" not in (log := file.read_text()[before:]):
                assert process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.05)
            yield process

    async def upload(self, file: Path) -> str:
        with file.open("rb") as opened:
            answer = await self.client.post("/v1/media", files={"file": (file.name, opened)})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def start(self, media: str, **request: Any) -> str:
        """A dub of a media's sound into Spanish, or what the request makes of it; the job's id."""
        wish = {"kind": "audio_translation", "source_language": "en", "target_languages": ["es"]} | request
        answer = await self.client.post("/v1/jobs", json={"media_id": media, **wish})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def job(self, job_id: str) -> Json:
        """The job as its owner sees it; asked for again while the database is away."""
        for _ in range(60):
            answer = await self.client.get(f"/v1/jobs/{job_id}")
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.5)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, job_id: str, there: Callable[[Json], bool], seconds: float = PATIENCE_S) -> Json:
        """The job once it is so; AssertionError where it ends or the time is over before."""
        deadline = time.monotonic() + seconds
        while not there(job := await self.job(job_id)):
            assert job["status"] not in ENDED, job
            assert time.monotonic() < deadline, (job, self.logs())
            await asyncio.sleep(0.02)
        return job

    async def finish(self, job_id: str, seconds: float = PATIENCE_S) -> Json:
        return await self.until(job_id, lambda job: job["status"] in ENDED, seconds)

    async def segments(self, job_id: str) -> list[Json]:
        return list((await self.client.get(f"/v1/jobs/{job_id}/segments")).json()["items"])

    async def speech(self, job_id: str) -> dict[int, bytes]:
        """The spoken renditions in storage, by segment."""
        query = sa.text("select segment, audio_key from rendition where job_id = :id and audio_key is not null")
        async with self.engine.connect() as connection:
            rows = (await connection.execute(query, {"id": UUID(job_id)})).all()
        return {row.segment: await self.storage.read(row.audio_key) for row in rows}

    async def until_spoken(self, job_id: str, count: int) -> None:
        """Wait until so many renditions are stored."""
        deadline = time.monotonic() + PATIENCE_S
        while len(await self.speech(job_id)) < count:
            assert time.monotonic() < deadline, self.logs()
            await asyncio.sleep(0.05)

    async def files(self, job_id: str) -> list[Path]:
        """What lies in storage of the job."""
        folder = self.settings.data_dir / "storage" / keys.everything(job_id)
        return [path for path in folder.rglob("*") if path.is_file()]

    async def rows(self, statement: str, **values: Any) -> Sequence[sa.Row[Any]]:
        async with self.engine.begin() as connection:
            return (await connection.execute(sa.text(statement), values)).all()

    def logs(self) -> str:
        return "".join(path.read_text()[-3000:] for path in self.settings.data_dir.glob("*.log"))


def programs_of(process: subprocess.Popen[str], name: str = "ffmpeg") -> list[psutil.Process]:
    """The programs of this name that a worker has running."""
    found = []
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            with_name = Path(child.exe()).name == name and child.status() != psutil.STATUS_ZOMBIE
            found += [child] if with_name else []
    except psutil.NoSuchProcess:
        pass
    return found


@pytest.fixture
def proxy(model_plane: str, answers: dict[str, bytes]) -> Iterator[ModelProxy]:
    """What the models answered in one test is remembered in the next."""
    with ModelProxy(model_plane, answers=answers) as running:
        yield running


@pytest.fixture(scope="session")
def answers() -> dict[str, bytes]:
    return {}


@pytest.fixture
async def workshop(
    app_settings: Settings, engine: AsyncEngine, storage: Storage, proxy: ModelProxy, bearer: Bearer, user: User
) -> AsyncIterator[Workshop]:
    app_settings.data_dir.mkdir(exist_ok=True)
    app_settings.model_address = proxy.address
    app = create_app(app_settings, open_backends)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api", headers=await bearer(user), timeout=60
        ) as client,
    ):
        yield Workshop(app_settings, engine, storage, proxy, client, app.state.context)


@pytest.fixture(scope="session")
def half_minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sound of the sample: 30 seconds in several passages."""
    return _cut(tmp_path_factory.mktemp("sound") / "half_minute.wav")


@pytest.fixture(scope="session")
def eight_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the sample's sound: a single window."""
    return _cut(tmp_path_factory.mktemp("sound") / "eight_seconds.wav", "-t", "8")


def _cut(path: Path, *options: str) -> Path:
    command = [
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-i",
        str(SAMPLE),
        "-vn",
        "-ar",
        "16000",
        *options,
        str(path),
    ]
    subprocess.run(command, check=True)
    return path
