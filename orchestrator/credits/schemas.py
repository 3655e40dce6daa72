"""Requests and answers about credits."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.credits.models import Kind


class View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ExpiringView(View):
    """Credits that can be spent until `at`."""

    at: datetime
    credits: int


class HoldView(View):
    """Credits reserved for what `reference` names (job:…), until they are spent or given back."""

    id: UUID
    credits: int = Field(validation_alias="held_amount")
    reference: str
    created_at: datetime


class CreditsView(BaseModel):
    """What can be spent, what is reserved, and what is owed: then `available` is less than 0."""

    available: int
    held: int
    debt: int
    expiring: list[ExpiringView]
    """The next, soonest first."""
    holds: list[HoldView]
    """The newest."""


class EntryView(View):
    """A change of the account: `amount` of the available credits, `held_amount` of the held; both after it."""

    sequence: int
    kind: Kind
    amount: int
    held_amount: int
    available: int
    held: int
    reference: str
    note: str | None
    created_at: datetime


class EntryPage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page."""

    items: list[EntryView]
    next_cursor: int | None


class TestCreditsRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    credits: Annotated[int, Field(ge=1, le=1000)]
