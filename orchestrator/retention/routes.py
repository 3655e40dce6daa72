"""/v1/retention, and deleting media and jobs before their time."""

from typing import Any, get_args
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context
from orchestrator.problems import documented
from orchestrator.retention import service
from orchestrator.retention.rules import Kept, kept_for

router = APIRouter(prefix="/v1", tags=["retention"])

LATER: dict[int | str, dict[str, Any]] = {
    202: {"description": "It is withdrawn; its files go as soon as the storage answers"}
}


class RuleView(BaseModel):
    """`what`: an upload, from its arrival on; or the results of a kind of job, from its completion on."""

    what: Kept
    hours: float


class RuleList(BaseModel):
    items: list[RuleView]


@router.get("/retention", responses=documented(401, 503))
async def list_rules(context: Context, _: CurrentUser) -> RuleList:
    """How long files are kept. What a media or job says in `expires_at` was fixed when it was made."""
    hours = {what: kept_for(what, context.settings.retention_hours).total_seconds() / 3600 for what in get_args(Kept)}
    return RuleList(items=[RuleView(what=what, hours=each) for what, each in hours.items()])


@router.delete("/media/{media_id}", status_code=204, responses={**LATER, **documented(401, 404, 409, 422, 503)})
async def delete_media(media_id: UUID, context: Context, user: CurrentUser) -> Response:
    """Delete a media now. Not while a job on it is open; what came of jobs on it stays."""
    done = await service.delete_media(context.sessions, context.storage, user.id, media_id)
    return Response(status_code=204 if done else 202)


@router.delete("/jobs/{job_id}", status_code=204, responses={**LATER, **documented(401, 404, 409, 422, 503)})
async def delete_job(job_id: UUID, context: Context, user: CurrentUser) -> Response:
    """Delete a job that has ended now, with its results and everything that was said in it. Its credits stay spent."""
    done = await service.delete_job(context.sessions, context.storage, user.id, job_id)
    return Response(status_code=204 if done else 202)
