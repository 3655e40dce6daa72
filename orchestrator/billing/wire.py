"""What we read of Polar's objects, whether they come by webhook or by its API.

Lenient on purpose: unknown keys, new values of their enumerations and missing optional fields are all taken, for an
event that cannot be read would be repeated and in the end lost. Field names are Polar's. Amounts are integers in the
currency's smallest unit. Source: Polar's OpenAPI documents, versions 2026-04 and 2026-10.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


def _zoned(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Time = Annotated[datetime, AfterValidator(_zoned)]
_TIME: TypeAdapter[datetime] = TypeAdapter(Time)


def time_in(content: Mapping[str, Any], name: str) -> datetime | None:
    """A time of an object that may be unreadable otherwise; None where it has none."""
    try:
        return _TIME.validate_python(content.get(name))
    except ValidationError:
        return None


class Wire(BaseModel):
    """An object of Polar's with its times; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: UUID
    created_at: Time
    modified_at: Time | None = None

    @property
    def changed_at(self) -> datetime:
        """By which the newer of two copies is told."""
        return self.modified_at or self.created_at


class Customer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    id: UUID
    external_id: str | None = None
    """Our user id, where a checkout of ours made the customer. May be another user's who typed the same e-mail."""


class Subscription(Wire):
    status: str
    """incomplete, incomplete_expired, trialing, active, past_due, canceled, unpaid, paused."""
    product_id: UUID
    customer_id: UUID
    checkout_id: UUID | None = None
    started_at: Time | None = None
    current_period_start: Time | None = None
    current_period_end: Time | None = None
    cancel_at_period_end: bool = False
    ends_at: Time | None = None
    ended_at: Time | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    customer: Customer | None = None


class Item(BaseModel):
    """A line of an order."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    proration: bool = False
    """It is for a part of a period, because of a change of plan."""


class Order(Wire):
    status: str
    """draft, pending, paid, refunded, partially_refunded, void."""
    paid: bool = False
    billing_reason: str
    """purchase, subscription_create, subscription_cycle, subscription_update, subscription_meter_cycle."""
    subtotal_amount: int
    discount_amount: int = 0
    net_amount: int
    tax_amount: int = 0
    total_amount: int
    applied_balance_amount: int = 0
    refunded_amount: int = 0
    """Without tax, of all refunds together."""
    currency: str
    customer_id: UUID
    product_id: UUID | None = None
    subscription_id: UUID | None = None
    checkout_id: UUID | None = None
    discount_id: UUID | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    customer: Customer | None = None
    invoice_number: str | None = None
    is_invoice_generated: bool = False
    items: list[Item] = Field(default_factory=list)


class Checkout(Wire):
    status: str
    """open, confirmed, succeeded, expired, failed."""
    url: str
    expires_at: Time
    product_id: UUID | None = None
    amount: int | None = None
    """The price of the product, before discount and tax."""
    currency: str | None = None
    customer_id: UUID | None = None
    external_customer_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Refund(Wire):
    status: str
    """pending, succeeded, failed, canceled."""
    reason: str = "other"
    amount: int
    """Without tax."""
    tax_amount: int = 0
    currency: str
    order_id: UUID
    metadata: dict[str, Any] = Field(default_factory=dict)


class Dispute(Wire):
    status: str
    """early_warning, needs_response, under_review, prevented, won, lost."""
    amount: int
    tax_amount: int = 0
    currency: str
    order_id: UUID


class CustomerSession(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    customer_portal_url: str


class Invoice(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    url: str


class Price(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    amount_type: str
    price_amount: int | None = None
    price_currency: str | None = None
    is_archived: bool = False


class Product(Wire):
    name: str
    is_archived: bool = False
    is_recurring: bool = False
    recurring_interval: str | None = None
    prices: list[Price] = Field(default_factory=list)


class SubscriptionSettings(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    proration_behavior: str | None = None
    allow_customer_updates: bool | None = None
    """Of before there was `update_plan`."""


class PortalSubscriptionSettings(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    update_plan: bool | None = None


class PortalSettings(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    subscription: PortalSubscriptionSettings = PortalSubscriptionSettings()


class Organization(Wire):
    """A seller at Polar, as far as its settings concern us."""

    name: str
    proration_behavior: str | None = None
    """invoice, prorate, next_period, auto, reset: what a change of plan in the customer portal costs, and when."""
    subscription_settings: SubscriptionSettings = SubscriptionSettings()
    customer_portal_settings: PortalSettings = PortalSettings()

    @property
    def proration(self) -> str:
        return self.subscription_settings.proration_behavior or self.proration_behavior or "unknown"

    @property
    def customers_change_plans(self) -> bool:
        """Whether they can in the portal; so it is where nothing says otherwise."""
        said = (
            self.customer_portal_settings.subscription.update_plan,
            self.subscription_settings.allow_customer_updates,
        )
        return next((allowed for allowed in said if allowed is not None), True)


class Pagination(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    max_page: int


class Listing(BaseModel):
    """One page of a list; its items are read one by one."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    items: list[dict[str, Any]]
    pagination: Pagination


class Event(BaseModel):
    """The envelope of a webhook delivery. Its id is in the header `webhook-id`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str = Field(min_length=1, max_length=200)
    timestamp: Time
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event as Polar delivered it: its id, the same in every repetition, and its body as it came."""

    webhook_id: str
    event: Event
    body: str
