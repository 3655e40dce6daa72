"""Every table, for comparing the models with the database."""

from orchestrator.accounts import models as accounts
from orchestrator.database import Base
from orchestrator.jobs import models as jobs
from orchestrator.media import models as media

__all__ = ["accounts", "jobs", "media", "metadata"]

metadata = Base.metadata
