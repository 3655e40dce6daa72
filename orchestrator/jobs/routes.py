"""/v1/jobs and /v1/languages."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from orchestrator.accounts.authentication import CallerOrigin, CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.downloads import deliver
from orchestrator.errors import OctaviaError
from orchestrator.idempotency import key_header
from orchestrator.jobs import checks, polling, retrying, service
from orchestrator.jobs.links import download_name
from orchestrator.jobs.models import Job
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
from orchestrator.ownership import owned_by
from orchestrator.problems import documented

router = APIRouter(prefix="/v1", tags=["jobs"])

IdempotencyKey = Annotated[
    str | None, key_header("the same key and request give the same job, however often it is sent")
]


RetryKey = Annotated[str | None, key_header("the same key begins one attempt, however often it is sent")]


class ModelsAwayError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("models_unavailable", "The models do not answer right now. Try again in a few seconds.", 503)


_NOT_MODIFIED = {"description": "What the client has (If-None-Match) is still so"}


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
    origin: CallerOrigin,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Start a job on a media. While the models cannot be asked it is accepted all the same, and waits."""
    created = await service.create(context, user.id, request, idempotency_key, origin=origin)
    response.status_code = 201 if created.new else 200
    response.headers["Location"] = f"/v1/jobs/{created.job.id}"
    return _view(created.job, await polling.places_of(context, [created.job]))


@router.post("/jobs/quote", responses=documented(401, 404, 410, 422, 503))
async def quote_job(request: JobRequest, context: Context, user: CurrentUser) -> QuoteView:
    """Say what a job would cost, and refuse what cannot be done. Nothing is started or held."""
    return await service.quoted(context, user.id, request)


@router.get("/jobs", response_model=JobPage, responses={304: _NOT_MODIFIED, **documented(401, 422, 503)})
async def list_jobs(
    request: Request,
    response: Response,
    context: Context,
    user: CurrentUser,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    status: Status | None = None,
) -> JobPage | Response:
    """One's jobs, newest first."""
    query = service.page(user.id, cursor=cursor, limit=limit + 1, status=status)
    if polling.is_asked(request):
        seen = await polling.look(context, query)
        if unchanged := polling.not_modified(request, polling.tag(user.id, seen)):
            return unchanged
    async with context.sessions() as session:
        found = (await session.scalars(query)).all()
    places = await polling.places_of(context, found)
    response.headers.update(polling.headers(polling.tag(user.id, [polling.Seen.of(job, places) for job in found])))
    items = [_view(job, places) for job in found[:limit]]
    return JobPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get(
    "/jobs/{job_id}", response_model=JobDetail, responses={304: _NOT_MODIFIED, **documented(401, 404, 422, 503)}
)
async def get_job(
    job_id: UUID, request: Request, response: Response, context: Context, user: CurrentUser
) -> JobDetail | Response:
    """One job."""
    if polling.is_asked(request):
        seen = await polling.look(context, owned_by(user.id, Job).where(Job.id == job_id))
        if seen and (unchanged := polling.not_modified(request, polling.tag(user.id, seen))):
            return unchanged
    async with context.sessions() as session:
        job = await service.get(session, user.id, job_id)
        files = [ArtifactView.model_validate(each) for each in await service.artifacts(session, job.id)]
    places = await polling.places_of(context, [job])
    response.headers.update(polling.headers(polling.tag(user.id, [polling.Seen.of(job, places)])))
    return JobDetail(**_view(job, places).model_dump(), quality=job.quality, artifacts=files)


def _view(job: Job, places: Mapping[UUID, int]) -> JobView:
    return JobView.model_validate(job).model_copy(update={"queue_position": places.get(job.id)})


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
) -> JobView:
    """Try a failed or cancelled job again: what it has done is not done twice, and its price is held again.

    Possible for 24 hours (OCTAVIA_RETRY_HOURS); then what it has done is deleted.
    """
    retried = await retrying.retry(context, user.id, job_id, idempotency_key)
    response.status_code = 201 if retried.new else 200
    return _view(retried.job, await polling.places_of(context, [retried.job]))


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
