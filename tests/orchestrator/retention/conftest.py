"""Rows of jobs and media for the tests of their end."""

from tests.orchestrator.jobs.conftest import job, make_job, make_media, media

__all__ = ["job", "make_job", "make_media", "media"]
