"""Jobs as the pages read, list, cancel, watch and download them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedOK

from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import MakeJob
from tests.orchestrator.octavia_web.conftest import mirrored, refusal

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

STATUS_ROUTES = (
    "/api/translate/jobs/{id}/status",
    "/api/jobs/{id}/status",
    "/api/generate/subtitle-audio/status/{id}",
    "/api/translate/subtitle-status/{id}",
    "/api/progress/{id}",
)
DOWNLOAD_ROUTES = (
    "/api/download/video/{id}",
    "/api/download/audio/{id}",
    "/api/download/subtitle-audio/{id}",
    "/api/generate/subtitle-audio/download/{id}",
    "/api/translate/download/video/{id}",
    "/api/download/{id}",
)
SUBTITLE_ROUTES = (
    "/api/translate/download/subtitles/{id}",
    "/api/download/subtitles/{id}",
    "/api/download/translated-subtitle/{id}",
)
SRT = "1\n00:00:01,000 --> 00:00:02,000\nHola.\n\n2\n00:00:03,000 --> 00:00:04,000\nAdiós.\n"
Finish = Callable[..., Awaitable[None]]


@pytest.fixture
def finish(storage: Storage, make_session: Sessions) -> Finish:
    """Completes a job with files: name -> (kind, language, content type, content)."""

    async def done(job: Job, **files: tuple[str, str | None, str, bytes]) -> None:
        rows: list[dict[str, Any]] = []
        for name, (kind, language, content_type, content) in files.items():
            key = f"jobs/{job.id}/artifacts/{name}"
            stored = await storage.put_bytes(key, content)
            row = {"kind": kind, "language": language, "name": name.replace("_", "."), "content_type": content_type}
            rows.append({**row, "storage_key": key, "size": stored.size, "sha256": stored.sha256})
        async with make_session.begin() as session:
            assert await progress.complete(session, job.id, rows)

    return done


DUB = {
    "dub_es_mp4": ("video", "es", "video/mp4", b"the dub"),
    "subtitles_en_srt": ("subtitles", "en", "application/x-subrip", b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n"),
    "subtitles_es_vtt": ("subtitles", "es", "text/vtt", b"WEBVTT\n"),
    "subtitles_es_srt": ("subtitles", "es", "application/x-subrip", SRT.encode()),
}


@pytest.mark.parametrize("route", STATUS_ROUTES)
async def test_one_shape_under_every_address(
    page: httpx.AsyncClient, job: Job, make_session: Sessions, route: str
) -> None:
    async with make_session.begin() as session:
        await progress.record(session, job.id, stage="transcribing", progress=20, counts={"transcribing": [3, 12]})
    fields = mirrored(await page.get(route.format(id=job.id)))
    assert (fields["job_id"], fields["id"], fields["type"]) == (str(job.id), str(job.id), "video")
    assert (fields["status"], fields["progress"]) == ("processing", 36)
    assert fields["status_message"] == fields["message"] == "Transcribing: 3 of 12 windows"
    lines = ["Waiting for a free place", "Started", "Transcribing: 3 of 12 windows"]
    assert [line["message"] for line in fields["logs"]] == lines
    assert [line["timestamp"] for line in fields["logs"]] == sorted(line["timestamp"] for line in fields["logs"])
    assert (fields["total_chunks"], fields["processed_chunks"], fields["chunks_processed"]) == (12, 3, 3)
    assert (fields["target_language"], fields["source_language"]) == ("es", "auto")
    assert fields["download_url"] is None
    assert fields["error"] is None
    assert fields["original_filename"] == "Sense and Sensibility.mp4"


async def test_a_failed_job_is_a_success_that_says_why(
    page: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    async with make_session.begin() as session:
        await progress.fail(session, job.id, "no_voice", "There is no voice for 'es'.")
    fields = mirrored(await page.get(f"/api/jobs/{job.id}/status"))
    assert (fields["status"], fields["error"]) == ("failed", "There is no voice for 'es'.")


@pytest.mark.parametrize("route", DOWNLOAD_ROUTES)
async def test_the_main_file_under_every_address(page: httpx.AsyncClient, job: Job, finish: Finish, route: str) -> None:
    early = await page.get(route.format(id=job.id))
    assert "processing" in refusal(early, 404)
    await finish(job, **DUB)
    answer = await page.get(route.format(id=job.id))
    assert (answer.status_code, answer.content) == (200, b"the dub")
    assert answer.headers["Content-Type"] == "video/mp4"
    assert 'filename="Sense and Sensibility.dub.es.mp4"' in answer.headers["Content-Disposition"]


@pytest.mark.parametrize("route", SUBTITLE_ROUTES)
async def test_the_target_languages_subtitles_under_every_address(
    page: httpx.AsyncClient, job: Job, finish: Finish, route: str
) -> None:
    await finish(job, **DUB)
    assert (await page.get(route.format(id=job.id))).text == SRT


async def test_the_review_is_always_srt(page: httpx.AsyncClient, make_job: MakeJob, finish: Finish) -> None:
    job = await make_job(kind="subtitles")
    assert "processing" in refusal(await page.get(f"/api/translate/subtitles/review/{job.id}"), 404)
    await finish(job, **{name: file for name, file in DUB.items() if file[0] == "subtitles"})
    fields = mirrored(await page.get(f"/api/translate/subtitles/review/{job.id}"))
    assert (fields["content"], fields["language"], fields["segment_count"]) == (SRT, "es", 2)
    assert fields["download_url"] == f"http://api/api/translate/download/subtitles/{job.id}"
    status = mirrored(await page.get(f"/api/jobs/{job.id}/status"))
    assert status["download_url"] == fields["download_url"]


async def test_download_links_are_relative_where_pages_put_the_server_before_them(
    page: httpx.AsyncClient, job: Job, finish: Finish
) -> None:
    await finish(job, **DUB)
    fields = mirrored(await page.get(f"/api/jobs/{job.id}/status"))
    assert (fields["status"], fields["progress"]) == ("completed", 100)
    assert fields["download_url"] == f"/api/download/video/{job.id}"
    assert (await page.get(fields["download_url"])).content == b"the dub"


async def test_history_has_the_newest_first_and_no_waiting_subtitles(
    page: httpx.AsyncClient, make_job: MakeJob
) -> None:
    first = await make_job(kind="audio_translation")
    second = await make_job(kind="subtitles", started=False, target_languages=[], source_language="en")
    fields = mirrored(await page.get("/api/translate/jobs/history"))
    assert [each["id"] for each in fields["jobs"]] == [str(second.id), str(first.id)]
    assert [each["type"] for each in fields["jobs"]] == ["subtitles", "audio"]
    assert [each["status"] for each in fields["jobs"]] == ["processing", "processing"]
    assert fields["total"] == 2
    for each in fields["jobs"]:
        assert isinstance(each["created_at"], str)
        assert isinstance(each["processing_time_seconds"], float)


async def test_cancelling_says_what_the_job_is_then(page: httpx.AsyncClient, job: Job) -> None:
    assert mirrored(await page.post(f"/api/cancel/{job.id}"))["status"] == "cancelled"
    assert "cancelled already" in refusal(await page.post(f"/api/cancel/{job.id}"), 409)


@pytest.mark.parametrize(
    "route", [*STATUS_ROUTES, *DOWNLOAD_ROUTES, *SUBTITLE_ROUTES, "/api/translate/subtitles/review/{id}"]
)
async def test_strangers_and_unknown_ids_get_the_same_answer(
    stranger: httpx.AsyncClient, visitor: httpx.AsyncClient, job: Job, route: str
) -> None:
    said = [refusal(await stranger.get(route.format(id=id_)), 404).replace(str(id_), "") for id_ in (job.id, uuid4())]
    assert said[0] == said[1]
    refusal(await visitor.get(route.format(id=job.id)), 403)
    refusal(await stranger.get(route.format(id="not-an-id")), 400)


def watch(server: str, job_id: UUID) -> connect:
    return connect(f"{server.replace('http', 'ws', 1)}/ws/progress/{job_id}")


async def told(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(30):
        found: dict[str, Any] = json.loads(await socket.recv())
    return found


async def test_a_socket_tells_the_job_until_it_ends_and_nothing_of_the_media(
    server: str, job: Job, make_session: Sessions, finish: Finish
) -> None:
    async with watch(server, job.id) as socket:
        first = await told(socket)
        assert (first["status"], first["progress"]) == ("processing", 0)
        assert "original_filename" not in first
        async with make_session.begin() as session:
            await progress.record(session, job.id, stage="transcribing", progress=20, counts={"transcribing": [3, 12]})
        assert (await told(socket))["progress"] == 36
        await finish(job, **DUB)
        last = await told(socket)
        assert (last["status"], last["progress"]) == ("completed", 100)
        assert last["download_url"] == f"/api/download/video/{job.id}"
        with pytest.raises(ConnectionClosedOK):
            await told(socket)


async def test_a_socket_of_no_job_says_so(server: str) -> None:
    async with watch(server, uuid4()) as socket:
        assert "no job" in (await told(socket))["error"]


async def test_a_socket_whose_page_has_gone_is_let_go(server: str, job: Job, application: FastAPI) -> None:
    waiting = application.state.context.news._waiting
    async with watch(server, job.id) as socket:
        await told(socket)
        assert waiting
    async with asyncio.timeout(30):
        while waiting:  # noqa: ASYNC110  (another task of the same process empties it)
            await asyncio.sleep(0.05)
