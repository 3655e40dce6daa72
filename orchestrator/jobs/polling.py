"""Cheap polling: entity tags of what is shown of jobs, made of their versions and never of the answer itself.

They are weak (RFC 9110, section 8.8.1): `eta_seconds` counts down with the clock, which is no news.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Self
from uuid import UUID

import sqlalchemy as sa
from fastapi import Request, Response

from orchestrator.context import AppContext
from orchestrator.jobs.models import Job
from orchestrator.jobs.schemas import JobDetail, JobPage
from orchestrator.ranges import matches_etag

SHAPE = blake2b(repr((JobDetail.model_json_schema(), JobPage.model_json_schema())).encode(), digest_size=4).hexdigest()
"""Another one where a new version of the API shows jobs otherwise."""

COLUMNS = (Job.id, Job.version, Job.status, Job.estimated_finish_at)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer about a job depends on."""

    id: UUID
    version: int
    place: int | None
    """In the waiting line."""
    is_overdue: bool

    @classmethod
    def of(cls, job: Any, places: Mapping[UUID, int]) -> Self:
        """From a job or a row of COLUMNS."""
        return cls(job.id, job.version, places.get(job.id), is_overdue(job.status, job.estimated_finish_at))


def is_overdue(status: str, estimated_finish_at: datetime | None) -> bool:
    """Whether a job should have ended by its own estimate, which then says nothing more."""
    return status == "processing" and estimated_finish_at is not None and estimated_finish_at < datetime.now(UTC)


def tag(user_id: UUID, seen: Iterable[Seen]) -> str:
    """The entity tag of an answer to this user about these jobs."""
    digest = blake2b(user_id.bytes, digest_size=12)
    for each in seen:
        digest.update(f"{each.id} {each.version} {each.place} {each.is_overdue};".encode())
    return f'W/"{SHAPE}-{digest.hexdigest()}"'


def headers(tag: str) -> dict[str, str]:
    """Of an answer with the tag, 200 or 304: kept by its reader alone, and asked for again each time."""
    return {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}


def is_asked(request: Request) -> bool:
    """Whether the client has an answer already, which may still hold."""
    return "if-none-match" in request.headers


async def look(context: AppContext, jobs: sa.Select[Job]) -> list[Seen]:
    """What an answer about these jobs would depend on, for less than the answer costs."""
    async with context.sessions() as session:
        rows = (await session.execute(jobs.with_only_columns(*COLUMNS))).all()
    places = await places_of(context, rows)
    return [Seen.of(row, places) for row in rows]


async def places_of(context: AppContext, jobs: Sequence[Any]) -> dict[UUID, int]:
    """The places in line of those that wait, of jobs or rows of COLUMNS. Call it without a connection in hand."""
    places = {job.id: await context.line.place(job.id) for job in jobs if job.status == "pending"}
    return {id_: place for id_, place in places.items() if place is not None}


def not_modified(request: Request, tag: str) -> Response | None:
    """304 where the client has what the tag stands for."""
    if matches_etag(request.headers.get("if-none-match"), tag.removeprefix("W/"), strong=False):
        return Response(status_code=304, headers=headers(tag))
    return None
