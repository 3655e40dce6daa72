"""Dubs assembled from speech that lies in storage, and a job's texts: with ffmpeg, without models."""

from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.jobs import assembling, keys
from orchestrator.jobs.models import Job, JobEvent, Rendition, SegmentRow
from orchestrator.jobs.writing import write_subtitles
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import LANGUAGES, MakeJob

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


async def onsets(make_session: Sessions, job: Job, language: str) -> list[float | None]:
    async with make_session() as session:
        query = sa.select(Rendition).where(Rendition.job_id == job.id, Rendition.language == language)
        return [each.onset for each in (await session.scalars(query.order_by(Rendition.segment))).all()]


async def test_speech_is_placed_at_its_onset_and_behind_speech_that_overflows(dub: Job, make_session: Sessions) -> None:
    for _ in range(2):
        await assembling.place_dub(str(dub.id), "es")
        first, second = await onsets(make_session, dub, "es")
        assert first == 0.5
        assert second is not None
        assert second >= 3.5
    assert await onsets(make_session, dub, "de") == [None, None]


async def test_what_runs_past_its_slot_is_told_by_where_it_lies_not_by_where_it_was_planned(
    dub: Job, make_session: Sessions
) -> None:
    """The second is spoken from 3.5 s on for one second, in a slot of its own of which 0.4 s are left by then."""
    async with make_session.begin() as session:
        planned = sa.update(Rendition).where(Rendition.job_id == dub.id)
        await session.execute(planned.where(Rendition.segment == 0).values(overflow=0.7))
        await session.execute(planned.where(Rendition.segment == 1).values(overflow=0.0))
        second = sa.update(SegmentRow).where(SegmentRow.job_id == dub.id, SegmentRow.index == 1)
        await session.execute(second.values(end=3.9, next_start=3.95, passage=1))
    for _ in range(2):
        await assembling.place_dub(str(dub.id), "es")
        async with make_session() as session:
            query = sa.select(Rendition.overflow).where(Rendition.job_id == dub.id, Rendition.language == "es")
            overflows = (await session.scalars(query.order_by(Rendition.segment))).all()
        assert overflows == pytest.approx([0.55, 0.6])


async def test_a_job_without_speech_is_placed_too(make_job: MakeJob, storage_of_steps: Storage) -> None:
    await assembling.place_dub(str((await make_job()).id), "es")


async def test_a_dub_of_two_languages_is_rendered_and_its_progress_never_starts_again(
    dub: Job, make_session: Sessions, storage_of_steps: Storage, app_settings: Settings
) -> None:
    for language in LANGUAGES:
        await assembling.place_dub(str(dub.id), language)
    texts = await write_subtitles(str(dub.id))
    reached = []
    for language in LANGUAGES:
        (video,) = await assembling.render(str(dub.id), language)
        assert (video["name"], video["content_type"]) == (f"{language}.mp4", "video/mp4")
        assert await storage_of_steps.size(video["storage_key"]) == video["size"] > 0
        async with make_session() as session:
            reached.append((await session.get_one(Job, dub.id)).counts["merging"])
    assert reached == [[29, 100], [76, 100]], "half of a language's time is for listening to it"
    assert sorted(each["name"] for each in texts) == sorted(
        [f"{language}.{suffix}" for language in ("en", *LANGUAGES) for suffix in ("srt", "vtt")]
        + ["transcript.en.json"]
    )
    assert await merged_shares(make_session, dub.id) == sorted(set(await merged_shares(make_session, dub.id)))
    assert list((app_settings.scratch_root / "me").iterdir()) == []


async def merged_shares(make_session: Sessions, job_id: UUID) -> list[int]:
    async with make_session() as session:
        events = await session.scalars(sa.select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
        return [each.data["counts"]["merging"][0] for each in events if "merging" in each.data.get("counts", {})]


async def test_a_cancelled_job_is_not_rendered(dub: Job, make_session: Sessions, storage_of_steps: Storage) -> None:
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).where(Job.id == dub.id).values(status="cancelled"))
    assert await assembling.render(str(dub.id), "es") == []
    assert not await storage_of_steps.exists(keys.artifact(str(dub.id), "es.mp4"))
