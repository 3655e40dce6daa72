"""The worker process: runs the durable workflows of jobs and mails.  `python -m orchestrator.jobs.worker`"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import sqlalchemy as sa
import structlog
from dbos import DBOS, AsyncSQLAlchemyDatasource
from dbos._dbos import ScheduleInput
from uuid_utils.compat import uuid7

from orchestrator.accounts import workflows as account_workflows  # noqa: F401
from orchestrator.billing import workflows as billing_workflows
from orchestrator.database import make_engine, make_sync_engine
from orchestrator.inference import Inference
from orchestrator.jobs import context, durable, forgetting, telling, workflows  # noqa: F401  (workflows register on import)
from orchestrator.jobs.alive import keep_fresh
from orchestrator.jobs.heartbeat import Heartbeat
from orchestrator.jobs.places import Places
from orchestrator.jobs.scratch import worker_scratch
from orchestrator.jobs.sweeper import sweep_for_ever
from orchestrator.local.processes import EXECUTOR_ID, end_with_parent
from orchestrator.logs import configure_logging
from orchestrator.media.stretch import Stretcher
from orchestrator.memory import share_arenas
from orchestrator.notifications import workflows as mail_workflows  # noqa: F401
from orchestrator.notifications.mailer import mailer_from
from orchestrator.observability.metrics import watch_pool, watch_room
from orchestrator.observability.telling import begin as begin_telling
from orchestrator.settings import Settings, get_settings
from orchestrator.settings_check import insist
from orchestrator.storage import Storage
from orchestrator.uploads.sweeper import sweep_for_ever as sweep_uploads_for_ever
from orchestrator.webhooks import workflows as webhook_workflows  # noqa: F401

log = structlog.get_logger(__name__)


async def run(settings: Settings, executor_id: str) -> int:
    """Work until SIGTERM or SIGINT, then finish what can be finished within the drain time and hand over the rest.

    Returns the process's exit code: 1 where the worker stopped because a part of it failed.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    mailer = mailer_from(settings)
    engine = make_engine(settings.database_url, pool=settings.database_pool)
    system_engine = make_sync_engine(settings.database_url, pool=settings.database_pool)
    with worker_scratch(settings.scratch_root, executor_id) as scratch:
        storage = Storage.from_settings(settings, scratch)
        async with Inference(settings.model_address, wait_s=settings.model_wait_s) as models:
            heartbeat = Heartbeat(engine, executor_id, settings.stale_after_s)
            await heartbeat.begin()
            DBOS(config=durable.worker_config(system_engine, executor_id))
            datasource = await AsyncSQLAlchemyDatasource.create(
                _url(system_engine), engine=engine, serializer=durable.JsonSerializer()
            )
            queue = durable.api_client(system_engine)
            chunks = Places(settings.chunks_per_worker, settings.paid_share)
            media = Places(settings.media_per_worker, settings.paid_share)
            watch_pool(engine)
            watch_room("chunks", chunks)
            watch_room("media", media)
            stretcher = await Stretcher.find()
            log.info("speech is brought to its length by ffmpeg", filter=stretcher.filter)
            context.use(
                context.WorkerContext(
                    settings, engine, storage, models, datasource, mailer, queue, chunks, media, stretcher
                )
            )
            DBOS.launch()
            await durable.register_queues(
                jobs_per_worker=settings.jobs_per_worker, chunks_per_worker=settings.chunks_per_worker
            )
            await DBOS.apply_schedules_async(_schedules(settings))
            parts = {
                "sign of life": keep_fresh(scratch),
                "heartbeat": heartbeat.run(),
                "sweeper": sweep_for_ever(engine, storage, settings.retry_hours),
                "sweeper of uploads": sweep_uploads_for_ever(settings, engine, storage),
            }
            log.info("worker ready", executor_id=executor_id)
            async with kept(parts, stop) as failed:
                log.info("worker draining", seconds=settings.drain_s)
                await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=settings.drain_s)
            with suppress(sa.exc.SQLAlchemyError):
                await heartbeat.goodbye()
    await engine.dispose()
    system_engine.dispose()
    return 1 if failed else 0


@asynccontextmanager
async def kept(parts: Mapping[str, Coroutine[Any, Any, None]], stop: asyncio.Event) -> AsyncIterator[list[str]]:
    """Run the parts of a worker that never end; the body runs once `stop` is set or one of them has ended after all.

    Yields the names of those that ended, each with its error in the log. The others end after the body.
    """
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in tasks if task in done]
        for task in failed:
            log.error("a part of the worker failed, stopping it", part=task.get_name(), exc_info=task.exception())
        yield [task.get_name() for task in failed]
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)


def _schedules(settings: Settings) -> list[ScheduleInput]:
    """What workers do at certain times, each time one of them."""
    return [*forgetting.schedules(), *(billing_workflows.schedules(settings) if settings.billing else [])]


def _url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def main() -> None:
    end_with_parent()
    share_arenas()
    settings = get_settings()
    configure_logging(settings)
    insist(settings)
    begin_telling(settings, "worker")
    executor_id = os.environ.get(EXECUTOR_ID) or f"{socket.gethostname()}-{uuid7()}"
    sys.exit(asyncio.run(run(settings, executor_id)))


if __name__ == "__main__":
    main()
