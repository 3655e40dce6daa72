"""How files end: when their time is over, and when their owner wants it; from the storage, not from the lists alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.jobs import keys, progress
from orchestrator.jobs.models import Job
from orchestrator.jobs.sweeper import sweep
from orchestrator.retention.rules import kept_for
from orchestrator.settings import Settings
from orchestrator.storage import Storage, StorageError
from tests.fixtures_control_plane import MakeClient

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


async def never(workflow_id: str) -> None:
    raise AssertionError(f"workflow {workflow_id} was cancelled")


async def pass_time(engine: AsyncEngine, hours: float) -> None:
    """Move every time of media and jobs into the past, as if so many hours had gone by."""
    columns = {"media": ("created_at", "expires_at"), "job": ("created_at", "started_at", "finished_at", "expires_at")}
    async with engine.begin() as connection:
        for table, names in columns.items():
            moved = ", ".join(f"{name} = {name} - make_interval(mins => :minutes)" for name in names)
            await connection.execute(sa.text(f"update {table} set {moved}"), {"minutes": int(hours * 60)})  # noqa: S608


async def upload(client: httpx.AsyncClient, clips: Path, name: str = "a.mp3") -> dict[str, Any]:
    with (clips / name).open("rb") as file:
        answer = await client.post("/v1/media", files={"file": (name, file)})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def ask(client: httpx.AsyncClient, media_id: str, key: str | None = None, kind: str = "audio_translation") -> Any:
    wish = {"kind": kind, "media_id": media_id, "target_languages": ["es"]}
    return await client.post("/v1/jobs", json=wish, headers={"Idempotency-Key": key} if key else None)


async def complete(make_session: Sessions, storage: Storage, job_id: UUID) -> None:
    """Finish a job with a result in storage."""
    stored = await storage.put_bytes(keys.artifact(str(job_id), "es.mp3"), b"sound")
    file = {"name": "es.mp3", "kind": "audio", "language": "es", "content_type": "audio/mpeg"}
    said = {**file, "size": stored.size, "sha256": stored.sha256, "storage_key": keys.artifact(str(job_id), "es.mp3")}
    async with make_session.begin() as session:
        await progress.start(session, job_id)
        assert await progress.complete(session, job_id, [said])


async def end_workflows(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("update dbos.workflow_status set status = 'SUCCESS'"))


def files(settings: Settings) -> list[str]:
    """Everything that lies in the storage."""
    root = settings.data_dir / "storage"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_the_end_is_announced_from_the_beginning(client: httpx.AsyncClient, clips: Path) -> None:
    media = await upload(client, clips)
    left = datetime.fromisoformat(media["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    rules = {each["what"]: each["hours"] for each in (await client.get("/v1/retention")).json()["items"]}
    assert (rules["upload"], rules["audio_translation"], rules["video_translation"]) == (24.0, 24.0, 720.0)


def test_a_setting_changes_how_long() -> None:
    settings = Settings.model_validate({"retention_hours": {"audio_translation": 48}})
    assert kept_for("audio_translation", settings.retention_hours) == timedelta(hours=48)
    assert kept_for("upload", settings.retention_hours) == timedelta(hours=24)


async def test_results_and_upload_end_at_their_times_and_the_storage_is_empty(
    client: httpx.AsyncClient,
    clips: Path,
    engine: AsyncEngine,
    make_session: Sessions,
    storage: Storage,
    app_settings: Settings,
) -> None:
    media = await upload(client, clips)
    job_id = UUID((await ask(client, media["id"])).json()["id"])
    await complete(make_session, storage, job_id)
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    kept = datetime.fromisoformat(job["expires_at"]) - datetime.fromisoformat(job["finished_at"])
    assert timedelta(0) <= kept - timedelta(hours=24) < timedelta(minutes=1), "the clock is read for each of them"
    assert job["artifacts"][0]["expires_at"] == job["expires_at"]
    link = (await client.post(f"/v1/jobs/{job_id}/artifacts/es.mp3/link")).json()["url"]
    await pass_time(engine, 23.9)
    await sweep(engine, storage, never)
    assert (await client.get(f"/v1/jobs/{job_id}/artifacts/es.mp3")).content == b"sound"
    assert len(files(app_settings)) == 2
    await pass_time(engine, 0.2)
    await sweep(engine, storage, never)
    await sweep(engine, storage, never)
    assert files(app_settings) == []
    gone = await client.get(f"/v1/jobs/{job_id}/artifacts/es.mp3")
    assert (gone.status_code, gone.json()["code"]) == (410, "expired")
    assert "Run the job again" in gone.json()["detail"]
    assert (await client.get(link)).status_code == 410
    assert (await client.post(f"/v1/jobs/{job_id}/artifacts/es.mp3/link")).status_code == 410
    assert (await client.get(f"/api/download/{job_id}")).status_code == 410
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["available"] is False
    again = await ask(client, media["id"])
    assert (again.status_code, "Upload it again" in again.json()["detail"]) == (410, True)


async def test_a_video_translation_is_kept_for_thirty_days(
    engine: AsyncEngine, make_session: Sessions, job: Job, storage: Storage, app_settings: Settings
) -> None:
    await complete(make_session, storage, job.id)
    for hours, there in ((719, True), (2, False)):
        await pass_time(engine, hours)
        await sweep(engine, storage, never)
        assert bool(files(app_settings)) is there


async def test_an_upload_stays_while_a_job_needs_it(
    client: httpx.AsyncClient, clips: Path, engine: AsyncEngine, storage: Storage, app_settings: Settings
) -> None:
    media = await upload(client, clips)
    await ask(client, media["id"])
    async with engine.begin() as connection:
        await connection.execute(sa.text("update media set expires_at = now() - interval '1 day'"))
    await sweep(engine, storage, never)
    assert len(files(app_settings)) == 1
    assert (await client.get(f"/v1/media/{media['id']}")).status_code == 200


async def test_a_media_is_deleted_now_but_not_under_a_job(
    client: httpx.AsyncClient, clips: Path, app_settings: Settings
) -> None:
    media = await upload(client, clips)
    job_id = (await ask(client, media["id"])).json()["id"]
    refused = await client.delete(f"/v1/media/{media['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "media_in_use")
    assert job_id in refused.json()["detail"]
    await client.post(f"/v1/jobs/{job_id}/cancel")
    assert (await client.delete(f"/v1/media/{media['id']}")).status_code == 204
    assert files(app_settings) == []
    assert (await client.get(f"/v1/media/{media['id']}")).status_code == 404
    assert (await client.delete(f"/v1/media/{media['id']}")).status_code == 404
    assert (await client.get("/v1/media")).json()["items"] == []


async def test_a_running_job_is_cancelled_before_it_is_deleted(
    client: httpx.AsyncClient, job: Job, storage: Storage, app_settings: Settings
) -> None:
    await storage.put_bytes(keys.speech(str(job.id)), b"1")
    refused = await client.delete(f"/v1/jobs/{job.id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_open")
    assert "Cancel it first" in refused.json()["detail"]
    await client.post(f"/v1/jobs/{job.id}/cancel")
    assert (await client.delete(f"/v1/jobs/{job.id}")).status_code == 204
    assert files(app_settings) == []
    assert (await client.get(f"/v1/jobs/{job.id}")).status_code == 404
    assert (await client.get("/v1/jobs")).json()["items"] == []


async def test_a_deletion_that_the_storage_refuses_is_done_later(
    client: httpx.AsyncClient,
    clips: Path,
    engine: AsyncEngine,
    storage: Storage,
    app_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media = await upload(client, clips)

    async def away(*_: object) -> None:
        raise StorageError("The storage does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", away)
        assert (await client.delete(f"/v1/media/{media['id']}")).status_code == 202
    assert (await client.get(f"/v1/media/{media['id']}")).status_code == 404
    assert len(files(app_settings)) == 1
    await sweep(engine, storage, never)
    assert files(app_settings) == []


async def test_what_was_deleted_leaves_room_for_more(
    client: httpx.AsyncClient, clips: Path, app_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = await upload(client, clips)
    monkeypatch.setattr(app_settings, "user_storage_bytes", media["size"] + 10)
    with (clips / "a.mp3").open("rb") as file:
        assert (await client.post("/v1/media", files={"file": ("b.mp3", file)})).status_code >= 400
    assert (await client.delete(f"/v1/media/{media['id']}")).status_code == 204
    await upload(client, clips)


async def test_of_a_job_and_a_deletion_at_once_one_wins(client: httpx.AsyncClient, clips: Path) -> None:
    for _ in range(5):
        media = await upload(client, clips)
        asked, deleted = await asyncio.gather(ask(client, media["id"]), client.delete(f"/v1/media/{media['id']}"))
        assert (asked.status_code, deleted.status_code) in {(201, 409), (404, 204), (410, 204)}


async def test_the_key_of_a_deleted_job_makes_no_other(client: httpx.AsyncClient, clips: Path) -> None:
    media = await upload(client, clips)
    first = await ask(client, media["id"], "once")
    assert (await ask(client, media["id"], "once")).json()["id"] == first.json()["id"]
    assert (await ask(client, media["id"], "once", "subtitles")).json()["code"] == "idempotency_key_reused"
    await client.post(f"/v1/jobs/{first.json()['id']}/cancel")
    await client.delete(f"/v1/jobs/{first.json()['id']}")
    again = await ask(client, media["id"], "once")
    assert (again.status_code, again.json()["code"]) == (410, "job_deleted")


async def test_of_two_with_one_key_at_once_one_makes_the_job(client: httpx.AsyncClient, clips: Path) -> None:
    media = await upload(client, clips)
    answers = await asyncio.gather(*(ask(client, media["id"], "once") for _ in range(6)))
    assert sorted(each.status_code for each in answers) == [200] * 5 + [201]
    assert len({each.json()["id"] for each in answers}) == 1


async def test_pages_that_send_a_form_twice_with_a_key_get_one_job(
    client: httpx.AsyncClient, clips: Path, make_client: MakeClient, app_settings: Settings
) -> None:
    async def send(target: str) -> httpx.Response:
        with (clips / "a.mp3").open("rb") as file:
            return await client.post(
                "/api/translate/audio",
                files={"file": ("a.mp3", file)},
                data={"source_lang": "en", "target_lang": target},
                headers={"Idempotency-Key": "form"},
            )

    first, second, other = await send("es"), await send("es"), await send("de")
    assert first.status_code == 200, first.text
    assert first.json()["job_id"] == second.json()["job_id"]
    assert other.status_code == 409
    assert len(files(app_settings)) == 1
