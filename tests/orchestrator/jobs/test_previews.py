"""Passages that can be heard before a dub is completed: how many, as what, and until when."""

import io
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import sqlalchemy as sa

from orchestrator.dubbing.mix import RATE
from orchestrator.jobs import keys, previews, progress
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import Sessions

pytestmark = pytest.mark.anyio

Speak = Callable[..., Awaitable[None]]
ONSETS = (0.5, 2.0)
"""Of a passage's two segments, from its beginning on; the first is longer than that by a second."""
SECONDS = (2.5, 1.0)


@pytest.fixture
def speak(make_session: Sessions, storage: Storage) -> Speak:
    """Give a job passages of ten seconds with two segments each, of which so many are spoken in a language."""

    async def make(job: Job, passages: int, spoken: int, language: str = "es", heard: bool = True) -> None:
        async with make_session.begin() as session:
            for index in range(2 * passages):
                passage, part = divmod(index, 2)
                onset = 10.0 * passage + ONSETS[part]
                if heard:
                    session.add(segment(job.id, index, passage, onset))
                    await session.flush()
                session.add(rendition := Rendition(job_id=job.id, language=language, segment=index, text="Hola."))
                if passage < spoken:
                    rendition.onset, rendition.seconds = onset, SECONDS[part]
                    rendition.audio_key = keys.rendition(str(job.id), language, index)
                    await storage.put_bytes(rendition.audio_key, wav(0.1 * (part + 1), SECONDS[part]))

    return make


def segment(job_id: UUID, index: int, passage: int, start: float) -> SegmentRow:
    words = [{"text": text, "probability": value} for text, value in (("Hel", 0.9), ("lo.", 0.5))]
    text = {"language": "en", "text": "Hello.", "words": words if index else []}
    return SegmentRow(
        job_id=job_id, index=index, passage=passage, start=start, end=start + 1, next_start=start + 1, **text
    )


def wav(level: float, seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(round(seconds * RATE), level, np.float32), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def heard(data: bytes) -> npt.NDArray[np.float32]:
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == RATE
    return np.asarray(samples, np.float32)


@pytest.mark.parametrize(
    ("passages", "share", "there"),
    [(1, 0.2, 1), (4, 0.2, 1), (5, 0.2, 1), (9, 0.2, 1), (10, 0.2, 2), (1000, 0.2, 200), (10, 1.0, 10), (10, 0.0, 0)],
)
def test_the_share_is_rounded_down_and_one_at_least(passages: int, share: float, there: int) -> None:
    assert previews.offered(passages, share) == there


async def test_spoken_passages_of_the_first_fifth_are_listed_by_language(
    job: Job, speak: Speak, client: httpx.AsyncClient
) -> None:
    await speak(job, passages=10, spoken=5)
    await speak(job, passages=10, spoken=1, language="de", heard=False)
    answer = (await client.get(f"/v1/jobs/{job.id}/previews")).json()
    assert answer["share"] == 0.2
    assert [(each["language"], each["passage"]) for each in answer["items"]] == [("de", 0), ("es", 0), ("es", 1)]
    assert answer["items"][2] == {"language": "es", "passage": 1, "start": 10.5, "end": 13.0, "seconds": 2.5}


async def test_a_passage_is_as_sure_as_its_words_were_heard(job: Job, speak: Speak, make_session: Sessions) -> None:
    await speak(job, passages=5, spoken=5)
    async with make_session() as session:
        (preview,) = await previews.listed(session, job, 0.2)
    assert preview.confidence == pytest.approx(0.7)


async def test_a_job_of_which_nothing_is_heard_yet_has_none(job: Job, client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/jobs/{job.id}/previews")).json()["items"] == []


async def test_a_passage_sounds_as_the_dub_will(job: Job, speak: Speak, client: httpx.AsyncClient) -> None:
    await speak(job, passages=5, spoken=5)
    answer = await client.get(f"/v1/jobs/{job.id}/previews/es/0")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/wav")
    samples = heard(answer.content)
    assert len(samples) == round(sum(SECONDS) * RATE), "the second speaks when the first is done"
    middle = [samples[round(at * RATE)] for at in (1.0, 2.0, 3.0)]
    assert np.allclose(middle, [0.1, 0.1, 0.2], atol=0.01)


async def test_a_player_may_ask_for_a_part(job: Job, speak: Speak, client: httpx.AsyncClient) -> None:
    await speak(job, passages=5, spoken=5)
    url = f"/v1/jobs/{job.id}/previews/es/0"
    whole = await client.get(url)
    part = await client.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.content)}"
    again = await client.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await client.head(url)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(whole.content)))
    assert (await client.get(url, headers={"Range": "bytes=99999999-"})).status_code == 416


@pytest.mark.parametrize(("language", "passage"), [("es", 1), ("es", 9), ("es", 10), ("de", 0), ("xx", 0)])
async def test_beyond_the_share_or_not_yet_spoken_there_is_nothing(
    job: Job, speak: Speak, client: httpx.AsyncClient, language: str, passage: int
) -> None:
    await speak(job, passages=9, spoken=9)
    answer = await client.get(f"/v1/jobs/{job.id}/previews/{language}/{passage}")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_preview")
    assert "20%" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["es/-1", "es/first", "es/99999999999", "e.s/0"])
async def test_what_names_no_passage_is_refused(job: Job, client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/v1/jobs/{job.id}/previews/{path}")).status_code == 422


async def test_where_they_are_turned_off_there_are_none(
    job: Job, speak: Speak, client: httpx.AsyncClient, app_settings: Settings
) -> None:
    app_settings.preview_share = 0
    await speak(job, passages=9, spoken=9)
    assert (await client.get(f"/v1/jobs/{job.id}/previews")).json()["items"] == []
    assert (await client.get(f"/v1/jobs/{job.id}/previews/es/0")).status_code == 404


async def end(make_session: Sessions, job: Job, status: str) -> None:
    async with make_session.begin() as session:
        match status:
            case "failed":
                await progress.fail(session, job.id, "internal", "no")
            case "cancelled":
                await progress.cancel(session, job.id)
            case "completed":
                await progress.complete(session, job.id, [])


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_that_gave_its_credits_back_is_heard_no_more(
    job: Job, speak: Speak, client: httpx.AsyncClient, make_session: Sessions, status: str
) -> None:
    await speak(job, passages=9, spoken=9)
    await end(make_session, job, status)
    for path in ("", "/es/0"):
        answer = await client.get(f"/v1/jobs/{job.id}/previews{path}")
        assert (answer.status_code, answer.json()["code"]) == (410, "previews_withdrawn")
        assert status in answer.json()["detail"]


async def test_a_completed_job_is_heard_whole_until_its_results_are_deleted(
    job: Job, speak: Speak, client: httpx.AsyncClient, make_session: Sessions
) -> None:
    await speak(job, passages=9, spoken=9)
    await end(make_session, job, "completed")
    assert len((await client.get(f"/v1/jobs/{job.id}/previews")).json()["items"]) == 9
    assert (await client.get(f"/v1/jobs/{job.id}/previews/es/8")).status_code == 200
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).values(discarded_at=sa.func.now()))  # what was made on the way is gone
    assert (await client.get(f"/v1/jobs/{job.id}/previews/es/8")).status_code == 200
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).values(withdrawn_at=sa.func.now()))
    answer = await client.get(f"/v1/jobs/{job.id}/previews")
    assert (answer.status_code, answer.json()["code"]) == (410, "previews_withdrawn")
    assert "results" in answer.json()["detail"]


async def test_what_is_not_spoken_at_all_is_left_out_of_its_passage(
    job: Job, speak: Speak, client: httpx.AsyncClient, make_session: Sessions
) -> None:
    await speak(job, passages=5, spoken=5)
    async with make_session.begin() as session:
        await session.execute(sa.update(Rendition).where(Rendition.segment == 1).values(audio_key=None))
    assert len(heard((await client.get(f"/v1/jobs/{job.id}/previews/es/0")).content)) == round(SECONDS[0] * RATE)


async def test_strangers_hear_nothing(job: Job, speak: Speak, stranger: httpx.AsyncClient) -> None:
    await speak(job, passages=5, spoken=5)
    for path in (f"{job.id}/previews", f"{job.id}/previews/es/0", f"{uuid4()}/previews", f"{uuid4()}/previews/es/0"):
        answer = await stranger.get(f"/v1/jobs/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
