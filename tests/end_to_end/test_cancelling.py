"""Cancelling at any moment: no model is asked any more, no program runs on, the credits are back, nothing is shown."""

import asyncio
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.prices import Price
from orchestrator.settings import Settings
from tests.fixtures_system import SAMPLE
from tests.fixtures_workshop import PATIENCE_S, Workshop, programs_of

pytestmark = pytest.mark.anyio

KINDS = ("video_translation", "audio_translation")
STOPS_S = 5.0
"""So long after the answer to a cancel a model may still be asked."""


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    selling = {"billing": True, "polar_url": "http://127.0.0.1:1", "polar_access_token": SecretStr("polar_oat_test")}
    return app_settings.model_copy(update={**selling, "prices": dict.fromkeys(KINDS, Price(credits=10))})


@pytest.fixture
async def credits(make_session: async_sessionmaker[AsyncSession], user: User) -> None:
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 1000, key="test", reference="test")


async def cancelled_after(
    workshop: Workshop, worker: subprocess.Popen[str], media: str, kind: str, seconds: float
) -> str:
    """Start a job and cancel it so long after; check what must be true then. The stage it was cancelled in."""
    before = (await workshop.client.get("/v1/credits")).json()
    artifacts = await workshop.rows("select from artifact")
    job_id = await workshop.start(media, kind=kind)
    await asyncio.sleep(seconds)
    answer = await workshop.client.post(f"/v1/jobs/{job_id}/cancel")
    at = time.monotonic()
    if answer.status_code == 409:  # it was quicker
        return str((await workshop.job(job_id))["status"])
    assert answer.json()["status"] == "cancelled"
    there = (await workshop.client.get("/v1/credits")).json()
    assert (there["available"], there["held"]) == (before["available"], 0)
    detail = await workshop.job(job_id)
    assert detail["artifacts"] == []
    deadline = at + PATIENCE_S
    while programs_of(worker) or workshop.proxy.running:
        assert time.monotonic() < deadline, "a program or a call to a model goes on"
        await asyncio.sleep(0.1)
    await asyncio.sleep(max(0.0, at + STOPS_S + 1 - time.monotonic()))
    late = [call.model for call in workshop.proxy.calls if call.began_at > at + STOPS_S]
    assert late == [], f"asked after the cancel: {late}"
    assert len(await workshop.rows("select from artifact")) == len(artifacts)
    open_ = await workshop.rows(
        "select from dbos.workflow_status where status in ('ENQUEUED', 'PENDING') and left(workflow_uuid, 36) = :id",
        id=job_id,
    )
    assert open_ == []
    return str(detail["stage"])


async def cancelled_at(workshop: Workshop, file: Path, kind: str, moments: list[float]) -> list[str]:
    """Cancel a job at each of these moments, as shares of the time an undisturbed one takes; the stages that hit."""
    media = await workshop.upload(file)
    with workshop.worker("a") as worker:
        await workshop.finish(await workshop.start(media, kind=kind))  # from now on answers are known
        workshop.proxy.delay_s = 0.2
        began = time.monotonic()
        await workshop.finish(await workshop.start(media, kind=kind))
        took = time.monotonic() - began
        return [await cancelled_after(workshop, worker, media, kind, moment * took) for moment in moments]


async def test_a_job_is_cancelled_at_any_moment(workshop: Workshop, half_minute: Path, credits: None) -> None:
    stages = await cancelled_at(workshop, half_minute, "audio_translation", [0.1, 0.5, 0.8])
    assert set(stages) - {"completed"}


@pytest.mark.soak
async def test_a_job_is_cancelled_at_thirty_random_moments(workshop: Workshop, credits: None) -> None:
    stages = await cancelled_at(workshop, SAMPLE, "video_translation", [random.uniform(0, 0.95) for _ in range(30)])
    print("cancelled in:", Counter(stages))
    assert len(set(stages) - {"completed"}) >= 3
