"""Starting jobs as the pages do: one form with the file and the choices."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media
from orchestrator.octavia_web.orders import AUDIO, SUBTITLE_AUDIO, SUBTITLES, VIDEO, Form, request_of
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.fixtures_control_plane import QueueStandIn
from tests.orchestrator.octavia_web.conftest import mirrored, refusal

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

SRT = b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n2\n00:00:03,000 --> 00:00:04,000\nGoodbye.\n"


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    selling = {"billing": True, "polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update=selling)


@pytest.fixture
async def rich(make_session: Sessions, user: User) -> None:
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 100, key="gift", reference="test")


async def post(page: httpx.AsyncClient, path: str, name: str, content: bytes, **fields: str) -> httpx.Response:
    return await page.post(path, files={"file": (name, content, "application/octet-stream")}, data=fields)


async def only_job(make_session: Sessions) -> Job:
    async with make_session() as session:
        return (await session.scalars(sa.select(Job))).one()


@pytest.mark.parametrize(
    ("path", "file", "fields", "kind", "source", "target", "left"),
    [
        ("/api/translate/video", "v.mp4", {"target_language": "es"}, "video_translation", None, ["es"], 90),
        (
            "/api/translate/video/enhanced",
            "v.mp4",
            {"target_language": "Spanish", "chunk_size": "10"},
            "video_translation",
            None,
            ["es"],
            90,
        ),
        (
            "/api/translate/audio",
            "a.mp3",
            {"source_lang": "en", "target_lang": "es"},
            "audio_translation",
            "en",
            ["es"],
            90,
        ),
        ("/api/translate/subtitles?language=es&format=vtt", "v.mp4", {}, "subtitles", None, ["es"], 99),
        ("/api/translate/subtitles", "a.mp3", {"language": "auto", "format": "srt"}, "subtitles", None, [], 99),
    ],
)
async def test_a_form_becomes_a_job(
    page: httpx.AsyncClient,
    clips: Path,
    make_session: Sessions,
    queue: QueueStandIn,
    user: User,
    rich: None,
    path: str,
    file: str,
    fields: dict[str, str],
    kind: str,
    source: str | None,
    target: list[str],
    left: int,
) -> None:
    answer = mirrored(await post(page, path, file, (clips / file).read_bytes(), **fields))
    job = await only_job(make_session)
    assert (answer["job_id"], answer["remaining_credits"]) == (str(job.id), left)
    assert (job.kind, job.source_language, job.target_languages) == (kind, source, target)
    assert queue.enqueued == [(job.id, user.id)]
    assert mirrored(await page.get("/api/user/profile"))["user"]["credits"] == left


async def test_subtitles_are_spoken_with_the_voice_and_format_chosen(
    page: httpx.AsyncClient, make_session: Sessions, rich: None
) -> None:
    fields = {"source_language": "en", "target_language": "es", "voice": "lola", "output_format": "wav"}
    answer = mirrored(await post(page, "/api/generate/subtitle-audio", "cues.srt", SRT, **fields))
    job = await only_job(make_session)
    assert (job.kind, job.target_languages, job.credits) == ("subtitle_to_audio", ["es"], 5)
    assert (job.options["voice"], job.options["format"]) == ("lola", "wav")
    assert answer["type"] == "subtitle_to_audio"


async def test_a_translated_subtitle_file_is_done_when_the_post_answers(
    page: httpx.AsyncClient, make_session: Sessions, storage: Storage, queue: QueueStandIn, rich: None
) -> None:
    enqueued = queue.enqueued.append

    class Worker(list[tuple[UUID, UUID]]):
        """Does at once what is enqueued."""

        def append(self, job: tuple[UUID, UUID]) -> None:
            enqueued(job)
            working.append(job[0])

    working: list[UUID] = []
    queue.enqueued = Worker()

    async def work() -> None:
        while not working:  # noqa: ASYNC110  (the request enqueues it)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        (job_id,) = working
        key = f"jobs/{job_id}/artifacts/es.srt"
        stored = await storage.put_bytes(key, SRT)
        file = {"kind": "subtitles", "language": "es", "name": "es.srt", "content_type": "application/x-subrip"}
        async with make_session.begin() as session:
            await progress.start(session, job_id)
            row = {**file, "storage_key": key, "size": stored.size, "sha256": stored.sha256}
            assert await progress.complete(session, job_id, [row])

    path = "/api/translate/subtitle-file?sourceLanguage=en&targetLanguage=es&format=srt"
    answer, _ = await asyncio.gather(post(page, path, "cues.srt", SRT), work())
    fields = mirrored(answer)
    assert (fields["status"], fields["progress"], fields["remaining_credits"]) == ("completed", 100, 95)
    assert fields["download_url"] == f"/api/translate/download/subtitles/{fields['job_id']}"
    assert (await page.get(fields["download_url"])).content == SRT
    assert mirrored(await page.get(f"/api/translate/subtitles/review/{fields['job_id']}"))["content"] == SRT.decode()


async def test_a_subtitle_file_that_cannot_be_translated_is_said_so_and_paid_back(
    page: httpx.AsyncClient, make_session: Sessions, queue: QueueStandIn, rich: None
) -> None:
    async def fail() -> None:
        while not queue.enqueued:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        async with make_session.begin() as session:
            await progress.fail(session, queue.enqueued[0][0], "models_unavailable", "The models do not answer.")

    path = "/api/translate/subtitle-file?sourceLanguage=en&targetLanguage=es"
    answer, _ = await asyncio.gather(post(page, path, "cues.srt", SRT), fail())
    assert refusal(answer, 422) == "The models do not answer."
    assert mirrored(await page.get("/api/user/profile"))["user"]["credits"] == 100


async def nothing_stays(make_session: Sessions, app_settings: Settings) -> None:
    async with make_session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Media)) == 0
        assert await session.scalar(sa.select(sa.func.count()).select_from(Job)) == 0
    assert [each for each in (app_settings.data_dir / "storage").rglob("*") if each.is_file()] == []


BAD: list[tuple[str, str, dict[str, str], int, str]] = [
    ("/api/translate/audio", "notes.txt", {"target_lang": "es"}, 400, "nvalid"),
    ("/api/translate/video", "a.mp3", {"target_language": "es"}, 400, "nvalid file"),
    ("/api/translate/video", "cues.srt", {"target_language": "es"}, 400, "nvalid file"),
    ("/api/generate/subtitle-audio", "a.mp3", {"target_language": "es"}, 400, "nvalid file"),
    ("/api/translate/video", "silent.mp4", {"target_language": "es"}, 400, "no audio"),
    ("/api/translate/video", "v.mp4", {}, 400, "language"),
    ("/api/translate/video", "v.mp4", {"target_language": "auto"}, 400, "language"),
    ("/api/translate/video", "v.mp4", {"target_language": "klingon tongue"}, 400, "klingon tongue"),
    ("/api/translate/video", "v.mp4", {"target_language": "ar"}, 400, "no translation"),
    ("/api/translate/audio", "a.mp3", {"source_lang": "en", "target_lang": "pt-BR"}, 400, "voice"),
    ("/api/translate/subtitles", "v.mp4", {"language": "xx"}, 400, "xx"),
    ("/api/translate/subtitles", "v.mp4", {"language": "es", "format": "pdf"}, 400, "srt, vtt, ass"),
]


@pytest.mark.parametrize(("path", "file", "fields", "status", "words"), BAD, ids=lambda each: str(each)[-25:])
async def test_what_cannot_be_done_is_refused_in_words_and_leaves_nothing(
    page: httpx.AsyncClient,
    clips: Path,
    make_session: Sessions,
    app_settings: Settings,
    rich: None,
    path: str,
    file: str,
    fields: dict[str, str],
    status: int,
    words: str,
) -> None:
    own = {"notes.txt": b"These are just notes.\n" * 20, "cues.srt": SRT}
    content = own[file] if file in own else (clips / file).read_bytes()
    assert words in refusal(await post(page, path, file, content, **fields), status)
    await nothing_stays(make_session, app_settings)
    assert mirrored(await page.get("/api/user/profile"))["user"]["credits"] == 100


@pytest.mark.parametrize(
    "path",
    ["/api/translate/video", "/api/translate/audio", "/api/translate/subtitle-file", "/api/generate/subtitle-audio"],
)
async def test_who_has_too_few_credits_is_told_before_the_file_is_read(page: httpx.AsyncClient, path: str) -> None:
    read = 0

    async def body() -> Any:
        nonlocal read
        for _ in range(200):
            read += 1
            yield b"x" * 1_000_000

    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "200000000"}
    answer = await page.post(path, content=body(), headers=headers)
    assert "credits" in refusal(answer, 402)
    assert read < 5


async def test_a_file_that_announces_to_be_too_large_is_refused_with_400(page: httpx.AsyncClient, rich: None) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(600 * 2**20)}
    assert "too large" in refusal(await page.post("/api/translate/video", content=b"", headers=headers), 400)


async def test_a_form_without_a_file_or_a_login(
    page: httpx.AsyncClient, visitor: httpx.AsyncClient, rich: None
) -> None:
    answer = await page.post("/api/translate/video", files={"other": b"x"}, data={"target_language": "es"})
    assert "no file" in refusal(answer, 400)
    refusal(await page.post("/api/translate/video", json={"target_language": "es"}), 400)
    refusal(await visitor.post("/api/translate/video", files={"file": b"x"}), 403)


@pytest.mark.parametrize(
    ("form", "given", "wanted"),
    [
        (VIDEO, {"target_language": "zh-cn"}, {"target_languages": ["zh"], "source_language": None, "options": {}}),
        (
            AUDIO,
            {"target_lang": "French", "source_lang": "auto"},
            {"target_languages": ["fr"], "source_language": None},
        ),
        (SUBTITLES, {"language": "es", "format": "ASS"}, {"options": {"formats": ["srt", "ass"]}}),
        (SUBTITLES, {"language": "es", "format": "srt"}, {"options": {"formats": ["srt"]}}),
        (SUBTITLE_AUDIO, {"voice": "Aria (Female)", "target_language": "es"}, {"options": {}}),
        (SUBTITLE_AUDIO, {"voice": "lola", "targetLanguage": "es"}, {"options": {"voice": "lola"}}),
    ],
)
def test_a_forms_fields_in_every_spelling(form: Form, given: dict[str, str], wanted: dict[str, Any]) -> None:
    found = request_of(form, given, frozenset({"lola"}))
    assert found == found | wanted
