"""Downloads: one file of a job under the many addresses pages try, one after the other."""

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import AppContext, Context, DbSession
from orchestrator.downloads import send
from orchestrator.errors import OctaviaError
from orchestrator.jobs import samples, service
from orchestrator.jobs.models import Job
from orchestrator.octavia_web.envelope import said
from orchestrator.octavia_web.job_routes import base_of, shown
from orchestrator.octavia_web.views import Shown, download_url, main_artifact
from orchestrator.rate_limits.dependencies import within

router = APIRouter(include_in_schema=False, dependencies=within("default"))

SUBTITLES = ("subtitles",)


class NotReadyError(OctaviaError):
    """404, so that a page tries its next address."""

    def __init__(self, job: Job) -> None:
        super().__init__("not_ready", f"Job {job.id} is {job.status}: it has no file like this.", 404)


@router.get("/api/download/video/{job_id}")
@router.get("/api/download/audio/{job_id}")
@router.get("/api/download/subtitle-audio/{job_id}")
@router.get("/api/generate/subtitle-audio/download/{job_id}")
@router.get("/api/translate/download/video/{job_id}")
@router.get("/api/translate/download/audio/{job_id}")
@router.get("/api/translate/download/subtitle-audio/{job_id}")
@router.get("/api/download/{job_id}")
async def download(job_id: UUID, request: Request, context: Context, user: CurrentUser) -> Response:
    """The job's main file, whatever its kind: history asks for it as "video" even where it is none."""
    return await _send(request, context, await _own(context, user.id, job_id, request), None)


@router.get("/api/translate/download/subtitles/{job_id}")
@router.get("/api/download/subtitles/{job_id}")
@router.get("/api/download/translated-subtitle/{job_id}")
async def download_subtitles(job_id: UUID, request: Request, context: Context, user: CurrentUser) -> Response:
    """Its subtitles: the result of some kinds of job, a by-product of the others."""
    return await _send(request, context, await _own(context, user.id, job_id, request), SUBTITLES)


@router.get("/api/jobs/{job_id}/sample")
async def sample(job_id: UUID, context: Context, user: CurrentUser) -> Response:
    """Ten to thirty seconds of the dub, while the job is still running too."""
    key = await samples.sample(context, user.id, job_id)
    size = await context.storage.size(key)
    headers = {"Content-Length": str(size), "Cache-Control": "private, no-cache", "Accept-Ranges": "none"}
    return StreamingResponse(context.storage.stream(key), headers=headers, media_type="video/mp4")


@router.get("/api/translate/subtitles/review/{job_id}")
async def review(
    job_id: UUID, request: Request, context: Context, user: CurrentUser, session: DbSession
) -> JSONResponse:
    """The subtitles as text: always SRT, which is all the page can read."""
    found = await _own(context, user.id, job_id, request)
    job = found.job
    srt = [file for file in found.artifacts if file.kind == "subtitles" and file.name.endswith(".srt")]
    first = job.target_languages[0] if job.target_languages else None
    file = next((each for each in srt if each.language == first), srt[0] if srt else None)
    if file is None:
        raise NotReadyError(job)
    content = (await context.storage.read(file.storage_key)).decode()
    return said(
        job_id=job.id,
        content=content,
        language=file.language or "auto",
        format=(job.options.get("formats") or ["srt"])[-1],
        segment_count=content.count(" --> "),
        download_url=download_url(job, found.base),
    )


async def _own(context: AppContext, user_id: UUID, job_id: UUID, request: Request) -> Shown:
    async with context.sessions() as session:
        job = await service.get(session, user_id, job_id)
        service.insist_on_results(job)
        return await shown(session, job, base_of(request, context))


async def _send(request: Request, context: AppContext, found: Shown, kinds: tuple[str, ...] | None) -> Response:
    file = main_artifact(found.job, found.artifacts, kinds)
    if file is None:
        raise NotReadyError(found.job)
    await context.storage.size(file.storage_key)
    return send(
        request,
        context.storage,
        file.storage_key,
        size=file.size,
        sha256=file.sha256,
        content_type=file.content_type,
        filename=f"{found.media.filename.rpartition('.')[0] or found.media.filename}.{file.name}",
    )
