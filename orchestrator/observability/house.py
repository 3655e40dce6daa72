"""What the database knows of the whole house, as gauges: read when Prometheus asks, at most once in FRESH_S seconds.

Every API process tells them, so that they are there when no worker is; all tell the same. Queries take `max by`.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator.jobs.models import KINDS

log = structlog.get_logger(__name__)

FRESH_S = 5.0


@dataclass(frozen=True, slots=True)
class Query:
    """Rows with a value in the last column and a label in each before it."""

    name: str
    help: str
    sql: str
    labels: Sequence[str] = field(default_factory=tuple)


def _of_queues(column: str) -> str:
    """A column by whether jobs are paid, 0 where none waits."""
    return (
        f"select paid::text, coalesce({column}, 0) from (values (true), (false)) kinds (paid)"  # noqa: S608
        " left join (select credits > 0 as paid, count(*) as waiting, extract(epoch from now() - min(queued_at)) as age"
        " from job where status = 'pending' group by 1) line using (paid)"
    )


def _oldest(column: str, rows: str) -> str:
    """How long ago the oldest of these rows was, in seconds; 0 where there is none."""
    return f"select coalesce(extract(epoch from now() - min({column})), 0) from {rows}"  # noqa: S608


def _open_jobs() -> str:
    """Their number by kind, status and stage; 0 for a kind of which none is open."""
    kinds = ", ".join(f"('{kind}')" for kind in KINDS)
    counted = "select kind, status, stage, count(*) from job where status = '{}' group by 1, 2, 3"
    return (
        f"select kind, status, coalesce(stage, 'none'), coalesce(count, 0) from (values {kinds}) kinds (kind)"  # noqa: S608
        " cross join (values ('pending'), ('processing')) statuses (status)"
        f" left join ({counted.format('pending')} union all {counted.format('processing')}) open using (kind, status)"
    )


QUERIES = (
    Query(
        "octavia_jobs",
        "open jobs",
        _open_jobs(),
        ("kind", "status", "stage"),
    ),
    Query(
        "octavia_jobs_stuck",
        "jobs that are worked on and have told nothing for half an hour",
        "select count(*) from job j where status = 'processing' and started_at < now() - interval '30 minutes' and not"
        " exists (select from job_event e where e.job_id = j.id and e.at > now() - interval '30 minutes')",
    ),
    Query("octavia_queue_length", "jobs that wait", _of_queues("waiting"), ("paid",)),
    Query(
        "octavia_queue_age_seconds",
        "how long the oldest job has waited",
        _of_queues("age"),
        ("paid",),
    ),
    Query(
        "octavia_credits_held",
        "credits that jobs hold",
        "select coalesce(sum(held), 0) from credit_account where held > 0",
    ),
    Query(
        "octavia_polar_inbox_open",
        "deliveries of Polar's that are not handled",
        "select count(*) from polar_event where outcome is null",
    ),
    Query(
        "octavia_polar_inbox_age_seconds",
        "how long the oldest of them has waited",
        _oldest("received_at", "polar_event where outcome is null"),
    ),
    Query(
        "octavia_polar_inbox_failed",
        "deliveries of Polar's whose handling failed",
        "select count(*) from polar_event where outcome = 'failed'",
    ),
    Query(
        "octavia_webhook_deliveries_open",
        "webhooks on their way to users' endpoints",
        "select count(*) from webhook_delivery where status = 'pending'",
    ),
    Query(
        "octavia_webhook_delivery_age_seconds",
        "how long the oldest webhook that no attempt was made of has waited",
        _oldest("created_at", "webhook_delivery where status = 'pending' and attempts = 0"),
    ),
    Query(
        "octavia_webhook_deliveries_failed",
        "webhooks given up in the last hour",
        "select count(*) from webhook_delivery where status <> 'pending' and status = 'failed'"
        " and ended_at > now() - interval '1 hour'",
    ),
    Query(
        "octavia_mails_open",
        "e-mails to be sent",
        "select count(*) from mail where sent_at is null and failed_at is null",
    ),
    Query(
        "octavia_mail_age_seconds",
        "how long the oldest of them has waited",
        _oldest("created_at", "mail where sent_at is null and failed_at is null"),
    ),
    Query(
        "octavia_workers",
        "workers that beat, are silent, or were seen to die, of the last hour",
        "select states.state, count(w.executor_id) from (values ('beating'), ('silent'), ('lost')) states (state)"
        " left join worker w on w.beat_at > now() - interval '1 hour' and states.state = case when w.state = 'lost'"
        " then 'lost' when w.state <> 'up' then '' when w.beat_at > now() - make_interval(secs => :stale_after_s)"
        " then 'beating' else 'silent' end group by 1",
        ("state",),
    ),
    Query(
        "octavia_workflows_stranded",
        "workflows of a version of which no worker runs",
        "select count(*) from (select coalesce(w.application_version, (select version_name from"
        " dbos.application_versions order by version_timestamp desc limit 1)) as version from dbos.workflow_status w"
        " where w.status in ('ENQUEUED', 'PENDING')) waiting where version is not null and not exists (select from"
        " worker where worker.version = waiting.version and state = 'up' and beat_at > now() - interval '5 minutes')",
    ),
    Query(
        "octavia_database_connections",
        "connections of clients to the database server",
        "select count(*) from pg_stat_activity where backend_type = 'client backend'",
    ),
    Query(
        "octavia_database_connections_most",
        "connections the server takes",
        "select current_setting('max_connections')::int",
    ),
)


class House(Collector):
    """Collects QUERIES. `stale_after_s`: see the setting. Of a database that is away it tells just that."""

    def __init__(self, engine: sa.Engine, stale_after_s: float) -> None:
        self._engine = engine
        self._values = {"stale_after_s": stale_after_s}
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._known: list[GaugeMetricFamily] = []

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering asks for nothing."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_S:
                self._known = self._look()
                self._read_at = time.monotonic()
            yield from self._known

    def _look(self) -> list[GaugeMetricFamily]:
        up = GaugeMetricFamily("octavia_database_up", "1 where the database answers")
        try:
            with self._engine.connect() as connection:
                families = [self._family(query, connection) for query in QUERIES]
        except sa.exc.SQLAlchemyError as error:
            log.warning("the database could not be asked for metrics", error=type(error).__name__)
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *families]

    def _family(self, query: Query, connection: sa.Connection) -> GaugeMetricFamily:
        made = GaugeMetricFamily(query.name, query.help, labels=query.labels)
        values: dict[str, Any] = self._values if ":stale_after_s" in query.sql else {}
        for *labels, value in connection.execute(sa.text(query.sql), values):
            made.add_metric([str(label) for label in labels], float(value))
        return made
