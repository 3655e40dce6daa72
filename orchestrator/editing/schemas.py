"""Requests and answers about transcripts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.dubbing.operations import MOST_OPERATIONS, AnyOperation
from orchestrator.jobs.schemas import JobView, Notice

Revision = Annotated[int, Field(ge=1, lt=2**31)]


class EditRequest(BaseModel):
    """Operations to be done to a revision, one after the other: all of them, or none."""

    model_config = ConfigDict(extra="forbid")

    base_revision: Revision
    operations: list[AnyOperation] = Field(min_length=1, max_length=MOST_OPERATIONS)


class RestoreRequest(BaseModel):
    """Make a new revision that is as `revision` was."""

    model_config = ConfigDict(extra="forbid")

    base_revision: Revision
    revision: Revision


class RegenerateRequest(BaseModel):
    """`base_revision`: the current one, as it was seen."""

    model_config = ConfigDict(extra="forbid")

    base_revision: Revision


class Spoken(BaseModel):
    """How a segment sounds in the files there are, in seconds of the media. `overflow`: past its slot."""

    onset: float | None
    seconds: float | None
    speed: float | None
    overflow: float | None


class LineView(BaseModel):
    """A segment in a target language. `text` null: it is translated anew at the next regenerate.

    `stale`: the files there are have it otherwise. `missing_terms`: of the glossary, which the translation lacks.
    """

    text: str | None
    voice: str | None
    stale: bool
    spoken: Spoken | None
    missing_terms: list[str]


class EntryView(BaseModel):
    """A segment. Its `id` is the same in every revision."""

    id: int
    start: float
    end: float
    language: str
    speaker: str | None
    text: str
    words: list[dict[str, Any]]
    translations: Mapping[str, LineView]


class TranscriptView(BaseModel):
    """A revision of a job's transcript; `output_revision` is the one its files are of.

    `regeneration`: the job that makes them anew at this moment; until it has ended nothing can be edited.
    `next_cursor` goes into `cursor` for more segments.
    """

    revision: int
    current_revision: int
    output_revision: int
    regeneration: UUID | None
    segments: list[EntryView]
    next_cursor: int | None


class RevisionView(BaseModel):
    """What made a revision: original, edit, restore (of `restored`), or regenerate, which filled in translations."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    what: Literal["original", "edit", "restore", "regenerate"]
    operations: int
    restored: int | None
    at: datetime | None


class RevisionList(BaseModel):
    """Newest first."""

    current_revision: int
    output_revision: int
    items: list[RevisionView]


class EditView(BaseModel):
    """The new revision. `created`: ids of segments that are new. `notices`: what to know of it before regenerating."""

    revision: int
    created: list[int]
    notices: list[Notice]


class RegenerateQuote(BaseModel):
    """What regenerating costs: by language the `seconds` of speech that are other, and the segments they are of.

    `changed` false: the files there are say what the transcript does, and nothing is to be done or paid.
    """

    revision: int
    output_revision: int
    changed: bool
    credits: int
    seconds: dict[str, float]
    segments: list[int]
    available: int
    enough: bool


class RegenerateView(BaseModel):
    """`job`: the regeneration, to be followed and cancelled as any job is; null where nothing had changed.

    When it is completed its files are those of the job it regenerates.
    """

    revision: int
    output_revision: int
    changed: bool
    credits: int
    job: JobView | None


class RegenerationList(BaseModel):
    """Newest first."""

    items: list[JobView]
