"""/v1/notifications: what the pages show. Which there are, and which come by e-mail, is set at /v1/me/settings."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import DbSession
from orchestrator.notifications import in_app
from orchestrator.notifications.models import Notification
from orchestrator.notifications.schemas import NotificationPage, NotificationView, Unread
from orchestrator.problems import documented

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


@router.get("", responses=documented(401, 422, 503))
async def list_notifications(
    user: CurrentUser,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    unread: Annotated[bool, Query(description="Only those not read yet.")] = False,
) -> NotificationPage:
    """One's notifications, newest first. They are kept for 90 days."""
    found = await in_app.page(session, user.id, cursor=cursor, limit=limit + 1, unread=unread)
    items = [NotificationView.model_validate(each) for each in found[:limit]]
    return NotificationPage(
        items=items,
        unread=await in_app.count_unread(session, user.id),
        next_cursor=items[-1].id if len(found) > limit else None,
    )


@router.get("/unread", responses=documented(401, 503))
async def count_unread(user: CurrentUser, session: DbSession) -> Unread:
    """How many one has not read yet."""
    return Unread(unread=await in_app.count_unread(session, user.id))


@router.post("/read", responses=documented(401, 422, 503))
async def read_all(
    user: CurrentUser,
    session: DbSession,
    newest: Annotated[UUID | None, Query(description="The newest one that was seen: later ones stay unread.")] = None,
) -> Unread:
    """Mark all as read."""
    await in_app.mark_all_read(session, user.id, newest)
    return Unread(unread=await in_app.count_unread(session, user.id))


@router.post("/{notification_id}/read", response_model=NotificationView, responses=documented(401, 404, 422, 503))
async def read(notification_id: UUID, user: CurrentUser, session: DbSession) -> Notification:
    """Mark one as read."""
    return await in_app.mark_read(session, user.id, notification_id)


@router.delete("/{notification_id}", status_code=204, responses=documented(401, 404, 422, 503))
async def delete(notification_id: UUID, user: CurrentUser, session: DbSession) -> None:
    """Delete one."""
    await in_app.delete(session, user.id, notification_id)
