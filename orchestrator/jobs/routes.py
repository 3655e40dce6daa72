"""/v1/jobs and /v1/languages."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.downloads import deliver
from orchestrator.errors import OctaviaError
from orchestrator.idempotency import key_header
from orchestrator.jobs import checks, retrying, service
from orchestrator.jobs.events import TERMINAL, events_after, follow
from orchestrator.jobs.links import download_name
from orchestrator.jobs.models import Job, JobEvent
from orchestrator.jobs.schemas import (
    ArtifactList,
    ArtifactView,
    JobDetail,
    JobPage,
    JobRequest,
    JobView,
    Languages,
    QuoteView,
    SegmentPage,
    Status,
)
from orchestrator.media.models import Media
from orchestrator.problems import documented

router = APIRouter(prefix="/v1", tags=["jobs"])

RECONNECT_MS = 2_000

IdempotencyKey = Annotated[
    str | None, key_header("the same key and request give the same job, however often it is sent")
]


RetryKey = Annotated[str | None, key_header("the same key begins one attempt, however often it is sent")]


class ModelsAwayError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("models_unavailable", "The models do not answer right now. Try again in a few seconds.", 503)


class EventStream(StreamingResponse):
    """Server-sent events (WHATWG HTML, section 9.2), not to be stored or held back on the way."""

    media_type = "text/event-stream"


@router.post(
    "/jobs",
    status_code=201,
    response_model=JobView,
    responses={
        200: {"model": JobView, "description": "The job an earlier request with this key made"},
        **documented(401, 402, 404, 409, 410, 422, 503),
    },
)
async def create_job(
    request: JobRequest,
    response: Response,
    context: Context,
    user: CurrentUser,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Start a job on a media. While the models cannot be asked it is accepted all the same, and waits."""
    created = await service.create(context, user.id, request, idempotency_key)
    response.status_code = 201 if created.new else 200
    response.headers["Location"] = f"/v1/jobs/{created.job.id}"
    return created.job


@router.post("/jobs/quote", responses=documented(401, 404, 410, 422, 503))
async def quote_job(request: JobRequest, context: Context, user: CurrentUser) -> QuoteView:
    """Say what a job would cost, and refuse what cannot be done. Nothing is started or held."""
    return await service.quoted(context, user.id, request)


@router.get("/jobs", responses=documented(401, 422, 503))
async def list_jobs(
    user: CurrentUser,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    status: Status | None = None,
) -> JobPage:
    """One's jobs, newest first."""
    found = await service.page(session, user.id, cursor=cursor, limit=limit + 1, status=status)
    items = [JobView.model_validate(job) for job in found[:limit]]
    return JobPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get("/jobs/{job_id}", responses=documented(401, 404, 422, 503))
async def get_job(job_id: UUID, user: CurrentUser, session: DbSession) -> JobDetail:
    """One job."""
    job = await service.get(session, user.id, job_id)
    files = [ArtifactView.model_validate(each) for each in await service.artifacts(session, job.id)]
    return JobDetail(**JobView.model_validate(job).model_dump(), artifacts=files)


@router.post("/jobs/{job_id}/cancel", response_model=JobView, responses=documented(401, 404, 409, 422, 503))
async def cancel_job(job_id: UUID, context: Context, user: CurrentUser) -> Job:
    """Cancel an open job."""
    return await service.cancel(context, user.id, job_id)


@router.post(
    "/jobs/{job_id}/retry",
    status_code=201,
    response_model=JobView,
    responses={
        200: {"model": JobView, "description": "The job, whose attempt an earlier request with this key began"},
        **documented(401, 402, 404, 409, 422, 503),
    },
)
async def retry_job(
    job_id: UUID, response: Response, context: Context, user: CurrentUser, idempotency_key: RetryKey = None
) -> Job:
    """Try a failed or cancelled job again: what it has done is not done twice, and its price is held again.

    Possible for 24 hours (OCTAVIA_RETRY_HOURS); then what it has done is deleted.
    """
    retried = await retrying.retry(context, user.id, job_id, idempotency_key)
    response.status_code = 201 if retried.new else 200
    return retried.job


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventStream,
    responses={
        200: {
            "description": "Server-sent events `progress`, `warning`, `completed`, `failed`, `cancelled`, data in JSON"
        },
        204: {"description": "The job has ended and the last event was delivered already: do not reconnect"},
        **documented(401, 404, 422, 503),
    },
)
async def job_events(
    job_id: UUID,
    context: Context,
    user: CurrentUser,
    last_event_id: Annotated[int, Header(ge=0, le=2**63 - 1, description="Only events after this one.")] = 0,
) -> Response:
    """Everything that happened to the job at this attempt, then what happens, until it ends."""
    async with context.sessions() as session:
        job = await service.get(session, user.id, job_id)
        after = max(last_event_id, job.last_event_before)
        if last_event_id and job.status in TERMINAL and not await events_after(session, job_id, after):
            return Response(status_code=204)
    events = follow(context.engine, context.news, job_id, after, context.settings.sse_heartbeat_s)
    return EventStream(_wire(events), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


async def _wire(events: AsyncIterator[JobEvent | None]) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RECONNECT_MS)
    async for event in events:
        if event is None:
            yield b": still here\n\n"
        else:
            data = json.dumps({**event.data, "at": event.at.isoformat()}, ensure_ascii=False)
            yield format_sse_event(data_str=data, event=event.type, id=str(event.id))


@router.get("/jobs/{job_id}/segments", responses=documented(401, 404, 410, 422, 503))
async def job_segments(
    job_id: UUID,
    user: CurrentUser,
    session: DbSession,
    cursor: Annotated[int, Query(ge=-1, le=2**31 - 1, description="The next_cursor of the page before.")] = -1,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
) -> SegmentPage:
    """What was heard, its translations, and where each is spoken."""
    service.insist_on_results(await service.get(session, user.id, job_id))
    found = await service.segments(session, job_id, cursor, limit + 1)
    return SegmentPage(items=found[:limit], next_cursor=found[limit - 1].index if len(found) > limit else None)


@router.get("/jobs/{job_id}/artifacts", responses=documented(401, 404, 422, 503))
async def job_artifacts(job_id: UUID, user: CurrentUser, session: DbSession) -> ArtifactList:
    """The job's finished files."""
    await service.get(session, user.id, job_id)
    return ArtifactList(items=[ArtifactView.model_validate(each) for each in await service.artifacts(session, job_id)])


_DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"application/octet-stream": {}}},
    206: {"description": "The part a Range header asked for", "content": {"application/octet-stream": {}}},
    304: {"description": "The file the client has (If-None-Match) is the current one"},
    307: {"description": "The file is at the object store, where the server is set so"},
    **documented(401, 404, 410, 416, 422, 503),
}


@router.head("/jobs/{job_id}/artifacts/{name}", response_class=Response, responses=_DOWNLOAD, include_in_schema=False)
@router.get("/jobs/{job_id}/artifacts/{name}", response_class=Response, responses=_DOWNLOAD)
async def download_artifact(
    job_id: UUID,
    name: Annotated[str, Path(max_length=255, pattern=r"^[^\x00]+$")],
    request: Request,
    context: Context,
    user: CurrentUser,
) -> Response:
    """A finished file, or a range of it."""
    async with context.sessions() as session:
        job = await service.get(session, user.id, job_id)
        file = await service.artifact(session, job_id, name)
        media = await session.get_one(Media, job.media_id)
    return await deliver(request, context, file, download_name(media.filename, file))


@router.get("/languages", responses=documented(401, 503))
async def list_languages(context: Context, user: CurrentUser) -> Languages:
    """What the loaded models can hear, translate and speak."""
    known = await context.backends.capabilities()
    if known is None:
        raise ModelsAwayError
    return checks.languages(known)
