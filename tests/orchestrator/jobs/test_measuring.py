"""Reports of finished dubs: with ffmpeg and storage, and models that are away or answer as they are told."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.capabilities import Capabilities
from orchestrator.dubbing.metering import Readings
from orchestrator.inference import Heard, Inference, ModelRefusedError, Rating
from orchestrator.jobs import assembling, keys, listening, measuring
from orchestrator.jobs.assembling import dub_of
from orchestrator.jobs.context import current
from orchestrator.jobs.metering import dumps
from orchestrator.jobs.models import Job, JobSpeaker, Rendition, SegmentRow
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import MakeJob, MakeMedia

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
Samples = Any


@pytest.fixture
async def finished(dub: Job) -> Job:
    """A dub that is put together."""
    await assembling.place_dub(str(dub.id), "es")
    await assembling.render(str(dub.id), "es")
    return dub


async def report_of(storage: Storage, job: Job, language: str = "es") -> tuple[dict[str, Any], str]:
    data, shown = await measuring.measure(str(job.id), language)
    assert (data["kind"], data["name"], data["content_type"]) == (
        "quality_report",
        f"quality.{language}.json",
        "application/json",
    )
    assert (shown["name"], shown["content_type"]) == (f"quality.{language}.html", "text/html; charset=utf-8")
    report = json.loads(await storage.read_range(data["storage_key"], 0, data["size"]))
    return report, (await storage.read_range(shown["storage_key"], 0, shown["size"])).decode()


async def job_now(make_session: Sessions, job: Job) -> Job:
    async with make_session() as session:
        return await session.get_one(Job, job.id)


async def change(make_session: Sessions, job: Job, **values: Any) -> None:
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).where(Job.id == job.id).values(**values))


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the models' client answer by these functions."""

    def let(**methods: Any) -> None:
        for name, method in methods.items():
            monkeypatch.setattr(Inference, name, method)

    return let


async def hears_everything(_: Inference, **__: Any) -> Capabilities:
    return Capabilities(frozenset({"es"}), (), ())


async def serves_it(_: Inference, model: str, wait_s: float) -> None:
    del model, wait_s


async def test_a_dub_is_measured_though_no_model_answers(
    finished: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    report, page = await report_of(storage_of_steps, finished)
    assert report["language"] == "es"
    assert report["fit"]["segments"] == 2
    assert report["fit"]["max_onset_error_s"] == 0.5
    assert report["loudness"]["integrated_lufs"] == pytest.approx(-16, abs=1)
    assert report["loudness"]["true_peak_dbtp"] <= -1
    levels = report["loudness"]["short_term"]["lufs"]
    assert len(levels) == pytest.approx(6, abs=1)
    assert max(level for level in levels if level is not None) > -20
    assert report["transcript"]["mean_probability"] == 0.9
    assert report["not_measured"] == {
        "read_back": "its model did not answer",
        "speech_quality": "its model did not answer",
        "speaker_similarity": "no voice was cloned",
    }
    assert "Sense and Sensibility.mp4" in page
    shown = (await job_now(make_session, finished)).quality["es"]
    assert (shown["segments"], shown["inside_slot_percent"]) == (2, 50.0)
    assert {warning["code"] for warning in shown["warnings"]} == {warning["code"] for warning in report["warnings"]}
    again, _ = await report_of(storage_of_steps, finished)
    assert again == report
    assert await storage_of_steps.exists(keys.readings(str(finished.id), "es"))


async def test_speech_pushed_out_of_its_slot_by_what_is_before_it_is_not_told_as_inside(
    finished: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    """Whatever was noted when it was spoken: it begins at 3.5 s and its slot ends at 3.9 s."""
    async with make_session.begin() as session:
        second = sa.update(SegmentRow).where(SegmentRow.job_id == finished.id, SegmentRow.index == 1)
        await session.execute(second.values(end=3.9, next_start=3.95))
        await session.execute(sa.update(Rendition).values(overflow=0.0))
    report, _ = await report_of(storage_of_steps, finished)
    assert [each["overflow_s"] for each in report["segments"]] == [0.55, 0.6]
    assert (report["fit"]["inside_slot_percent"], report["fit"]["overflow_s"]) == (0.0, 1.15)


async def test_what_was_metered_is_not_metered_again_unless_the_dub_is_made_anew(
    finished: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    key = keys.readings(str(finished.id), "es")
    await storage_of_steps.put_bytes(key, dumps(Readings.of([(-30.0, -31.0, -9.0)] * 60)))
    report, _ = await report_of(storage_of_steps, finished)
    assert report["loudness"]["integrated_lufs"] == -30.0
    assert set(report["loudness"]["short_term"]["lufs"]) == {-31.0}
    await storage_of_steps.put_bytes(key, b"cut off")
    report, _ = await report_of(storage_of_steps, finished)
    assert report["loudness"]["integrated_lufs"] == pytest.approx(-16, abs=1)
    await change(make_session, finished, rendered={})
    await storage_of_steps.put_bytes(key, dumps(Readings.of([(-30.0, -31.0, -9.0)] * 60)))
    await assembling.render(str(finished.id), "es")
    report, _ = await report_of(storage_of_steps, finished)
    assert report["loudness"]["integrated_lufs"] == pytest.approx(-16, abs=1)


async def test_what_models_hear_and_rate_is_in_the_report(
    finished: Job, storage_of_steps: Storage, answering: Callable[..., None]
) -> None:
    lengths: list[float] = []

    async def transcribe(_: Inference, audio: Samples, language: str, wait_s: float) -> Heard:
        lengths.append(len(audio) / 16_000)
        return Heard("es zero" if len(lengths) == 1 else "es uno", language, 1.0, ())

    async def speech_quality(_: Inference, audio: Samples, wait_s: float) -> Rating:
        return Rating(3.0, 4.0, 2.0, 3.5)

    rated = {"insist_on": serves_it, "speech_quality": speech_quality}
    answering(capabilities=hears_everything, transcribe=transcribe, **rated)
    report, page = await report_of(storage_of_steps, finished)
    assert report["read_back"]["segments"] == report["read_back"]["of_segments"] == 2
    assert report["read_back"]["error_percent"] == 50.0
    assert sorted(lengths) == pytest.approx([1.2, 3.2], abs=0.05)
    assert report["speech_quality"] == {
        "overall": 2.0,
        "signal": 3.0,
        "background": 4.0,
        "p808": 3.5,
        "stretches": 2,
    }
    assert {"hard_to_understand", "poor_speech"} <= {warning["code"] for warning in report["warnings"]}
    assert "es zero" in page


@pytest.mark.parametrize(("asked", "setting", "how"), [
    (None, "sample", "sample"),
    (None, "none", "none"),
    (True, "none", "full"),
    (False, "full", "none"),
])  # fmt: skip
async def test_the_job_decides_about_reading_back_before_the_setting_does(
    finished: Job, monkeypatch: pytest.MonkeyPatch, asked: bool | None, setting: str, how: str
) -> None:
    monkeypatch.setattr(current().settings, "read_back", setting)
    finished.options = {"read_back": asked}
    assert measuring.how_read_back(finished) == how


@pytest.mark.parametrize(("asked", "setting", "reason"), [
    (None, "sample", "regenerated"),
    (None, "none", "not_asked"),
    (False, "sample", "not_asked"),
])  # fmt: skip
async def test_what_was_read_back_the_first_time_is_told_not_to_be_again(
    finished: Job, monkeypatch: pytest.MonkeyPatch, asked: bool | None, setting: str, reason: str
) -> None:
    monkeypatch.setattr(current().settings, "read_back", setting)
    dub = await dub_of(str(finished.id), "es")
    dub.job.options, dub.job.regenerates = {"read_back": asked}, uuid4()
    with TemporaryDirectory() as folder:
        sound = listening.Sound(Path(folder) / "none.mp4", Path(folder))
        how = measuring.how_read_back(dub.job)
        assert await listening.read_back(dub, "es", sound, how) == reason


async def test_a_model_that_is_not_served_is_told_as_not_installed(
    finished: Job, storage_of_steps: Storage, answering: Callable[..., None], make_session: Sessions
) -> None:
    async def absent(_: Inference, model: str, wait_s: float) -> None:
        raise ModelRefusedError(model, "it is not served", is_absent=True)

    async def deaf(_: Inference, **__: Any) -> Capabilities:
        return Capabilities(frozenset({"en"}), (), ())

    answering(insist_on=absent, capabilities=deaf)
    report, _ = await report_of(storage_of_steps, finished)
    assert report["not_measured"]["speech_quality"] == "no model for it is installed"
    assert report["not_measured"]["read_back"] == "no model understands this language"
    await change(make_session, finished, options={"read_back": False})
    report, _ = await report_of(storage_of_steps, finished)
    assert report["not_measured"]["read_back"] == "it was not asked for"


async def test_cloned_voices_are_compared_with_their_speakers(
    finished: Job, make_session: Sessions, storage_of_steps: Storage, answering: Callable[..., None]
) -> None:
    async def embedding(_: Inference, audio: Samples, wait_s: float) -> Samples:
        return np.eye(256, dtype=np.float32)[0] if np.any(audio) else np.ones(256, np.float32) / 16

    answering(speaker_embedding=embedding)
    await storage_of_steps.put_bytes(keys.speech(str(finished.id)), bytes(6 * 32_000))
    async with make_session.begin() as session:
        clip = {"key": "clip", "rate": 48_000, "spans": [[0.5, 2.0]]}
        session.add(JobSpeaker(job_id=finished.id, name="", seconds=3.0, reference=clip))
        session.add(JobSpeaker(job_id=finished.id, name="SPEAKER_01", seconds=3.0))
    report, _ = await report_of(storage_of_steps, finished)
    assert report["speaker_similarity"] == {"lowest": 0.062, "speakers": [{"speaker": None, "similarity": 0.062}]}
    assert "unlike_voice" in {warning["code"] for warning in report["warnings"]}


async def test_a_dub_in_which_nobody_speaks_keeps_the_originals_sound_and_has_a_report(
    finished: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    async with make_session.begin() as session:
        await session.execute(sa.delete(Rendition))
        await session.execute(sa.delete(SegmentRow))
    report, page = await report_of(storage_of_steps, finished)
    assert report["fit"]["segments"] == 0
    assert report["loudness"] is None
    assert report["not_measured"] == {
        "loudness": "the original's sound was kept as it is",
        "transcript": "nothing is spoken",
        "read_back": "nothing is spoken",
        "speech_quality": "nothing is spoken",
        "speaker_similarity": "no voice was cloned",
    }
    assert "Nothing to complain of" in page


async def test_a_silent_result_is_warned_of(
    make_job: MakeJob, make_media: MakeMedia, storage_of_steps: Storage, make_session: Sessions
) -> None:
    media = await make_media(kind="subtitles", duration=2.0, video=None, audio=[], storage_key="media/s/source")
    await storage_of_steps.put_bytes("media/s/source", b"1\n00:00:00,000 --> 00:00:02,000\n(music)\n")
    job = await make_job(kind="subtitle_to_audio", source_language="es", media_id=media.id)
    await assembling.render(str(job.id), "es")
    report, _ = await report_of(storage_of_steps, job)
    assert report["loudness"]["silent"] is True
    assert [warning["code"] for warning in report["warnings"]] == ["silent"]
    assert report["not_measured"]["transcript"] == "the texts were given, not heard"


async def test_hostile_texts_are_reported(finished: Job, make_session: Sessions, storage_of_steps: Storage) -> None:
    texts = ["<script>alert(1)</script>\u202e שלום 😀", "x" * 2000]
    async with make_session.begin() as session:
        for index, text in enumerate(texts):
            await session.execute(sa.update(Rendition).where(Rendition.segment == index).values(text=text))
            await session.execute(sa.update(SegmentRow).where(SegmentRow.index == index).values(text=text))
    report, page = await report_of(storage_of_steps, finished)
    assert {each["text"] for each in report["transcript"]["lowest"]} == {*texts}
    assert "<script" not in page
    assert "&lt;script&gt;" in page


async def test_jobs_that_ended_or_give_no_speech_have_no_report(
    finished: Job, make_job: MakeJob, make_session: Sessions, storage_of_steps: Storage
) -> None:
    assert await measuring.measure(str((await make_job(kind="subtitles")).id), "es") == []
    await change(make_session, finished, status="cancelled")
    assert await measuring.measure(str(finished.id), "es") == []
    assert not await storage_of_steps.exists(keys.artifact(str(finished.id), "quality.es.json"))


def test_stretches_to_be_rated_are_spread_over_the_dub() -> None:
    assert listening._spread(100, 5) == [10, 30, 50, 70, 90]
    assert listening._spread(2, 5) == [0, 1]
