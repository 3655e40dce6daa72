"""What users can buy: packages of credits, and plans that bring credits every month. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

OFFER_ID = r"^[a-z0-9_]{1,60}$"


class Offer(BaseModel):
    """Credits for money. The price is what our pages say; what is charged is the price of the product at Polar."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=OFFER_ID)
    name: str = Field(min_length=1, max_length=100)
    credits: int = Field(gt=0)
    price_cents: int = Field(gt=0)
    currency: str = Field(default="usd", pattern="^[a-z]{3}$")
    product_id: UUID | None = None
    """The product at Polar; without one it cannot be bought."""
    valid_days: int | None = Field(default=None, ge=1)
    """How long its credits are good for; None: for ever."""


class Package(Offer):
    """Credits bought once."""


class Plan(Offer):
    """A subscription: its credits come with every paid order of a new period."""


PACKAGES: tuple[Package, ...] = (
    Package(id="starter_credits", name="Starter", credits=100, price_cents=999),
    Package(id="pro_credits", name="Pro", credits=250, price_cents=1999),
    Package(id="premium_credits", name="Premium", credits=500, price_cents=3499),
)


def end_of_credits(valid_days: int | None, *, paid_at: datetime, granted_at: datetime) -> datetime | None:
    """When credits end that are good for so many days; None: never.

    Their days begin when they can be spent: with their grant, and not before the payment. So credits that come late, by
    a repair, an event handled again or a human's decision, are good for as long as was bought.
    """
    return None if valid_days is None else max(paid_at, granted_at) + timedelta(days=valid_days)


def by_product(offers: Iterable[Offer], product_id: UUID | None) -> Offer | None:
    """The offer that a product at Polar stands for."""
    return next((offer for offer in offers if product_id is not None and offer.product_id == product_id), None)
