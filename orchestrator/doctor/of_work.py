"""Checks of what waits and of who works on it."""

from collections.abc import Sequence

import sqlalchemy as sa

from orchestrator.doctor.asking import connected, told
from orchestrator.doctor.findings import Finding, Patient, error, ok, warning
from orchestrator.jobs.durable import VERSION

RUNBOOK = "See docs/runbook.md"
WAIT_WARNING_S, WAIT_ERROR_S = 600.0, 3_600.0
MESSAGE_LATE_S = 900.0


async def workers(patient: Patient) -> Sequence[Finding]:
    """Whether workers beat, and run the workflows of this code."""
    async with connected(patient) as connection:
        by_state = await told(connection, "octavia_workers", stale_after_s=patient.settings.stale_after_s)
        stranded = (await told(connection, "octavia_workflows_stranded"))[()]
        beating = sa.text(
            "select version, count(*) from worker where state = 'up'"
            " and beat_at > now() - make_interval(secs => :stale_after_s) group by 1"
        )
        values = {"stale_after_s": patient.settings.stale_after_s}
        versions = {row[0]: int(row[1]) for row in await connection.execute(beating, values)}
    found: list[Finding] = []
    if not versions:
        found += error(
            "No worker runs: jobs wait.",
            "Start one (python -m orchestrator.jobs.worker) and read its log; " + RUNBOOK + "#noworker.",
        )
    else:
        found += ok(f"{sum(versions.values())} workers beat.")
    if others := {version: count for version, count in versions.items() if version != VERSION}:
        found += warning(
            f"Workers of other versions of the workflows run: {others}; this code has {VERSION}.",
            "In the middle of a deployment that is right; afterwards stop them. " + RUNBOOK + ", Incompatible changes.",
        )
    if silent := by_state[("silent",)] + by_state[("lost",)]:
        found += warning(
            f"{silent:.0f} workers of the last hour are silent or were seen to die.",
            "Their work was taken over. Find out why they ended: memory, the node, their log.",
        )
    if stranded:
        found += error(
            f"{stranded:.0f} workflows wait for a version of which no worker runs.",
            RUNBOOK + "#workflowsstranded.",
        )
    return found


async def queue(patient: Patient) -> Sequence[Finding]:
    """Whether jobs get their turn, and those that run go on."""
    async with connected(patient) as connection:
        ages = await told(connection, "octavia_queue_age_seconds")
        lengths = await told(connection, "octavia_queue_length")
        stuck = (await told(connection, "octavia_jobs_stuck"))[()]
    waited = max(ages.values())
    text = f"{sum(lengths.values()):.0f} jobs wait, the oldest for {waited:.0f} s."
    fix = "Start more workers, or look whether the model plane is the bottleneck; " + RUNBOOK + "#queuetooold."
    found = error(text, fix) if waited > WAIT_ERROR_S else warning(text, fix) if waited > WAIT_WARNING_S else ok(text)
    if stuck:
        found += warning(
            f"{stuck:.0f} jobs are worked on and have told nothing for half an hour.",
            "Look for their ids in the workers' logs; " + RUNBOOK + "#jobsstuck.",
        )
    return found


async def webhooks(patient: Patient) -> Sequence[Finding]:
    """Whether what users' endpoints are owed is on its way."""
    async with connected(patient) as connection:
        open_ = (await told(connection, "octavia_webhook_deliveries_open"))[()]
        late = (await told(connection, "octavia_webhook_delivery_age_seconds"))[()]
        failed = (await told(connection, "octavia_webhook_deliveries_failed"))[()]
    text = f"{open_:.0f} webhooks are on their way; {failed:.0f} were given up in the last hour."
    if late > MESSAGE_LATE_S:
        return error(
            f"{text} One has waited for {late:.0f} s without an attempt.",
            "Workers send them: see the check of workers; " + RUNBOOK + "#webhooksfailing.",
        )
    return ok(text)
