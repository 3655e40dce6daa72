"""Links to a job's finished files that need no login: for players, downloaders and whoever one passes them on to."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import User
from orchestrator.errors import OctaviaError
from orchestrator.jobs import service
from orchestrator.jobs.models import Artifact, Job
from orchestrator.media.models import Media
from orchestrator.settings import Settings
from orchestrator.signed_links import LinkRevokedError, check, link_keys, signature


class TooLongALinkError(OctaviaError):
    def __init__(self, limit_s: int) -> None:
        super().__init__("link_too_long", f"A link can be good for {limit_s} seconds at most.", 422, limit=limit_s)


@dataclass(frozen=True, slots=True)
class Link:
    """Path and query of a download, good until `expires_at`."""

    path: str
    expires_at: datetime


async def make(
    session: AsyncSession, settings: Settings, user_id: UUID, job_id: UUID, name: str, seconds: int | None
) -> Link:
    """A link to a file of the user's job, for `seconds` or as long as the setting says.

    Raises NotFoundError for job and file, ResultsExpiredError, TooLongALinkError.
    """
    longest_s = settings.download_link_minutes * 60
    if seconds is not None and seconds > longest_s:
        raise TooLongALinkError(longest_s)
    job = await service.get(session, user_id, job_id)
    file = await service.artifact(session, job.id, name)
    expires_at = (datetime.now(UTC) + timedelta(seconds=seconds or longest_s)).replace(microsecond=0)
    expires = int(expires_at.timestamp())
    signed = signature(link_keys(settings)[0], _subject(job.id, file.name), expires)
    path = f"/v1/downloads/{job.id}/{quote(file.name, safe='')}?expires={expires}&signature={signed}"
    return Link(path, expires_at)


async def follow(
    session: AsyncSession, settings: Settings, job_id: UUID, name: str, expires: int, given: str
) -> tuple[Artifact, str]:
    """The file a link leads to, and the name to save it under.

    Raises LinkInvalidError, LinkExpiredError; LinkRevokedError where file or account are no more, ResultsExpiredError.
    """
    check(link_keys(settings), _subject(job_id, name), expires, given, datetime.now(UTC))
    query = (
        sa.select(Artifact, Media.filename, Job)
        .select_from(Artifact)
        .join(Job, Job.id == Artifact.job_id)
        .join(User, User.id == Job.user_id)
        .outerjoin(Media, Media.id == Job.media_id)
        .where(Artifact.job_id == job_id, Artifact.name == name, User.status == "active")
    )
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise LinkRevokedError
    file, original, job = found
    if job.deleted_at is not None:
        raise LinkRevokedError
    service.insist_on_results(job)
    return file, download_name(original, file)


def download_name(original: str | None, file: Artifact) -> str:
    """A finished file's name after that of the media it was made from: "Sense and Sensibility.es.mp4"."""
    if not original:
        return file.name
    return f"{original.rpartition('.')[0] or original}.{file.name}"


def _subject(job_id: UUID, name: str) -> str:
    return f"{job_id}/{name}"
