"""The query that KEDA scales workers by, put to the real tables of the queue."""

from collections.abc import Callable

import sqlalchemy as sa
from uuid_utils.compat import uuid7

from orchestrator.database import make_sync_engine
from orchestrator.jobs import durable
from scripts.kubernetes.manifests import Deployed


def test_workers_are_scaled_by_the_jobs_that_wait_or_run(overlay: Callable[[str], Deployed], database_url: str) -> None:
    scaler = overlay("gpu").find("ScaledObject", "octavia-worker")
    assert scaler is not None
    query = scaler["spec"]["triggers"][0]["metadata"]["query"]
    engine = make_sync_engine(database_url)
    client = durable.api_client(engine)

    def count() -> int:
        with engine.connect() as connection:
            return int(connection.execute(sa.text(query)).scalar_one())

    try:
        assert count() == 0
        jobs = [uuid7() for _ in range(3)]
        with sa.orm.Session(engine) as session, session.begin():
            for number, job in enumerate(jobs):
                durable.enqueue_job(client, session, job, uuid7(), paid=number == 0)
            durable.enqueue_mail(client, session, uuid7())
        assert count() == 3, "mails do not count"
        for status, left in (("PENDING", 3), ("SUCCESS", 2), ("CANCELLED", 2)):
            with engine.begin() as connection:
                change = "update dbos.workflow_status set status = :status where workflow_uuid = :id"
                connection.execute(sa.text(change), {"status": status, "id": str(jobs[0])})
            assert count() == left
    finally:
        engine.dispose()
