"""Requests and answers about webhooks."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.webhooks.events import Event

Url = Annotated[str, Field(min_length=1, max_length=4_000, json_schema_extra={"format": "uri"})]
"""Any text: what cannot be called is told by the service."""
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _each_once(events: list[Event]) -> list[Event]:
    return list(dict.fromkeys(events))


Events = Annotated[list[Event], Field(min_length=1, max_length=20), AfterValidator(_each_once)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WebhookRequest(Strict):
    """`url`: https, on the internet, at port 443 or another allowed one. Redirects are not followed."""

    url: Url
    events: Events = ["job.completed", "job.failed", "job.cancelled"]
    description: Description = ""


class WebhookChange(Strict):
    """What is left out stays as it is. `enabled`: an endpoint that was disabled is given a new start by true."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = None


class RotationRequest(Strict):
    """`keep_hours`: for so long deliveries are signed with the secret before too; 0 where it has leaked."""

    keep_hours: Annotated[int, Field(ge=0, le=168)] = 24


class WebhookView(BaseModel):
    """An endpoint. `disabled_why`: "owner", "gone" (it answered 410) or "failing" (for three days it took nothing)."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    url: str
    description: str
    events: list[Event]
    created_at: datetime
    disabled_at: datetime | None
    disabled_why: Literal["owner", "gone", "failing"] | None
    failing_since: datetime | None
    previous_until: datetime | None
    """Until then deliveries bear a signature by the secret before too."""


class NewSecret(WebhookView):
    secret: str
    """Shown this once. Verify deliveries with it by the Standard Webhooks scheme (standardwebhooks.com)."""


class WebhookList(BaseModel):
    items: list[WebhookView]


class AttemptView(BaseModel):
    """A request. Without `seconds`: it is under way, or its sender died. `excerpt`: the beginning of the answer."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    at: datetime
    seconds: float | None
    status_code: int | None
    error: str | None
    excerpt: str | None


class DeliveryView(BaseModel):
    """An event on its way to an endpoint; its id is the header `webhook-id` of each attempt."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    event: str
    job_id: UUID | None
    status: Literal["pending", "delivered", "failed"]
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None


class DeliveryLog(DeliveryView):
    attempts: list[AttemptView]


class DeliveryDetail(DeliveryLog):
    body: str
    """What is sent."""


class DeliveryPage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page. Ended ones are kept for 30 days."""

    items: list[DeliveryLog]
    next_cursor: UUID | None
