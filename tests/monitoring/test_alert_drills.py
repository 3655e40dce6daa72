"""Alert drills: the fault is made, the alert fires in a real Prometheus, what the runbook says mends it, it is quiet.

At a test's pace (`hurried`): `for:` is a second, windows 15 s, and where a rule waits for an age of minutes the drill
says which seconds stand for them. The processes, the database and their faults are real.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.billing import inbox, wire
from orchestrator.jobs import durable
from orchestrator.local.ports import free_port
from orchestrator.notifications.messages import Message
from orchestrator.notifications.service import post
from orchestrator.settings import Settings
from orchestrator.webhooks.models import WebhookEndpoint
from orchestrator.webhooks.service import send
from tests.fixtures_api import api_process
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_monitoring import Prometheus, hurried, prometheus
from tests.fixtures_operation import write_model, write_serve_yaml
from tests.fixtures_worker import worker_process
from tests.orchestrator.billing.payloads import event
from tests.orchestrator.jobs.conftest import MakeJob, job, make_job, make_media, media
from tests.standins.hook import HookReceiver
from tests.standins.smtp import SmtpServer

__all__ = ["job", "make_job", "make_media", "media"]

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Sessions = async_sessionmaker[AsyncSession]

PACE = hurried(
    {
        "QueueTooOld": ("> 900", "> 4"),
        "PolarInboxLagging": ("> 300", "> 4"),
        "MailsDelayed": ("> 900", "> 4"),
    }
)


class House:
    """An API process and a Prometheus over it; workers come and go."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self.api_port, self.worker_port = free_port(), free_port()

    @contextmanager
    def api(self) -> Iterator[None]:
        log = self._folder / f"api-{time.monotonic_ns()}.log"
        with api_process(self._settings, log, {"OCTAVIA_METRICS_PORT": str(self.api_port)}):
            yield

    @contextmanager
    def worker(self, name: str, **variables: str) -> Iterator[None]:
        variables = {"OCTAVIA_METRICS_PORT": str(self.worker_port), "OCTAVIA_MODEL_WAIT_S": "1", **variables}
        with worker_process(self._settings, self._folder, name, **variables):
            yield

    @contextmanager
    def watched(self, **more: str) -> Iterator[Prometheus]:
        targets = {
            "octavia-api": f"127.0.0.1:{self.api_port}",
            "octavia-worker": f"127.0.0.1:{self.worker_port}",
            **{name.replace("_", "-"): address for name, address in more.items()},
        }
        with prometheus(self._folder / "prometheus", targets, PACE) as running:
            yield running


@pytest.fixture
def house(app_settings: Settings, tmp_path: Path) -> House:
    settings = app_settings.model_copy(update={"stale_after_s": 2.0, "data_dir": tmp_path})
    return House(settings, tmp_path)


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is silent after two seconds, for the API as for the workers."""
    monkeypatch.setenv("OCTAVIA_STALE_AFTER_S", "2")


async def test_a_worker_that_dies(house: House) -> None:
    with house.api(), house.watched() as watch:
        with house.worker("first", OCTAVIA_STALE_AFTER_S="2"):
            watch.until(lambda: _is(watch, 'octavia_workers{state="beating"}', 1))
            assert "NoWorker" not in watch.firing()
        watch.until_fires("NoWorker")
        watch.until_fires("WorkerDied")
        with house.worker("second", OCTAVIA_STALE_AFTER_S="2"):
            watch.until_quiet("NoWorker")


async def test_a_queue_that_nobody_works_on(
    house: House, make_job: MakeJob, make_session: Sessions, user: User
) -> None:
    waiting = await make_job(started=False)
    async with make_session.begin() as session:
        client = durable._within_transactions()
        await session.run_sync(lambda sync: durable.enqueue_job(client, sync, waiting.id, user.id, paid=False))
    with house.api(), house.watched() as watch:
        watch.until_fires("QueueTooOld")
        with house.worker("only"):
            watch.until_quiet("QueueTooOld")


async def test_webhooks_of_polars_that_nobody_handles(house: House, make_session: Sessions) -> None:
    body = event("checkout.created", {"id": str(uuid4())})
    kept = wire.Event.model_validate_json(body)
    async with make_session.begin() as session:
        delivery = wire.Delivery(str(uuid4()), kept, body.decode())
        await inbox.keep(session, durable.enqueue_polar_events, [delivery])
    with house.api(), house.watched() as watch:
        watch.until_fires("PolarInboxLagging")
        with house.worker("only"):
            watch.until_quiet("PolarInboxLagging")


async def test_a_mail_server_that_is_away(house: House, make_session: Sessions) -> None:
    with SmtpServer() as smtp:
        smtp.stop()
        message = Message("test", "elinor@example.org", "Subject", "Text", "<p>Text</p>")
        async with make_session.begin() as session:
            await post(session, partial(durable.enqueue_mail, durable._within_transactions()), message)
        with house.api(), house.watched() as watch, house.worker("only", OCTAVIA_SMTP_PORT=str(smtp.port)):
            watch.until_fires("MailsDelayed")
            await asyncio.to_thread(smtp.start)
            watch.until_quiet("MailsDelayed")
            assert smtp.message_ids


async def test_endpoints_of_users_that_do_not_answer(house: House, make_session: Sessions, user: User) -> None:
    dead = f"http://127.0.0.1:{free_port()}/hook"
    local = {"OCTAVIA_WEBHOOKS_LOCAL": "true"}
    with HookReceiver() as receiver, house.api(), house.watched() as watch, house.worker("only", **local):
        watch.until(lambda: watch.query("octavia_webhook_attempts_total"))
        broken = await _deliver(make_session, user, dead, 12)
        watch.until_fires("WebhooksFailing")
        found = watch.query('sum(octavia_webhook_attempts_total{result!="sent"})')
        assert float(found[0]["value"][1]) >= 12
        async with make_session.begin() as session:  # its owner mends it
            endpoint = await session.get_one(WebhookEndpoint, broken)
            endpoint.url = receiver.url
        await _deliver(make_session, user, receiver.url, 40)
        watch.until_quiet("WebhooksFailing")


async def test_connections_that_somebody_keeps(house: House, database_url: str) -> None:
    with house.api(), house.watched() as watch, psycopg.connect(database_url, autocommit=True) as operator:
        most = int(operator.execute("show max_connections").fetchone()[0])  # type: ignore[index]
        with ExitStack() as leak:
            for _ in range(most * 85 // 100):
                leak.callback(psycopg.connect(database_url, application_name="leak").close)
            watch.until_fires("DatabaseConnectionsNearlyUsedUp")
            operator.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'leak'")
            watch.until_quiet("DatabaseConnectionsNearlyUsedUp")


async def test_a_model_plane_that_is_killed(house: House, tmp_path: Path) -> None:
    write_model(tmp_path / "model_repo", "obedient")
    config = write_serve_yaml(tmp_path / "serve.yaml", {"obedient": {}})
    port = str(free_port())

    def start() -> Plane:
        environment = {
            "OCTAVIA_MODEL_REPO": str(tmp_path / "model_repo"),
            "OCTAVIA_SERVE_CONFIG": str(config),
            "OCTAVIA_SERVE_HTTP_PORT": port,
        }
        return start_plane(tmp_path / "plane.log", **environment)

    first = await asyncio.to_thread(start)
    with house.api(), house.watched(octavia_models=f"127.0.0.1:{port}") as watch:
        watch.until(lambda: _is(watch, 'up{job="octavia-models"}', 1))
        first.stop()
        watch.until_fires("ModelPlaneDown")
        second = await asyncio.to_thread(start)
        watch.until_quiet("ModelPlaneDown")
        second.stop()


async def test_an_api_that_is_killed(house: House) -> None:
    with house.watched() as watch:
        with house.api():
            watch.until(lambda: _is(watch, 'up{job="octavia-api"}', 1))
        watch.until_fires("ApiDown")
        with house.api():
            watch.until_quiet("ApiDown")


def _is(watch: Prometheus, query: str, value: float) -> bool:
    found = watch.query(query)
    return bool(found) and float(found[0]["value"][1]) == value


async def _deliver(make_session: Sessions, user: User, url: str, count: int) -> UUID:
    """So many deliveries to a new endpoint at this address; the endpoint's id."""
    async with make_session.begin() as session:
        endpoint = WebhookEndpoint(
            id=uuid4(),
            user_id=user.id,
            url=url,
            events=["job.completed"],
            secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        )
        session.add(endpoint)
        await session.flush()
        for _ in range(count):
            await send(session, endpoint.id, user.id, "job.completed", "{}")
    return endpoint.id
