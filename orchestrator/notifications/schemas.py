"""Answers about notifications."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class NotificationView(BaseModel):
    """Something to know: `page` is a path of the web frontend where more is to be seen."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: Literal["job_completed", "job_failed", "webhook_disabled"]
    job_id: UUID | None
    title: str
    message: str
    page: str
    created_at: datetime
    read_at: datetime | None


class NotificationPage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page. `unread` counts all there are."""

    items: list[NotificationView]
    unread: int
    next_cursor: UUID | None


class Unread(BaseModel):
    unread: int
