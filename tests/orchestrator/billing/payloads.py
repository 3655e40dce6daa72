"""Polar's objects and deliveries, as its API and its webhooks write them, about purchases of ours."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from orchestrator.billing.models import Purchase
from orchestrator.billing.offers import Package, Plan

FIXTURES = Path(__file__).parents[2] / "data" / "polar"

OLD_SECRET = "whsec_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V"  # 43 characters: no base64 of anything
NEW_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another endpoint's own secret...").decode()

STARTER = Package(id="starter_credits", name="Starter", credits=100, price_cents=999, product_id=uuid4())
PASSING = Package(id="passing_credits", name="Passing", credits=40, price_cents=400, product_id=uuid4(), valid_days=30)
UNCONFIGURED = Package(id="premium_credits", name="Premium", credits=500, price_cents=3499)
SMALL_PLAN = Plan(id="small_plan", name="Small", credits=300, price_cents=1900, product_id=uuid4())
LARGE_PLAN = Plan(id="large_plan", name="Large", credits=900, price_cents=4900, product_id=uuid4())

T0 = datetime.now(UTC).replace(microsecond=330101) - timedelta(hours=1)
"""When an order is made."""


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def order(purchase: Purchase, **changes: Any) -> dict[str, Any]:
    """The paid order of a purchase, as it is right after the payment."""
    plan = purchase.kind == "plan"
    amount = changes.pop("amount", purchase.checkout_amount)
    return {
        "id": str(uuid4()),
        "created_at": at(0).isoformat(),
        "modified_at": None,
        "status": "paid",
        "paid": True,
        "billing_reason": "subscription_create" if plan else "purchase",
        "subtotal_amount": amount,
        "discount_amount": 0,
        "net_amount": amount,
        "tax_amount": 190,
        "total_amount": (amount or 0) + 190,
        "applied_balance_amount": 0,
        "due_amount": (amount or 0) + 190,
        "refunded_amount": 0,
        "refunded_tax_amount": 0,
        "currency": "usd",
        "customer_id": str(uuid4()),
        "product_id": str(purchase.product_id),
        "discount_id": None,
        "subscription_id": str(uuid4()) if plan else None,
        "checkout_id": str(purchase.checkout_id),
        "metadata": {"purchase_id": str(purchase.id), "user_id": str(purchase.user_id)},
        "customer": {"id": str(uuid4()), "external_id": str(purchase.user_id), "email": "elinor@example.org"},
        "invoice_number": "ADA-0001",
        "is_invoice_generated": False,
        **changes,
    }


def renewal(first: dict[str, Any], month: int = 1, **changes: Any) -> dict[str, Any]:
    """The order of a later period of the subscription that an order began."""
    cycle = {
        "id": str(uuid4()),
        "created_at": at(month).isoformat(),
        "billing_reason": "subscription_cycle",
        "checkout_id": None,
    }
    return {**first, **cycle, **changes}


def refunded(paid: dict[str, Any], amount: int, minutes: float) -> dict[str, Any]:
    """A later copy of an order, of which so much has been refunded in all."""
    status = "refunded" if amount >= paid["net_amount"] else "partially_refunded" if amount else "paid"
    return {**paid, "status": status, "refunded_amount": amount, "modified_at": at(minutes).isoformat()}


def refund(
    of: dict[str, Any], amount: int, status: str = "succeeded", minutes: float = 5, **changes: Any
) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "created_at": at(5).isoformat(),
        "modified_at": at(minutes).isoformat(),
        "status": status,
        "reason": "customer_request",
        "amount": amount,
        "tax_amount": 0,
        "currency": of["currency"],
        "order_id": of["id"],
        "metadata": {},
        **changes,
    }


def dispute(
    of: dict[str, Any], amount: int, status: str = "lost", minutes: float = 9, **changes: Any
) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "created_at": at(8).isoformat(),
        "modified_at": at(minutes).isoformat(),
        "status": status,
        "amount": amount,
        "tax_amount": 0,
        "currency": of["currency"],
        "order_id": of["id"],
        **changes,
    }


def checkout(purchase: Purchase, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(purchase.checkout_id or uuid4()),
        "created_at": at(-2).isoformat(),
        "modified_at": None,
        "status": "open",
        "client_secret": "polar_c_secret",
        "url": "https://sandbox.polar.sh/checkout/polar_c_secret",
        "expires_at": at(1440).isoformat(),
        "product_id": str(purchase.product_id),
        "amount": purchase.price_cents,
        "currency": "usd",
        "customer_id": None,
        "external_customer_id": str(purchase.user_id),
        "metadata": {"purchase_id": str(purchase.id), "user_id": str(purchase.user_id)},
        **changes,
    }


def subscription(first: dict[str, Any], minutes: float = 0, **changes: Any) -> dict[str, Any]:
    """The subscription that an order began."""
    return {
        "id": first["subscription_id"],
        "created_at": at(0).isoformat(),
        "modified_at": at(minutes).isoformat(),
        "status": "active",
        "product_id": first["product_id"],
        "customer_id": first["customer_id"],
        "checkout_id": first["checkout_id"],
        "current_period_start": at(0).isoformat(),
        "current_period_end": (at(0) + timedelta(days=30)).isoformat(),
        "cancel_at_period_end": False,
        "ends_at": None,
        "ended_at": None,
        "metadata": first["metadata"],
        "customer": first["customer"],
        **changes,
    }


def event(type_: str, data: dict[str, Any], minutes: float = 0) -> bytes:
    """The body of a delivery."""
    return json.dumps({"type": type_, "timestamp": at(minutes).isoformat(), "data": data}).encode()


def signed(
    body: bytes, secret: str = NEW_SECRET, *, webhook_id: str | None = None, seconds: float = 0, old: bool = False
) -> dict[str, str]:
    """The headers of a delivery, signed `seconds` from now. `old`: the secret is the key, as before September 2026."""
    key = secret.encode() if old else base64.b64decode(secret.removeprefix("whsec_"))
    webhook_id, stamp = webhook_id or str(uuid4()), str(int(time.time() + seconds))
    mac = hmac.new(key, f"{webhook_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
        "content-type": "application/json",
    }


def purchase_of(user_id: UUID, offer: Package | Plan, **changes: Any) -> Purchase:
    """A purchase whose checkout has been made."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "user_id": user_id,
        "offer": offer.id,
        "kind": "plan" if isinstance(offer, Plan) else "package",
        "product_id": offer.product_id,
        "credits": offer.credits,
        "valid_days": offer.valid_days,
        "price_cents": offer.price_cents,
        "currency": offer.currency,
        "checkout_id": uuid4(),
        "checkout_amount": offer.price_cents,
        "checkout_currency": "usd",
        "expires_at": at(1440),
    }
    return Purchase(**values | changes)
