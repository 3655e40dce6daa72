"""Starting jobs: each page sends its file and its choices in one form, and gets the id of a job."""

import asyncio
import hashlib
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.accounts.models import User
from orchestrator.context import AppContext, Context
from orchestrator.credits import ledger
from orchestrator.credits.errors import InsufficientCreditsError
from orchestrator.credits.prices import quote
from orchestrator.errors import OctaviaError
from orchestrator.idempotency import idempotency_key_of
from orchestrator.jobs import service
from orchestrator.jobs.events import TERMINAL
from orchestrator.jobs.models import Job
from orchestrator.jobs.schemas import JobRequest
from orchestrator.media import service as media_service
from orchestrator.media.models import Media
from orchestrator.octavia_web import orders
from orchestrator.octavia_web.envelope import refused, said
from orchestrator.octavia_web.job_routes import base_of, shown
from orchestrator.octavia_web.orders import Form
from orchestrator.octavia_web.views import job_view
from orchestrator.rate_limits.dependencies import within

router = APIRouter(include_in_schema=False, dependencies=within("default"))

WAIT_S = 280.0
"""How long a page waits for a translated subtitle file: it gives up after 300 s."""
LOOK_S = 2.0


class WrongFileError(OctaviaError):
    def __init__(self, media: Media, form: Form) -> None:
        wanted = " or ".join(form.media)
        super().__init__(
            "wrong_file", f"This is an invalid file: '{media.filename}' is {media.kind}, and this takes {wanted}.", 400
        )


@router.post("/api/translate/video")
@router.post("/api/translate/video/enhanced")
async def translate_video(request: Request, context: Context, user: CurrentUser) -> JSONResponse:
    return await _started(request, context, user, orders.VIDEO)


@router.post("/api/translate/audio")
async def translate_audio(request: Request, context: Context, user: CurrentUser) -> JSONResponse:
    return await _started(request, context, user, orders.AUDIO)


@router.post("/api/translate/subtitles")
async def make_subtitles(request: Request, context: Context, user: CurrentUser) -> JSONResponse:
    return await _started(request, context, user, orders.SUBTITLES)


@router.post("/api/generate/subtitle-audio")
async def speak_subtitles(request: Request, context: Context, user: CurrentUser) -> JSONResponse:
    return await _started(request, context, user, orders.SUBTITLE_AUDIO)


@router.post("/api/translate/subtitle-file")
async def translate_subtitle_file(request: Request, context: Context, user: CurrentUser) -> JSONResponse:
    """The page calls it done when this answers, so it answers when it is done."""
    job = await _start(request, context, user, orders.SUBTITLE_FILE)
    view = await _ended(context, job, base_of(request, context))
    if view["status"] in ("failed", "cancelled"):
        return refused(422, view["error"] or "The translation was cancelled.", job_id=job.id, status=view["status"])
    async with context.sessions() as session:
        left = (await ledger.balance(session, user.id)).available
    path = f"/api/translate/download/subtitles/{job.id}"
    return said(**{**view, "download_url": path}, remaining_credits=left)


async def _started(request: Request, context: AppContext, user: User, form: Form) -> JSONResponse:
    job = await _start(request, context, user, form)
    async with context.sessions() as session:
        view = job_view(await shown(session, job, base_of(request, context)))
        left = (await ledger.balance(session, user.id)).available
    return said(**view, remaining_credits=left)


async def _start(request: Request, context: AppContext, user: User, form: Form) -> Job:
    """Take the file and start the job. What can be refused before a byte of the file is read is.

    With an Idempotency-Key the same file and choices give the same job; the file of the repeat is not kept.
    """
    key = idempotency_key_of(request)
    await _insist_on_credits(context, user, form)
    most: int = getattr(context.settings, form.limit)
    uploaded = await media_service.upload(request, context, user.id, most=most, plain_text=form.plain_text)
    given = {**request.query_params, **uploaded.fields}
    try:
        if uploaded.media.kind not in form.media:
            raise WrongFileError(uploaded.media, form)
        known = await context.backends.capabilities()
        voices = frozenset(voice.name for voice in known.voices) if known else frozenset()
        wanted = _request({"media_id": uploaded.media.id, **orders.request_of(form, given, voices)})
        same = _fingerprint(uploaded.media, wanted)
        created = await service.create(context, user.id, wanted, key, fingerprint=same)
    except OctaviaError:
        await media_service.discard(context, uploaded.media)
        raise
    if not created.new:
        await media_service.discard(context, uploaded.media)
    return created.job


def _fingerprint(media: Media, wanted: JobRequest) -> str:
    """What makes two forms the same request: the file's content and name, and the choices."""
    said = [media.sha256, media.filename, wanted.model_dump(mode="json", exclude={"media_id"})]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _request(values: dict[str, Any]) -> JobRequest:
    try:
        return JobRequest.model_validate(values)
    except ValidationError as error:
        words = "; ".join(str(each["msg"]) for each in error.errors())
        raise OctaviaError("invalid_request", f"This cannot be done: {words}.", 400) from error


async def _insist_on_credits(context: AppContext, user: User, form: Form) -> None:
    """Before the upload: nobody should wait for half a gigabyte to be told to buy credits first."""
    if not context.settings.billing:
        return
    least = quote(form.kind, [], 0.0, context.settings.prices).credits
    async with context.sessions() as session:
        there = (await ledger.balance(session, user.id)).available
    if there < least:
        raise InsufficientCreditsError(least, there)


async def _ended(context: AppContext, job: Job, base: str) -> dict[str, Any]:
    """The job as pages see it, once it has ended or the page would give up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_S
    with context.news.watch(job.id) as woken:
        while True:
            woken.clear()
            async with context.sessions() as session:
                now = await session.get_one(Job, job.id)
                view = job_view(await shown(session, now, base))
            if now.status in TERMINAL or loop.time() > deadline:
                return view
            try:
                async with asyncio.timeout(LOOK_S):
                    await woken.wait()
            except TimeoutError:
                continue
