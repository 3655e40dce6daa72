"""/v1/media."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.media import service
from orchestrator.media.models import Media
from orchestrator.media.schemas import MediaPage, MediaView
from orchestrator.media.upload import FIELD
from orchestrator.problems import documented

router = APIRouter(prefix="/v1/media", tags=["media"])

_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post(
    "",
    status_code=201,
    response_model=MediaView,
    responses=documented(400, 401, 413, 415, 422, 503, 507),
    openapi_extra=_UPLOAD,
)
async def upload(request: Request, context: Context, user: CurrentUser) -> Media:
    """Upload a video, audio or subtitle file. Its type is found by its content; its name is only shown.

    Of a text without times only a file named .txt is taken: it becomes SubRip, a cue for each sentence at a reader's
    pace, and `subtitles.remarks` says so.
    """
    return (await service.upload(request, context, user.id, plain_text=True)).media


@router.get("", responses=documented(401, 422, 503))
async def list_media(
    user: CurrentUser,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> MediaPage:
    """One's media, newest first."""
    found = await service.page(session, user.id, cursor, limit + 1)
    items = [MediaView.model_validate(media) for media in found[:limit]]
    return MediaPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get("/{media_id}", response_model=MediaView, responses=documented(401, 404, 422, 503))
async def get_media(media_id: UUID, user: CurrentUser, session: DbSession) -> Media:
    """One media."""
    return await service.get(session, user.id, media_id)
