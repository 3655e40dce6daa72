"""Translating and speaking a passage's segments, on the suite's model plane."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from dbos import AsyncSQLAlchemyDatasource
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.inference import Inference
from orchestrator.jobs import context, durable, progress, rows
from orchestrator.jobs.casting import NoVoiceError
from orchestrator.jobs.checks import NoSeparationError
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.speaking import NoTranslationError, check_route, speak_passage, translate_passage
from orchestrator.media.models import Media
from orchestrator.notifications.mailer import OutboxMailer
from orchestrator.settings import Settings
from orchestrator.storage import Storage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def worker(
    model_plane: str, engine: AsyncEngine, database_url: str, tmp_path: Path
) -> AsyncIterator[context.WorkerContext]:
    """The worker's context, as the steps see it."""
    settings = Settings(data_dir=tmp_path, database_url=database_url, model_address=model_plane)
    async with Inference(model_plane, wait_s=30) as models:
        datasource = await AsyncSQLAlchemyDatasource.create(database_url, engine=engine)
        storage, mailer = Storage.in_folder(tmp_path / "storage"), OutboxMailer(tmp_path / "outbox")
        made = context.WorkerContext(
            settings, engine, storage, models, datasource, mailer, durable.api_client(engine.sync_engine)
        )
        context.use(made)
        yield made


async def a_job(
    make_session: async_sessionmaker[AsyncSession], user: User, segments: list[tuple[str, str]], **values: Any
) -> str:
    """A job in its middle: segments of four seconds, each (language, text), all in one passage."""
    async with make_session.begin() as session:
        media = Media(
            user_id=user.id,
            filename="a.mp4",
            kind="video",
            content_type="video/mp4",
            size=1,
            sha256="0" * 64,
            duration=60.0,
            video={},
            audio=[{}],
            storage_key="media/a/source",
        )
        session.add(media)
        await session.flush()
        job = Job(user_id=user.id, media_id=media.id, **{"kind": "subtitles", **values})
        session.add(job)
        await session.flush()
        await progress.start(session, job.id)
        for index, (language, text) in enumerate(segments):
            start = 5.0 * index
            session.add(
                SegmentRow(
                    job_id=job.id,
                    index=index,
                    passage=0,
                    start=start,
                    end=start + 4,
                    next_start=start + 5,
                    language=language,
                    text=text,
                    words=[],
                )
            )
        return str(job.id)


async def renditions(make_session: async_sessionmaker[AsyncSession], job_id: str, language: str) -> list[Rendition]:
    async with make_session() as session:
        return [rendition for _, rendition in await rows.renditions(session, job_id, language)]


async def warnings(make_session: async_sessionmaker[AsyncSession], job_id: str) -> list[str]:
    async with make_session() as session:
        return [each["code"] for each in (await session.get_one(Job, UUID(job_id))).warnings]


async def test_in_a_file_of_several_languages_each_segment_is_translated_from_its_own(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    spoken = [("en", "Thank you very much."), ("es", "Muchas gracias."), ("de", "Vielen Dank.")]
    job_id = await a_job(make_session, user, spoken, target_languages=["de", "en"], detected_language="en")
    for target in ("de", "en"):
        await translate_passage(job_id, target, 0)
    assert [each.text for each in await renditions(make_session, job_id, "de")] == ["Vielen Dank."] * 3
    assert [each.text for each in await renditions(make_session, job_id, "en")] == [
        "Thank you very much.",
        "Thank you very much.",
        "Vielen Dank.",
    ]
    assert await warnings(make_session, job_id) == ["untranslated"]


async def test_text_already_in_the_target_language_has_no_score(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user, [("es", "Muchas gracias.")], target_languages=["es"])
    await translate_passage(job_id, "es", 0)
    (kept,) = await renditions(make_session, job_id, "es")
    assert (kept.text, kept.score) == ("Muchas gracias.", None)


async def test_what_nothing_translates_is_kept_as_text_and_not_spoken(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(
        make_session,
        user,
        [("en", "Thank you very much."), ("de", "Vielen Dank.")],
        kind="video_translation",
        target_languages=["es"],
        detected_language="en",
    )
    await translate_passage(job_id, "es", 0)
    await speak_passage(job_id, "es", 0)
    translated, untranslated = await renditions(make_session, job_id, "es")
    assert translated.audio_key is not None
    assert (untranslated.text, untranslated.audio_key) == ("Vielen Dank.", None)


async def test_a_step_that_runs_twice_leaves_what_it_left_the_first_time(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(
        make_session,
        user,
        [("en", "Thank you very much.")],
        kind="audio_translation",
        target_languages=["es"],
        detected_language="en",
    )
    seen = []
    for _ in range(2):
        await translate_passage(job_id, "es", 0)
        await speak_passage(job_id, "es", 0)
        (only,) = await renditions(make_session, job_id, "es")
        data = await worker.storage.read_range(str(only.audio_key), 0, 2**30)
        seen.append((only.text, only.speed, only.onset, only.seconds, data))
    assert seen[0] == seen[1]


async def test_a_detected_language_that_leads_nowhere_is_refused_with_what_it_leads_to(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user, [], target_languages=["es"], detected_language="de")
    with pytest.raises(NoTranslationError, match="'de' to 'es'"):
        await check_route(job_id, "de", "es")


async def test_a_voice_that_is_not_there_is_refused_and_not_replaced(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(
        make_session,
        user,
        [],
        kind="video_translation",
        target_languages=["es"],
        options={"voice": "es-carlos"},
    )
    with pytest.raises(NoVoiceError, match="es-carlos"):
        await check_route(job_id, "en", "es")


async def test_a_background_that_nothing_can_keep_is_refused_and_not_replaced(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    options = {"mix": "keep_background"}
    job_id = await a_job(
        make_session, user, [], kind="video_translation", target_languages=["es", "en"], options=options
    )
    with pytest.raises(NoSeparationError, match="OCTAVIA_SEPARATE"):
        await check_route(job_id, "en", "es")
    await check_route(job_id, "en", "en")  # the file's own sound is kept: nothing is mixed


async def test_the_voice_is_chosen_once_for_the_whole_job(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user, [], kind="video_translation", target_languages=["es"])
    await check_route(job_id, "en", "es")
    async with make_session() as session:
        assert (await session.get_one(Job, UUID(job_id))).voices == {"es": "en-joe"}
    assert await warnings(make_session, job_id) == ["toy_translation", "stand_in_voice"]


async def test_a_cancelled_job_does_no_more_work(
    worker: context.WorkerContext, make_session: async_sessionmaker[AsyncSession], user: User
) -> None:
    job_id = await a_job(make_session, user, [("en", "Thank you very much.")], target_languages=["es"])
    async with make_session.begin() as session:
        await progress.cancel(session, UUID(job_id))
    await translate_passage(job_id, "es", 0)
    assert await renditions(make_session, job_id, "es") == []
