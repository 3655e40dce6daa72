"""Every table, for comparing the models with the database."""

from orchestrator.accounts import models as accounts
from orchestrator.billing import models as billing
from orchestrator.credits import models as credits
from orchestrator.database import Base
from orchestrator.editing import models as editing
from orchestrator.glossaries import models as glossaries
from orchestrator.jobs import models as jobs
from orchestrator.media import models as media
from orchestrator.notifications import models as notifications
from orchestrator.rate_limits import models as rate_limits
from orchestrator.uploads import models as uploads
from orchestrator.voices import models as voices
from orchestrator.webhooks import models as webhooks

__all__ = [
    "accounts",
    "billing",
    "credits",
    "editing",
    "glossaries",
    "jobs",
    "media",
    "metadata",
    "notifications",
    "rate_limits",
    "uploads",
    "voices",
    "webhooks",
]

metadata = Base.metadata
