"""Jobs, and what a process would send to a collector."""

from tests.orchestrator.jobs.conftest import ask, job, make_job, make_media, media
from tests.orchestrator.observability.spans import spans

__all__ = ["ask", "job", "make_job", "make_media", "media", "spans"]
