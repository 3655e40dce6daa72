"""/v1/jobs/{id}/previews."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.downloads import send_bytes
from orchestrator.jobs import previews, service
from orchestrator.jobs.schemas import PreviewList, PreviewView
from orchestrator.problems import documented

router = APIRouter(prefix="/v1", tags=["jobs"])

_AUDIO: dict[int | str, dict[str, Any]] = {
    200: {"description": "The passage's speech", "content": {previews.CONTENT_TYPE: {}}},
    206: {"description": "The part a Range header asked for", "content": {previews.CONTENT_TYPE: {}}},
    304: {"description": "The speech the client has (If-None-Match) is the current one"},
    **documented(401, 404, 410, 416, 422, 503),
}


@router.get("/jobs/{job_id}/previews", responses=documented(401, 404, 410, 422, 503))
async def job_previews(job_id: UUID, context: Context, user: CurrentUser, session: DbSession) -> PreviewList:
    """The passages of a dub that can be heard already: of a job that is not completed the first fifth
    (OCTAVIA_PREVIEW_SHARE), one at least. They are withdrawn when the job fails or is cancelled."""
    share = context.settings.preview_share
    found = await previews.listed(session, await service.get(session, user.id, job_id), share)
    return PreviewList(share=share, items=[PreviewView.model_validate(each) for each in found])


@router.head(
    "/jobs/{job_id}/previews/{language}/{passage}", response_class=Response, responses=_AUDIO, include_in_schema=False
)
@router.get("/jobs/{job_id}/previews/{language}/{passage}", response_class=Response, responses=_AUDIO)
async def hear_preview(
    job_id: UUID,
    language: Annotated[str, Path(max_length=35, pattern=r"^[A-Za-z0-9-]+$")],
    passage: Annotated[int, Path(ge=0, le=2**31 - 1)],
    request: Request,
    context: Context,
    user: CurrentUser,
) -> Response:
    """One passage's speech as WAV, or a range of it."""
    async with context.sessions() as session:
        job = await service.get(session, user.id, job_id)
        spoken = await previews.spoken(session, job, language, passage, context.settings.preview_share)
    return send_bytes(request, await previews.audio(context.storage, spoken), content_type=previews.CONTENT_TYPE)
