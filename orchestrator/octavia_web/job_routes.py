"""Reading, listing, cancelling and watching jobs, under every address some page uses."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import AppContext, Context, DbSession
from orchestrator.jobs import service
from orchestrator.jobs.events import TERMINAL
from orchestrator.jobs.models import Job, JobEvent
from orchestrator.media.models import Media
from orchestrator.octavia_web import chunks
from orchestrator.octavia_web.envelope import said
from orchestrator.octavia_web.views import Shown, job_view
from orchestrator.ownership import newest_first, owned_by
from orchestrator.rate_limits.dependencies import within

router = APIRouter(include_in_schema=False)

MOST_LISTED = 200
LOG_LINES = 20
"""Of a job's log, which is what a page shows of it."""
LOOK_S = 5.0
"""A socket looks at its job at least so often, should a notification be lost."""
PUSHED = ("status", "progress", "message", "status_message", "download_url", "error", "job_id")
"""What a socket tells. It has no token, so nothing of the media is among it."""


def base_of(request: Request, context: AppContext) -> str:
    """The address of this server as its caller knows it."""
    return (context.settings.public_url or str(request.base_url)).rstrip("/")


@router.get("/api/translate/jobs/history", dependencies=within("default"))
async def history(request: Request, context: Context, user: CurrentUser, session: DbSession) -> JSONResponse:
    """The newest first."""
    own = owned_by(user.id, Job).where(Job.regenerates.is_(None))
    query = newest_first(own, Job, None, MOST_LISTED)
    jobs = (await session.scalars(query)).all()
    media = await _media_of(session, jobs)
    total = await session.scalar(sa.select(sa.func.count()).select_from(own.subquery()))
    base = base_of(request, context)
    return said(jobs=[job_view(Shown(job, media[job.media_id], (), base)) for job in jobs], total=total)


@router.get("/api/translate/jobs/{job_id}/status", dependencies=within("default"))
@router.get("/api/jobs/{job_id}/status", dependencies=within("default"))
@router.get("/api/generate/subtitle-audio/status/{job_id}", dependencies=within("default"))
@router.get("/api/translate/subtitle-status/{job_id}", dependencies=within("default"))
@router.get("/api/progress/{job_id}", dependencies=within("default"))
async def status(
    job_id: UUID, request: Request, context: Context, user: CurrentUser, session: DbSession
) -> JSONResponse:
    job = await service.get(session, user.id, job_id)
    view = job_view(await shown(session, job, base_of(request, context), log=await _log(session, job_id)))
    view["available_chunks"] = await chunks.available(session, job, context.settings.preview_share)
    return said(**view)


@router.post("/api/cancel/{job_id}", dependencies=within("default"))
async def cancel(job_id: UUID, request: Request, context: Context, user: CurrentUser) -> JSONResponse:
    await service.cancel(context, user.id, job_id)
    async with context.sessions() as session:
        job = await service.get(session, user.id, job_id)
        return said(**job_view(await shown(session, job, base_of(request, context))))


@router.websocket("/ws/progress/{job_id}")
async def push_progress(socket: WebSocket, job_id: UUID) -> None:
    """The job whenever it changes, until it ends. The page sends no token: the job's id, not to be guessed, is one."""
    context: AppContext = socket.app.state.context
    base = (context.settings.public_url or str(socket.base_url)).rstrip("/")
    await socket.accept()
    leaving = asyncio.create_task(_until_gone(socket))
    try:
        with context.news.watch(job_id) as woken:
            last = None
            while not leaving.done():
                woken.clear()
                async with context.sessions() as session:
                    job = await session.get(Job, job_id)
                    there = job is not None and job.deleted_at is None
                    view = job_view(await shown(session, job, base)) if job and there else None
                if job is None or view is None:
                    await socket.send_json({"status": "failed", "error": f"There is no job {job_id}."})
                    break
                told = jsonable_encoder({name: view[name] for name in PUSHED})
                if told != last:
                    await socket.send_json(last := told)
                if job.status in TERMINAL:
                    break
                await asyncio.wait(
                    {leaving, waiting := asyncio.create_task(woken.wait())},
                    timeout=LOOK_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                waiting.cancel()
        if not leaving.done():
            await socket.close()
    except WebSocketDisconnect:
        pass
    finally:
        leaving.cancel()


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def shown(session: AsyncSession, job: Job, base: str, log: Sequence[JobEvent] = ()) -> Shown:
    media = await session.get_one(Media, job.media_id)
    artifacts = await service.artifacts(session, job.id) if job.status == "completed" else ()
    return Shown(job, media, artifacts, base, log)


async def _log(session: AsyncSession, job_id: UUID) -> Sequence[JobEvent]:
    """The last lines, in order."""
    query = sa.select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id.desc()).limit(LOG_LINES)
    return (await session.scalars(query)).all()[::-1]


async def _media_of(session: AsyncSession, jobs: Sequence[Job]) -> dict[UUID, Media]:
    ids = {job.media_id for job in jobs}
    return {media.id: media for media in await session.scalars(sa.select(Media).where(Media.id.in_(ids)))}
