"""What a worker process's workflows reach for: made once at start, for DBOS calls workflows without our objects."""

from dataclasses import dataclass

from dbos import AsyncSQLAlchemyDatasource
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.inference import Inference
from orchestrator.settings import Settings
from orchestrator.storage import Storage


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The engine, storage, models and settings of this worker, and the datasource whose transactions are steps."""

    settings: Settings
    engine: AsyncEngine
    storage: Storage
    models: Inference
    datasource: AsyncSQLAlchemyDatasource


_context: WorkerContext | None = None


def use(context: WorkerContext) -> None:
    global _context  # noqa: PLW0603
    _context = context


def current() -> WorkerContext:
    if _context is None:
        raise RuntimeError("no worker context: a workflow ran outside a worker process")
    return _context
