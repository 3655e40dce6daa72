"""What Polar accepts in a request's body. Unknown keys are ignored, but for subscriptions."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, IPvAnyAddress

Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=40)], Text | int | float | bool], Field(max_length=50)
]
Reason = Literal["duplicate", "fraudulent", "customer_request", "service_disruption", "satisfaction_guarantee", "other"]


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class NewCheckout(Body):
    products: list[UUID] = Field(min_length=1)
    external_customer_id: str | None = Field(
        default=None, validation_alias=AliasChoices("external_customer_id", "customer_external_id")
    )
    customer_email: str | None = None
    customer_ip_address: IPvAnyAddress | None = None
    metadata: Metadata = {}
    success_url: Url | None = None
    return_url: Url | None = None
    allow_discount_codes: bool = True


class NewRefund(Body):
    order_id: UUID
    reason: Reason
    amount: int = Field(gt=0)
    comment: str | None = None
    revoke_benefits: bool = False
    metadata: Metadata = {}


class NewSession(Body):
    customer_id: str | None = None
    external_customer_id: str | None = None
    return_url: Url | None = None


class Change(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Cancellation(Change):
    cancel_at_period_end: bool
    customer_cancellation_reason: str | None = None
    customer_cancellation_comment: str | None = None


class Revocation(Change):
    revoke: Literal[True]
    customer_cancellation_reason: str | None = None
    customer_cancellation_comment: str | None = None


class ProductChange(Change):
    product_id: UUID
    proration_behavior: Literal["invoice", "prorate", "next_period", "reset"] = "prorate"


class NoPendingChange(Change):
    pending_update: None


CHANGES: dict[str, type[Change]] = {
    "cancel_at_period_end": Cancellation,
    "revoke": Revocation,
    "product_id": ProductChange,
    "pending_update": NoPendingChange,
}
"""By the key that tells them apart."""


def as_json(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json")
