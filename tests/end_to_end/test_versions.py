"""A new version of the workflows: jobs begun under the old one are finished by its workers, new ones by the new."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.database import make_sync_engine
from orchestrator.jobs.durable import api_client
from tests.fixtures_workshop import Workshop
from tests.standins import odd_worker
from tests.standins.model_proxy import Gate

pytestmark = pytest.mark.anyio


async def workers_of(workshop: Workshop, job_id: str) -> set[tuple[str, str]]:
    """(worker, version) of every workflow of the job."""
    rows = await workshop.rows(
        "select executor_id, application_version from dbos.workflow_status where left(workflow_uuid, 36) = :id",
        id=job_id,
    )
    return {(row.executor_id, row.application_version) for row in rows}


async def test_a_job_begun_under_one_version_is_finished_by_it_while_the_next_takes_the_new_ones(
    workshop: Workshop, half_minute: Path, eight_seconds: Path
) -> None:
    media, other = await workshop.upload(half_minute), await workshop.upload(eight_seconds)
    gate = Gate()
    workshop.proxy.misbehave("whisper", gate)
    with workshop.worker("old"):
        old = await workshop.start(media)
        await workshop.until(old, lambda job: job["stage"] == "transcribing")
        with workshop.worker("new", "tests.standins.odd_worker", **{odd_worker.VERSION: "2"}):
            workshop.proxy.behave()
            new = await workshop.start(other)
            done = await workshop.finish(new)
            assert done["status"] == "completed", done["error"]
            assert (await workshop.job(old))["status"] == "processing"
            gate.open()
            done = await workshop.finish(old)
            assert done["status"] == "completed", done["error"]
            assert await workers_of(workshop, old) == {("old", "1")}
            assert await workers_of(workshop, new) == {("new", "2")}

        # The new version is withdrawn: what comes now waits for it until the old one is the latest again.
        withdrawn = await workshop.start(other)
        await asyncio.sleep(1)
        assert (await workshop.job(withdrawn))["status"] == "pending"
        engine = make_sync_engine(workshop.settings.database_url)
        await asyncio.to_thread(api_client(engine).set_latest_application_version, "1")
        engine.dispose()
        done = await workshop.finish(withdrawn)
        assert done["status"] == "completed", done["error"]
        assert await workers_of(workshop, withdrawn) == {("old", "1")}
