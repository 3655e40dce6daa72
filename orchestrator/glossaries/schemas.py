"""Requests and answers about glossaries."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.dubbing.glossary import normal
from orchestrator.dubbing.operations import one_line
from orchestrator.languages import Language

LONGEST_TERM = 200

Phrase = Annotated[str, Field(max_length=LONGEST_TERM), AfterValidator(one_line), AfterValidator(normal)]


class EntryRequest(BaseModel):
    """A term and what it is to be in translations; without a `target` it stays as it is, as a name does.

    A language that is left out stands for any. Where several entries fit a pair, the one that names its languages
    counts. Of terms within each other the longest counts.
    """

    model_config = ConfigDict(extra="forbid")

    source: Phrase
    target: Phrase | None = None
    source_language: Language | None = None
    target_language: Language | None = None
    case_sensitive: bool = False


class EntryView(EntryRequest):
    model_config = ConfigDict(from_attributes=True, extra="ignore")

    id: UUID
    created_at: datetime


class EntryPage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page."""

    items: list[EntryView]
    next_cursor: UUID | None
