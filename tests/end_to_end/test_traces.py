"""A job whose worker is killed goes on in the same trace."""

import os
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.fixtures_workshop import Workshop
from tests.standins.otlp import Collector

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_the_steps_after_a_kill_join_the_trace_of_those_before(workshop: Workshop, half_minute: Path) -> None:
    with Collector() as collector:
        traced = {"OCTAVIA_OTLP_ENDPOINT": collector.endpoint}
        job = await workshop.start(await workshop.upload(half_minute))
        async with workshop.engine.begin() as connection:  # as an API that traces leaves it
            given = {"given": f"00-{TRACE}-b7ad6b7169203331-01"}
            await connection.execute(sa.text("update job set traceparent = :given"), given)
        with workshop.worker("first", **traced) as first:
            await workshop.until_spoken(job, 1)
            collector.until(lambda spans: any(span.name == "speak" for span in spans))
            os.kill(first.pid, signal.SIGKILL)
        with workshop.worker("second", **traced):
            assert (await workshop.finish(job))["status"] == "completed"
            collector.until(lambda spans: any(span.name == "job" for span in spans))
    spans = collector.spans
    assert {span.trace for span in spans} == {TRACE}
    assert {span.attributes.get("octavia.worker") for span in spans} >= {"first", "second"}
    (whole,) = [span for span in spans if span.name == "job"]
    steps = [span for span in spans if "octavia.worker" in span.attributes]
    assert {span.parent for span in steps} == {whole.id}
    assert all(whole.start <= span.start and span.end <= whole.end for span in steps)
