"""What a worker process's workflows reach for: made once at start, for DBOS calls workflows without our objects."""

from dataclasses import dataclass, field

from dbos import AsyncSQLAlchemyDatasource, DBOSClient
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.inference import Inference
from orchestrator.jobs.places import Places
from orchestrator.media.stretch import Stretcher
from orchestrator.notifications.mailer import Mailer
from orchestrator.settings import Settings
from orchestrator.storage import Storage


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The engine, storage, models, mailer and settings of this worker; its datasource's transactions are steps."""

    settings: Settings
    engine: AsyncEngine
    storage: Storage
    models: Inference
    datasource: AsyncSQLAlchemyDatasource
    mailer: Mailer
    queue: DBOSClient
    """Enqueues in the caller's transaction, as the API does."""
    chunks: Places = field(default_factory=lambda: Places(16, 0.75))
    """For windows and passages."""
    media: Places = field(default_factory=lambda: Places(2, 0.75))
    """For files that are read or put together."""
    stretcher: Stretcher = field(default_factory=Stretcher)


_context: WorkerContext | None = None


def use(context: WorkerContext) -> None:
    global _context  # noqa: PLW0603
    _context = context


def current() -> WorkerContext:
    if _context is None:
        raise RuntimeError("no worker context: a workflow ran outside a worker process")
    return _context
