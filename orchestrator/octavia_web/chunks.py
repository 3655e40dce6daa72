"""Chunks as the video pages call them: passages of a dub that can be heard while the rest is being made."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context
from orchestrator.downloads import send_bytes
from orchestrator.jobs import previews, service
from orchestrator.jobs.models import Job
from orchestrator.jobs.previews import NoPreviewError, PreviewsWithdrawnError
from orchestrator.rate_limits.dependencies import within

router = APIRouter(include_in_schema=False, dependencies=within("default"))

RATINGS = ((0.8, "excellent"), (0.6, "good"), (0.4, "fair"), (0.0, "poor"))
"""From which confidence on the pages call a chunk so."""
DUBS = frozenset({"video_translation", "audio_translation"})


@router.get("/api/download/chunk/{job_id}/{number}")
async def chunk(
    job_id: UUID,
    number: Annotated[int, Path(ge=0, le=2**31 - 1)],
    request: Request,
    context: Context,
    user: CurrentUser,
) -> Response:
    """The speech of a chunk, counted from 0."""
    async with context.sessions() as session:
        job = await service.get(session, user.id, job_id)
        if not job.target_languages:
            raise NoPreviewError("the original", number, context.settings.preview_share)
        language = job.target_languages[0]
        spoken = await previews.spoken(session, job, language, number, context.settings.preview_share)
    return send_bytes(request, await previews.audio(context.storage, spoken), content_type=previews.CONTENT_TYPE)


async def available(session: AsyncSession, job: Job, share: float) -> list[dict[str, Any]]:
    """The chunks of a dub that can be heard now; none of one that failed or was cancelled."""
    if job.kind not in DUBS:
        return []
    try:
        found = await previews.listed(session, job, share)
    except PreviewsWithdrawnError:
        return []
    return [
        {
            "id": each.passage,
            "start_time": round(each.start, 3),
            "duration": round(each.seconds, 3),
            "preview_url": f"/api/download/chunk/{job.id}/{each.passage}",
            "status": "completed",
            **_rated(each.confidence),
        }
        for each in found
        if each.language == job.target_languages[0]
    ]


def _rated(confidence: float | None) -> dict[str, Any]:
    """How sure its words were heard, where they were."""
    if confidence is None:
        return {}
    rating = next(name for least, name in RATINGS if confidence >= least)
    return {"confidence_score": round(confidence, 3), "quality_rating": rating}
