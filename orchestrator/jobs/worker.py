"""The worker process: runs the durable workflows of jobs until told to stop.  `python -m orchestrator.jobs.worker`"""

import asyncio
import os
import signal
import socket
from contextlib import suppress

import sqlalchemy as sa
import structlog
from dbos import DBOS, AsyncSQLAlchemyDatasource
from uuid_utils.compat import uuid7

from orchestrator.database import make_engine, make_sync_engine
from orchestrator.inference import Inference
from orchestrator.jobs import context, durable, workflows  # noqa: F401  (its workflows register on import)
from orchestrator.jobs.heartbeat import Heartbeat
from orchestrator.jobs.sweeper import sweep_for_ever
from orchestrator.local.processes import EXECUTOR_ID, end_with_parent
from orchestrator.logs import configure_logging
from orchestrator.settings import Settings, get_settings
from orchestrator.storage import Storage

log = structlog.get_logger(__name__)


async def run(settings: Settings, executor_id: str) -> None:
    """Work until SIGTERM or SIGINT, then finish what can be finished within the drain time and hand over the rest."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    engine = make_engine(settings.database_url)
    system_engine = make_sync_engine(settings.database_url)
    async with Inference(settings.model_address, wait_s=settings.model_wait_s) as models:
        DBOS(config=durable.worker_config(system_engine, executor_id))
        datasource = await AsyncSQLAlchemyDatasource.create(
            _url(system_engine), engine=engine, serializer=durable.JsonSerializer()
        )
        context.use(context.WorkerContext(settings, engine, Storage.from_settings(settings), models, datasource))
        DBOS.launch()
        await durable.register_queues(
            jobs_per_worker=settings.jobs_per_worker, chunks_per_worker=settings.chunks_per_worker
        )
        heartbeat = Heartbeat(engine, executor_id, settings.stale_after_s)
        background = [asyncio.create_task(heartbeat.run()), asyncio.create_task(sweep_for_ever(engine))]
        log.info("worker ready", executor_id=executor_id)

        await stop.wait()
        log.info("worker draining", seconds=settings.drain_s)
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=settings.drain_s)
        for task in background:
            task.cancel()
        with suppress(sa.exc.SQLAlchemyError):
            await heartbeat.goodbye()
    await engine.dispose()
    system_engine.dispose()


def _url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def main() -> None:
    end_with_parent()
    settings = get_settings()
    configure_logging(settings)
    executor_id = os.environ.get(EXECUTOR_ID) or f"{socket.gethostname()}-{uuid7()}"
    asyncio.run(run(settings, executor_id))


if __name__ == "__main__":
    main()
