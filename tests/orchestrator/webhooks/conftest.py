"""A receiver on this machine, an API that allows it, and a worker in this process that sends there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from dbos import DBOS, AsyncSQLAlchemyDatasource
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.database import make_sync_engine
from orchestrator.inference import Inference
from orchestrator.jobs import context, durable, telling
from orchestrator.notifications import workflows as mail_workflows
from orchestrator.notifications.mailer import mailer_from
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from orchestrator.webhooks import workflows as webhook_workflows
from tests.orchestrator.jobs.conftest import job, make_job, make_media, media
from tests.standins.hook import HookReceiver
from tests.standins.smtp import SmtpServer

__all__ = ["job", "mail_workflows", "make_job", "make_media", "media", "telling", "webhook_workflows"]
"""Fixtures, and modules whose import registers their workflows."""

LIMIT_S = 120.0
Register = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as running:
        yield running


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture
def app_settings(app_settings: Settings, smtp: SmtpServer) -> Settings:
    mail = {"smtp_host": "127.0.0.1", "smtp_port": smtp.port, "smtp_tls": "none", "smtp_timeout_s": 5.0}
    return app_settings.model_copy(update={**mail, "webhooks_local": True, "webhook_timeout_s": 30.0})


@pytest.fixture
async def worker(app_settings: Settings, engine: AsyncEngine, storage: Storage) -> AsyncIterator[None]:
    """A worker's queues and workflows in this process."""
    assert app_settings.database_url
    system_engine = make_sync_engine(app_settings.database_url)
    instance = DBOS(config=durable.worker_config(system_engine, "me"))
    datasource = await AsyncSQLAlchemyDatasource.create(
        app_settings.database_url, engine=engine, serializer=durable.JsonSerializer()
    )
    async with Inference("127.0.0.1:1") as models:
        queue = durable.api_client(engine.sync_engine)
        mailer = mailer_from(app_settings)
        context.use(context.WorkerContext(app_settings, engine, storage, models, datasource, mailer, queue))
        DBOS.launch()
        await durable.register_queues(jobs_per_worker=1, chunks_per_worker=1)
        yield
        await asyncio.to_thread(DBOS.destroy)
    instance._launched = False  # DBOS forgets to, and would refuse later tests their datasources
    system_engine.dispose()


@pytest.fixture
def register(client: httpx.AsyncClient, receiver: HookReceiver) -> Register:
    """Make an endpoint at the receiver; what the API answered, with its secret."""

    async def make(**changes: object) -> dict[str, Any]:
        answer = await client.post("/v1/webhooks", json={"url": receiver.url} | changes)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return make


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What the condition gives, once that is something."""
    async with asyncio.timeout(LIMIT_S):
        while not (found := await condition()):  # noqa: ASYNC110  (it lies in the database)
            await asyncio.sleep(0.1)
    return found
