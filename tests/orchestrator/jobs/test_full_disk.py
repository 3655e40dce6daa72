"""A disk that is full, as a limit of file sizes shows it, and a storage that fails at a byte: under jobs."""

import asyncio
import resource
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator import storage as storage_module
from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.jobs import assembling, context, durable, keys
from orchestrator.jobs.models import Artifact, Job
from orchestrator.media import ffmpeg
from orchestrator.media.failures import MediaError
from orchestrator.media.limits import Limits, bounded
from orchestrator.settings import Settings
from orchestrator.storage import Storage, StorageError
from tests.fixtures_control_plane import QueueStandIn
from tests.fixtures_worker import worker_process
from tests.orchestrator.jobs.conftest import MakeMedia
from tests.standins.forwarder import Forwarder
from tests.standins.s3 import S3

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

PRICE = 10
END_S = 120


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    token = {"polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update={"billing": True, **token})


@pytest.fixture
def queue(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> QueueStandIn:
    """The API's jobs are really enqueued."""
    stand_in = QueueStandIn()
    monkeypatch.setattr(stand_in, "_enqueue", partial(durable.enqueue_job, durable.api_client(engine.sync_engine)))
    return stand_in


async def test_a_worker_on_a_full_disk_fails_the_job_in_clear_words_and_gives_the_credits_back(
    client: httpx.AsyncClient,
    app_settings: Settings,
    user: User,
    make_media: MakeMedia,
    make_session: Sessions,
    storage: Storage,
    clips: Path,
    tmp_path: Path,
) -> None:
    """Six seconds of sound for the models are 192,000 bytes, where ffmpeg may write 100,000."""
    await storage.put_file("media/clip/source", clips / "v.mp4")
    media = await make_media(duration=6.0, storage_key="media/clip/source")
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, PRICE, key="test", reference="test")
    body = {"kind": "video_translation", "media_id": str(media.id), "target_languages": ["es"]}
    job_id = (await client.post("/v1/jobs", json=body)).json()["id"]
    scratch = tmp_path / "scratch"
    variables = {
        "OCTAVIA_STORAGE_URL": f"file://{app_settings.data_dir}/storage",
        "OCTAVIA_SCRATCH_DIR": str(scratch),
        "OCTAVIA_SMTP_PORT": "9",
    }
    with worker_process(app_settings, tmp_path, "small", **variables) as worker:
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        job = await ended(client, job_id)
        files = (path for path in scratch.rglob("*") if path.is_file())
        left = [path for path in files if not path.name.endswith(".lock") and path.name != "alive"]
    assert (job["status"], job["error"]["code"]) == ("failed", "storage_full")
    assert "no space left" in job["error"]["message"]
    assert job["artifacts"] == left == []
    assert await visible(make_session, job_id) == 0
    assert not await storage.exists(keys.speech(job_id))
    async with make_session() as session:
        there = await ledger.balance(session, user.id)
        assert (there.available, there.held) == (PRICE, 0)
        assert [each async for each in disagreements(session)] == []


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(END_S):
        while True:
            job: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).json()
            if job["status"] not in ("pending", "processing"):
                return job
            await asyncio.sleep(0.2)


async def visible(make_session: Sessions, job_id: str) -> int:
    async with make_session() as session:
        query = sa.select(sa.func.count()).select_from(Artifact).where(Artifact.job_id == UUID(job_id))
        return await session.scalar(query) or 0


@pytest.mark.parametrize("largest", [0, 50_000, 400_000])
async def test_ffmpeg_that_may_write_no_more_publishes_nothing_and_renders_later(
    dub: Job,
    storage_of_steps: Storage,
    app_settings: Settings,
    make_session: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    largest: int,
) -> None:
    """The dub's track takes 1.1 megabytes, the whole video less than half."""

    def small(command: list[str], limits: Limits) -> list[str]:
        return bounded(command, replace(limits, file=min(limits.file, largest)))

    await assembling.place_dub(str(dub.id), "es")
    with monkeypatch.context() as patched:
        patched.setattr(ffmpeg, "bounded", small)
        with pytest.raises(MediaError) as caught:
            await assembling.render(str(dub.id), "es")
    assert (caught.value.code, caught.value.status) == ("storage_full", 507)
    await nothing_half_made(storage_of_steps, app_settings, make_session, dub)
    (video,) = await assembling.render(str(dub.id), "es")
    assert await storage_of_steps.size(video["storage_key"]) == video["size"] > 0


async def nothing_half_made(storage: Storage, settings: Settings, make_session: Sessions, job: Job) -> None:
    assert not await storage.exists(keys.artifact(str(job.id), "es.mp4"))
    assert not await storage.exists(keys.artifact(str(job.id), "quality.es.json"))
    assert await visible(make_session, str(job.id)) == 0
    assert list((settings.scratch_root / "me").iterdir()) == []


@pytest.mark.parametrize("byte", [1, 12_000, 40_000])
async def test_a_storage_that_fails_at_a_byte_of_the_result_publishes_nothing_and_takes_it_later(
    dub: Job,
    storage_of_steps: Storage,
    app_settings: Settings,
    make_session: Sessions,
    s3: S3,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    byte: int,
) -> None:
    monkeypatch.setitem(storage_module.RETRIES, "max_retries", 2)
    folder = app_settings.data_dir / "storage"
    settings = Settings(storage_url=f"s3://{bucket}/files")
    whole = Storage.from_settings(settings)
    for path in [each for each in folder.rglob("*") if each.is_file()]:
        await whole.put_file(path.relative_to(folder).as_posix(), path)
    await assembling.place_dub(str(dub.id), "es")
    with Forwarder(s3.address, down_at=byte) as line:
        for name, value in s3.environment(line.address).items():
            monkeypatch.setenv(name, value)
        context.use(replace(context.current(), storage=Storage.from_settings(settings)))
        with pytest.raises(StorageError):
            await assembling.render(str(dub.id), "es")
        await nothing_half_made(whole, app_settings, make_session, dub)
        line.mend()
        (video,) = await assembling.render(str(dub.id), "es")
    assert await whole.size(video["storage_key"]) == video["size"] > byte
