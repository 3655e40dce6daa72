"""Requests and answers of /v1/billing."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.billing.offers import OFFER_ID

PurchaseStatus = Literal["pending", "paid", "partially_refunded", "refunded", "expired", "parked"]


class OfferView(BaseModel):
    """What can be bought. `price_cents` is in `currency`; the checkout may ask for the buyer's own, and adds tax."""

    id: str
    kind: Literal["package", "plan"]
    name: str
    credits: int
    price_cents: int
    currency: str
    valid_days: int | None
    available: bool


class OfferList(BaseModel):
    items: list[OfferView]


class OfferChoice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    offer: str = Field(pattern=OFFER_ID, description="The id of an offer.")


class PurchaseView(BaseModel):
    """A purchase: pending until its payment is certain. `parked`: paid, and a human of ours looks at it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    offer: str
    kind: Literal["package", "plan"]
    credits: int
    valid_days: int | None
    price_cents: int
    currency: str
    status: PurchaseStatus
    expires_at: datetime | None
    created_at: datetime
    paid_at: datetime | None


class NewPurchase(PurchaseView):
    """`checkout_url` is where to pay; None once that is over."""

    checkout_url: str | None


class PurchasePage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page."""

    items: list[PurchaseView]
    next_cursor: UUID | None


class Link(BaseModel):
    """A page at Polar, for this user and for a while."""

    url: str


class SubscriptionView(BaseModel):
    """`offer` is None where no plan of ours has its product any more."""

    id: UUID
    offer: str | None
    status: str
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at_period_end: bool
    ends_at: datetime | None
