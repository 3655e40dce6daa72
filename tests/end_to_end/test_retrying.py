"""Jobs that failed or were cancelled, tried again: what was heard and spoken is not heard and spoken twice."""

from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.prices import Price
from orchestrator.settings import Settings
from tests.fixtures_workshop import Workshop
from tests.standins.model_proxy import hang, only, refuse

pytestmark = pytest.mark.anyio


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    selling = {"billing": True, "polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update={**selling, "prices": {"audio_translation": Price(credits=10)}})


@pytest.fixture
async def credits(make_session: async_sessionmaker[AsyncSession], user: User) -> None:
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 20, key="test", reference="test")


def outcome(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**segment, "words": None} for segment in segments]


async def entries(workshop: Workshop) -> list[str]:
    rows = await workshop.rows("select kind from credit_entry where kind <> 'grant' order by sequence")
    return [row.kind for row in rows]


async def test_a_failed_job_goes_on_where_it_stopped_and_ends_as_if_nothing_had_happened(
    workshop: Workshop, half_minute: Path, credits: None
) -> None:
    proxy = workshop.proxy
    media = await workshop.upload(half_minute)
    with workshop.worker("a"):
        first = await workshop.finish(await workshop.start(media))
        assert first["status"] == "completed", first["error"]
        undisturbed = outcome(await workshop.segments(first["id"]))
        spoken = list(proxy.asked("coqui_tts", "AUDIO"))
        assert len(spoken) == len(undisturbed)

        proxy.misbehave("coqui_tts", only(spoken[-1], refuse(grpc.StatusCode.INTERNAL, "a bug")))
        job_id = await workshop.start(media)
        failed = await workshop.finish(job_id)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "model_refused")
        assert (await workshop.client.get(f"/v1/jobs/{job_id}/previews")).status_code == 410
        before = await workshop.speech(job_id)
        assert len(before) < len(undisturbed)

        proxy.behave()
        proxy.forget()
        answer = await workshop.client.post(f"/v1/jobs/{job_id}/retry")
        assert (answer.status_code, answer.json()["attempt"]) == (201, 2), answer.text
        done = await workshop.finish(job_id)
        assert done["status"] == "completed", done["error"]
        assert outcome(await workshop.segments(job_id)) == undisturbed
        after = await workshop.speech(job_id)
        queues = await workshop.rows(  # what was cancelled has left its queue
            "select distinct queue_name from dbos.workflow_status"
            " where name in ('job', 'hear', 'speak') and status <> 'CANCELLED'"
        )
    assert {row.queue_name for row in queues} == {"paid_jobs", "paid_chunks"}
    assert proxy.asked("vad") == proxy.asked("whisper") == proxy.asked("opus_mt") == {}
    assert proxy.asked("coqui_tts", "AUDIO").total() == len(after) - len(before)
    assert {segment: after[segment] for segment in before} == before
    assert sums(done) == sums(first)
    assert await entries(workshop) == ["hold", "capture", "hold", "release", "hold", "capture"]


SAID = """
select s.passage, r.text from rendition r join segment s on s.job_id = r.job_id and s.index = r.segment
where r.job_id = :id order by s.index
"""


def sums(job: dict[str, Any]) -> dict[str, str]:
    return {file["name"]: file["sha256"] for file in job["artifacts"]}


async def test_a_cancelled_job_is_heard_no_more_until_it_is_tried_again(
    workshop: Workshop, half_minute: Path, credits: None
) -> None:
    proxy = workshop.proxy
    media = await workshop.upload(half_minute)
    with workshop.worker("a"):
        first = await workshop.finish(await workshop.start(media))
        said = await workshop.rows(SAID, id=UUID(first["id"]))
        assert said[0].passage == 0 < said[-1].passage
        (last,) = {
            call.digest for call in proxy.calls if "AUDIO" in call.outputs and said[-1].text.encode() in call.request
        }
        proxy.misbehave("coqui_tts", only(last, hang))
        job_id = await workshop.start(media)
        await workshop.until_spoken(job_id, len(said) - 1)
        offered = (await workshop.client.get(f"/v1/jobs/{job_id}/previews")).json()["items"]
        assert [(each["language"], each["passage"]) for each in offered] == [("es", 0)]
        url = f"/v1/jobs/{job_id}/previews/es/0"
        sound = (await workshop.client.get(url)).content
        assert len(sound) > 40_000
        await workshop.client.post(f"/v1/jobs/{job_id}/cancel")
        assert (await workshop.client.get(url)).json()["code"] == "previews_withdrawn"

        proxy.behave()
        assert (await workshop.client.post(f"/v1/jobs/{job_id}/retry")).status_code == 201
        done = await workshop.finish(job_id)
        assert (await workshop.client.get(url)).content == sound
    assert sums(done) == sums(first)
