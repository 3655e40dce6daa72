"""Answers about uploads."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, computed_field


class UploadProblem(BaseModel):
    """Why the file was refused: `message` for people, `code` for programs, `status` as the request was answered."""

    code: str
    message: str
    status: int
    detail: dict[str, Any]


class UploadView(BaseModel):
    """A resumable upload: `received` of `length` bytes are stored.

    `receiving`: send the rest to it before `expires_at`. `checking`: all is here and its content is being read.
    `completed`: it is the media `media_id`. `refused`: `problem` says why. `ended`: deleted or expired.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    filename: str
    length: int
    received: int
    status: Literal["receiving", "checking", "completed", "refused", "ended"]
    problem: UploadProblem | None
    created_at: datetime
    expires_at: datetime

    @computed_field  # type: ignore[prop-decorator]
    @property
    def media_id(self) -> UUID | None:
        return self.id if self.status == "completed" else None


class UploadPage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page."""

    items: list[UploadView]
    next_cursor: UUID | None
