"""Answers about media."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class VideoView(BaseModel):
    codec: str
    width: int
    height: int
    fps: float
    pix_fmt: str


class AudioView(BaseModel):
    codec: str
    channels: int
    sample_rate: int
    language: str | None


class RemarkView(BaseModel):
    """Something in a file that is not as it should be: `code` for programs, `message` names line and reason."""

    code: str
    message: str


class SubtitlesView(BaseModel):
    """A subtitle file: srt, vtt, ass, ssa or json; `language` null where the text does not tell for certain."""

    format: str
    encoding: str
    cues: int
    language: str | None
    remarks: list[RemarkView]


class MediaView(BaseModel):
    """An uploaded file: `duration` in seconds, `size` in bytes, `filename` for display only.

    It is kept until `expires_at`, or longer while a job needs it; when it is not `available`, no job can begin on it.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    filename: str
    kind: Literal["video", "audio", "subtitles"]
    content_type: str
    size: int
    sha256: str
    duration: float
    has_audio: bool
    video: VideoView | None
    audio: list[AudioView]
    subtitles: SubtitlesView | None
    created_at: datetime
    expires_at: datetime
    available: bool


class MediaPage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page."""

    items: list[MediaView]
    next_cursor: UUID | None
