"""A job's log: what it did, step by step, with the time, and nothing of what is said in the media."""

from datetime import datetime
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.jobs import advance, progress
from orchestrator.jobs.models import HeardWindow, Job, Rendition, SegmentRow
from tests.orchestrator.jobs.conftest import MakeJob

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
SECRET = "The diary says so"


async def test_every_step_is_a_sentence_with_its_time(
    client: httpx.AsyncClient, make_job: MakeJob, make_session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advance, "EVERY_S", 0.0)
    job = await make_job(target_languages=["es", "de"])
    words = [{"text": SECRET, "start": 0.0, "end": 1.0, "probability": 1.0}]
    span = {"start": 0.0, "end": 10.0, "next_start": 10.0, "language": "en", "text": SECRET, "words": words}
    async with make_session.begin() as session:
        session.add(HeardWindow(job_id=job.id, index=0, start=0, end=10, speech=9, stretches=[], words=words))
        session.add(HeardWindow(job_id=job.id, index=1, start=10, end=20, speech=9, stretches=[], words=None))
        await session.flush()
        await advance.advance(session, job.id, "transcribing")
        session.add_all(SegmentRow(job_id=job.id, index=index, passage=0, **span) for index in range(3))
        await session.flush()
        for index, language in enumerate(("es", "es", "de")):
            session.add(Rendition(job_id=job.id, language=language, segment=index, text=SECRET, audio_key="x"))
            await session.flush()
            await advance.advance(session, job.id, "translating", language=language)
        await advance.advance(session, job.id, "merging", merged=0.4)
        await progress.warn(session, job.id, "no_speech", "Nobody speaks.")
        await progress.fail(session, job.id, "no_voice", "There is no voice for 'es'.")
    log = (await client.get(f"/v1/jobs/{job.id}/log")).json()
    assert log["next_cursor"] is None
    assert [line["message"] for line in log["items"]] == [
        "Waiting for a free place",
        "Started",
        "Transcribing: 1 of 2 windows",
        "Translating into Spanish: 1 of 3 sentences",
        "Translating into Spanish: 2 of 3 sentences",
        "Translating into German: 1 of 3 sentences",
        "Putting the result together: 40 %",
        "Nobody speaks.",
        "Failed: There is no voice for 'es'.",
    ]
    times = [datetime.fromisoformat(line["at"]) for line in log["items"]]
    assert times == sorted(times)
    assert [line["type"] for line in log["items"]] == ["progress"] * 7 + ["warning", "failed"]
    shown = await client.get(f"/v1/jobs/{job.id}")
    assert shown.json()["message"] == "Failed: There is no voice for 'es'."
    for answer in (str(log), shown.text):
        assert SECRET not in answer


async def test_a_long_log_comes_in_pages(client: httpx.AsyncClient, job: Job, make_session: Sessions) -> None:
    for percent in range(1, 8):
        async with make_session.begin() as session:
            await progress.record(
                session, job.id, stage="merging", progress=percent, counts={"merging": [percent, 100]}
            )
    lines, cursor = [], 0
    while cursor is not None:
        page = (await client.get(f"/v1/jobs/{job.id}/log?limit=4&cursor={cursor}")).json()
        assert len(page["items"]) <= 4
        lines += page["items"]
        cursor = page["next_cursor"]
    assert lines == (await client.get(f"/v1/jobs/{job.id}/log")).json()["items"]
    assert [line["message"] for line in lines[2:]] == [
        f"Putting the result together: {percent} %" for percent in range(1, 8)
    ]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=-1", "cursor=x"])
async def test_what_is_no_page_is_refused(client: httpx.AsyncClient, job: Job, query: str) -> None:
    assert (await client.get(f"/v1/jobs/{job.id}/log?{query}")).status_code == 422


async def test_the_log_of_no_job_of_one_s_own_is_not_there(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, job: Job
) -> None:
    assert (await stranger.get(f"/v1/jobs/{job.id}/log")).status_code == 404
    assert (await client.get(f"/v1/jobs/{uuid4()}/log")).status_code == 404
