"""How DBOS is used: names, serializer, the worker's instance, the API's client, and the few underscored calls.

The queue's rows are readable JSON and carry ids only. Whatever reaches under DBOS's public surface stands in this file
and is held by a contract test.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, SetEnqueueOptions
from dbos._dbos import _get_dbos_instance
from dbos._error import DBOSAwaitedWorkflowCancelledError
from dbos._serialization import Serializer
from sqlalchemy.orm import Session

from orchestrator.errors import OctaviaError

APPLICATION = "octavia"
VERSION = "1"
"""Constant: running jobs go on under new code. Raised only for an incompatible change of a workflow's steps: what began
under the old one is finished by workers of the old one (docs/runbook.md)."""

JOB_WORKFLOW = "job"
JOBS_QUEUE = "jobs"
CHUNKS_QUEUE = "chunks"
"""Of its own, for a waiting job would otherwise hold the place its windows and passages need."""
PAID_JOBS_QUEUE = "paid_jobs"
PAID_CHUNKS_QUEUE = "paid_chunks"
"""The same for jobs that cost credits: what costs nothing never stands before them."""

MAIL_WORKFLOW = "mail"
MAILS_QUEUE = "mails"
MAILS_PER_WORKER = 4
"""Mails a worker process sends at once. One that waits for its next attempt holds no place."""

ACCOUNT_WORKFLOW = "account"
ACCOUNTS_QUEUE = "accounts"
ACCOUNTS_PER_WORKER = 4

POLAR_EVENT_WORKFLOW = "polar_event"
POLAR_EVENTS_QUEUE = "polar_events"
POLAR_EVENTS_PER_WORKER = 4

TELL_WORKFLOW = "tell"
TELL_QUEUE = "outcomes"
TOLD_PER_WORKER = 4

WEBHOOK_WORKFLOW = "webhook"
WEBHOOKS_QUEUE = "webhooks"
WEBHOOKS_PER_WORKER = 16
WEBHOOKS_PER_USER = 4
"""Deliveries a worker process makes at once: to all endpoints, and to those of one user, which may all be slow."""

RECONCILE_WORKFLOW = "reconcile"
FORGET_WORKFLOW = "forget"

INTERNAL_QUEUE = "_dbos_internal_queue"
MAX_RECOVERY_ATTEMPTS = 20
"""Every planned restart counts as one; what has ended its worker this often is given up."""
MAX_JOB_RECOVERY_ATTEMPTS = 100
"""A last resort: what ends its workers is found long before (`steps`), and a long job sees many of them end."""

JsonValue = Any


class JsonSerializer(Serializer):
    """JSON in place of DBOS's pickle: whoever can write a row cannot run code in a worker."""

    def name(self) -> str:
        return "octavia_json"

    def serialize(self, data: JsonValue) -> str:
        return json.dumps(data, default=_encode, separators=(",", ":"))

    def deserialize(self, serialized_data: str) -> JsonValue:
        return json.loads(serialized_data, object_hook=_decode)


def _encode(value: object) -> dict[str, Any]:
    match value:
        case OctaviaError():
            return {"__error__": "OctaviaError", "code": value.code, "message": value.message, "status": value.status}
        case DBOSAwaitedWorkflowCancelledError():
            return {"__error__": "DBOSAwaitedWorkflowCancelledError", "message": str(value)}
        case BaseException():
            return {"__error__": type(value).__name__, "message": str(value)}
        case datetime():  # the scheduler's argument
            return {"__time__": value.isoformat()}
    raise TypeError(f"{type(value).__name__} is not JSON: steps return plain lists, dicts, numbers and text")


def _decode(value: dict[str, Any]) -> JsonValue:
    match value:
        case {"__error__": "OctaviaError", "code": code, "message": message, "status": status}:
            return OctaviaError(code, message, status=status)
        case {"__error__": "DBOSAwaitedWorkflowCancelledError", "message": message}:
            return DBOSAwaitedWorkflowCancelledError(message)
        case {"__error__": kind, "message": message}:
            return RuntimeError(f"{kind}: {message}")
        case {"__time__": str(time)}:
            return datetime.fromisoformat(time)
    return value


def worker_config(engine: sa.Engine, executor_id: str) -> DBOSConfig:
    """Settings of a worker's DBOS on our own engine, whose connect hook lets it wait out a database outage."""
    return DBOSConfig(
        name=APPLICATION,
        system_database_url=engine.url.render_as_string(hide_password=False),
        system_database_engine=engine,
        application_version=VERSION,
        executor_id=executor_id,
        serializer=JsonSerializer(),
        run_migrations=False,
        max_executor_threads=32,
        log_level="WARNING",
        notification_listener_polling_interval_sec=0.2,
    )


def api_client(engine: sa.Engine) -> DBOSClient:
    """A client that enqueues and cancels, runs nothing, and fails at once while the database is away."""
    return DBOSClient(
        system_database_engine=engine,
        application_name=APPLICATION,
        serializer=JsonSerializer(),
        lazy=True,
        retry_connection_errors=False,
    )


UUID_LENGTH = 36
JOB_WORKFLOW_SQL = "j.id::text || case when j.attempt > 1 then '.' || j.attempt else '' end"
"""Of a row `j` of the table of jobs, the id of the workflow that works on it now."""
ROOT_WORKFLOW_SQL = r"substring(w.workflow_uuid from '^.{36}(?:\.\d+)?')"
"""Of a row `w` of the queue that belongs to a job, the id of the job's workflow it descends from."""


def job_workflow_id(job_id: UUID, attempt: int = 1) -> str:
    """The workflow of a job's first attempt, second, and so on; the ids of its children continue it ("…-7")."""
    return str(job_id) if attempt == 1 else f"{job_id}.{attempt}"


def attempt_of(workflow_id: str) -> int:
    """The attempt a job's workflow, or a child of it, belongs to."""
    number, _, _ = workflow_id[UUID_LENGTH:].removeprefix(".").partition("-")
    return int(number or 1)


def enqueue_job(
    client: DBOSClient, session: Session, job_id: UUID, user_id: UUID, *, attempt: int = 1, paid: bool
) -> None:
    """Enqueue an attempt at a job in the caller's transaction, fair among users; paid ones in a queue of their own."""
    client.enqueue_in_transaction(
        session,
        {
            "queue_name": PAID_JOBS_QUEUE if paid else JOBS_QUEUE,
            "workflow_name": JOB_WORKFLOW,
            "workflow_id": job_workflow_id(job_id, attempt),
            "workflow_id_reuse_policy": "reject",
            "queue_partition_key": str(user_id),
        },
        str(job_id),
    )


def mail_workflow_id(mail_id: UUID, look: int = 1) -> str:
    """The workflow that looks after a mail for the first time, the second, and so on."""
    return f"mail-{mail_id}" if look == 1 else f"mail-{mail_id}-{look}"


def enqueue_mail(client: DBOSClient, session: Session, mail_id: UUID) -> None:
    """Enqueue a mail's workflow in the caller's transaction."""
    client.enqueue_in_transaction(
        session,
        {
            "queue_name": MAILS_QUEUE,
            "workflow_name": MAIL_WORKFLOW,
            "workflow_id": mail_workflow_id(mail_id),
            "workflow_id_reuse_policy": "reject",
        },
        str(mail_id),
        1,
    )


def enqueue_account_request(client: DBOSClient, session: Session, request_id: UUID) -> None:
    """Enqueue the workflow that answers an account request, in the caller's transaction."""
    client.enqueue_in_transaction(
        session,
        {
            "queue_name": ACCOUNTS_QUEUE,
            "workflow_name": ACCOUNT_WORKFLOW,
            "workflow_id": f"account-{request_id}",
            "workflow_id_reuse_policy": "reject",
        },
        str(request_id),
    )


_ENQUEUE_POLAR_EVENTS = sa.text(
    "select dbos.enqueue_workflow(workflow_name => :workflow, queue_name => :queue, workflow_id => 'polar-' || id,"
    " positional_args => array[to_json(id)], application_name => :application)"
    " from unnest(cast(:webhook_ids as text[])) as id"
)


def enqueue_polar_events(session: Session, webhook_ids: Sequence[str]) -> None:
    """Enqueue a workflow for each of these events of Polar's, in the caller's transaction and in one statement.

    By DBOS's own function in the database, for the client has no call for many. There is no such workflow yet.
    """
    fixed = {"workflow": POLAR_EVENT_WORKFLOW, "queue": POLAR_EVENTS_QUEUE, "application": APPLICATION}
    session.execute(_ENQUEUE_POLAR_EVENTS, {**fixed, "webhook_ids": list(webhook_ids)})


def chunks_queue(*, paid: bool) -> str:
    """Where a job's windows and passages wait."""
    return PAID_CHUNKS_QUEUE if paid else CHUNKS_QUEUE


@cache
def _within_transactions() -> DBOSClient:
    """A client for enqueueing in callers' transactions alone: it has no database of its own and never connects."""
    return api_client(sa.create_engine("postgresql+psycopg://"))


def enqueue_telling(session: Session, event_id: int) -> None:
    """Enqueue the workflow that tells the outside of what happened to a job, in the caller's transaction."""
    _within_transactions().enqueue_in_transaction(
        session,
        {
            "queue_name": TELL_QUEUE,
            "workflow_name": TELL_WORKFLOW,
            "workflow_id": f"tell-{event_id}",
            "workflow_id_reuse_policy": "reject",
        },
        event_id,
    )


def webhook_workflow_id(delivery_id: UUID, series: int, look: int = 1) -> str:
    """The workflow of a look after a delivery; `series` counts how often it was asked for."""
    return f"webhook-{delivery_id}-{series}-{look}"


def enqueue_webhook(session: Session, delivery_id: UUID, user_id: UUID, series: int) -> None:
    """Enqueue a delivery's first look in the caller's transaction, fair among users."""
    _within_transactions().enqueue_in_transaction(
        session,
        {
            "queue_name": WEBHOOKS_QUEUE,
            "workflow_name": WEBHOOK_WORKFLOW,
            "workflow_id": webhook_workflow_id(delivery_id, series),
            "workflow_id_reuse_policy": "reject",
            "queue_partition_key": str(user_id),
        },
        str(delivery_id),
        str(user_id),
        series,
        1,
    )


HEARING_PRIORITY = 10
"""Behind speaking, which has none and goes first: else nothing were spoken before the whole file is heard."""


def for_user(user_id: str, priority: int | None = None) -> SetEnqueueOptions:
    """Options under which a workflow enqueues its children: without the key they would wait for ever."""
    return SetEnqueueOptions(queue_partition_key=user_id, priority=priority)


async def register_queues(*, jobs_per_worker: int, chunks_per_worker: int) -> None:
    """The queues. Those of jobs are partitioned by user, so that no one holds more than three quarters of a worker.

    Of each pair, for what is paid and for what is not, a worker takes in as much as it can carry of one alone; how many
    of both work at the same time is decided where they do (see `places`).
    """
    for names, per_worker, every_s in (
        ((JOBS_QUEUE, PAID_JOBS_QUEUE), jobs_per_worker, 0.3),
        ((CHUNKS_QUEUE, PAID_CHUNKS_QUEUE), chunks_per_worker, 0.2),
    ):
        for name in names:
            await DBOS.register_queue_async(
                name,
                worker_concurrency=per_worker,
                partition_worker_concurrency=max(1, per_worker * 3 // 4),
                polling_interval_sec=every_s,
                on_conflict="always_update",
            )
    await DBOS.register_queue_async(
        ACCOUNTS_QUEUE,
        worker_concurrency=ACCOUNTS_PER_WORKER,
        polling_interval_sec=0.3,
        on_conflict="always_update",
    )
    await DBOS.register_queue_async(
        MAILS_QUEUE,
        worker_concurrency=MAILS_PER_WORKER,
        polling_interval_sec=0.5,
        on_conflict="always_update",
    )
    await DBOS.register_queue_async(
        POLAR_EVENTS_QUEUE,
        worker_concurrency=POLAR_EVENTS_PER_WORKER,
        polling_interval_sec=0.3,
        on_conflict="always_update",
    )
    await DBOS.register_queue_async(
        TELL_QUEUE,
        worker_concurrency=TOLD_PER_WORKER,
        polling_interval_sec=0.5,
        on_conflict="always_update",
    )
    await DBOS.register_queue_async(
        WEBHOOKS_QUEUE,
        worker_concurrency=WEBHOOKS_PER_WORKER,
        partition_worker_concurrency=WEBHOOKS_PER_USER,
        polling_interval_sec=0.5,
        on_conflict="always_update",
    )


def take_over(dead: Iterable[str]) -> int:
    """Put the running workflows of dead executors back into their queues; returns how many."""
    return len(DBOS._recover_pending_workflows(list(dead)))


def give_back(workflow_id: str, executor_id: str) -> bool:
    """Put back a workflow that is marked as running on this executor although nothing runs it here."""
    system = _get_dbos_instance()._sys_db
    return bool(system.reenqueue_for_recovery(workflow_id, [executor_id], INTERNAL_QUEUE))
