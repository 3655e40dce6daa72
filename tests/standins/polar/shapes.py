"""The shapes of Polar's objects, API versions 2026-04 to 2027-01: whole objects as they are stored and shown."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Json = dict[str, Any]

ORGANIZATION = "5c1d2f3a-7b64-4c0e-9a11-0d2f6b8e4a01"
ADDRESS: Json = {
    "line1": "12 Sample Street",
    "line2": None,
    "postal_code": "10115",
    "city": "Berlin",
    "state": None,
    "country": "DE",
}
SUMMARY_OF_PRODUCT = frozenset({"prices", "benefits", "medias", "attached_custom_fields", "is_deletable"})
"""What the product inside an order does not have."""
SUMMARY_OF_SUBSCRIPTION = frozenset({"custom_field_data"})
PAID = frozenset({"paid", "refunded", "partially_refunded"})


def stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def identity(now: datetime) -> Json:
    return {"id": str(uuid4()), "created_at": stamp(now), "modified_at": None}


def organization(now: datetime) -> Json:
    """One as it is when it has been made: customers change plans by themselves, and it is prorated."""
    return {
        **identity(now),
        "id": ORGANIZATION,
        "name": "Ada Example Company",
        "slug": "ada-example",
        "avatar_url": None,
        "proration_behavior": "prorate",
        "allow_customer_updates": True,
        "email": "help@example.com",
        "website": None,
        "socials": [],
        "status": "active",
        "details_submitted_at": stamp(now),
        "default_presentment_currency": "usd",
        "default_tax_behavior": "location",
        "feature_settings": None,
        "subscription_settings": {
            "allow_multiple_subscriptions": False,
            "proration_behavior": "prorate",
            "benefit_revocation_grace_period": 0,
            "prevent_trial_abuse": False,
            "allow_customer_updates": True,
        },
        "customer_portal_settings": {
            "usage": {"show": True},
            "subscription": {"update_seats": True, "update_plan": True},
            "customer": {"allow_email_change": False},
        },
    }


def product(
    name: str, price: int, now: datetime, *, id_: str | None, interval: str | None, currency: str, archived: bool
) -> Json:
    made: Json = {
        **identity(now),
        "trial_interval": None,
        "trial_interval_count": None,
        "name": name,
        "description": None,
        "visibility": "public",
        "recurring_interval": interval,
        "recurring_interval_count": 1 if interval else None,
        "meter_interval": None,
        "meter_interval_count": None,
        "is_recurring": interval is not None,
        "is_archived": archived,
        "organization_id": ORGANIZATION,
        "metadata": {},
        "is_deletable": False,
        "benefits": [],
        "medias": [],
        "attached_custom_fields": [],
    }
    made["id"] = id_ or made["id"]
    made["prices"] = [
        {
            **identity(now),
            "source": "catalog",
            "amount_type": "fixed",
            "price_currency": currency,
            "tax_behavior": None,
            "is_archived": False,
            "product_id": made["id"],
            "type": "recurring" if interval else "one_time",
            "recurring_interval": interval,
            "price_amount": price,
        }
    ]
    return made


def customer(email: str, now: datetime, external_id: str | None) -> Json:
    return {
        **identity(now),
        "metadata": {},
        "external_id": external_id,
        "email": email,
        "email_verified": False,
        "type": "individual",
        "name": "Ada Example",
        "billing_name": "Ada Example",
        "billing_address": ADDRESS,
        "tax_id": None,
        "locale": "en",
        "organization_id": ORGANIZATION,
        "default_payment_method_id": None,
        "deleted_at": None,
        "first_user_event_at": None,
        "avatar_url": None,
    }


def customer_state(customer: Json, active: list[Json]) -> Json:
    fields = (
        *("id", "created_at", "modified_at", "custom_field_data", "metadata", "status", "amount", "currency"),
        *("recurring_interval", "current_period_start", "current_period_end", "trial_start", "trial_end"),
        *(
            "cancel_at_period_end",
            "canceled_at",
            "started_at",
            "ends_at",
            "product_id",
            "discount_id",
            "seats",
            "units",
        ),
    )
    subscriptions = [{**{name: each[name] for name in fields}, "meters": []} for each in active]
    return {**customer, "active_subscriptions": subscriptions, "granted_benefits": [], "active_meters": []}


def checkout(product: Json, wish: Json, now: datetime, expires_at: datetime, page: str) -> Json:
    """An open session. `wish` is the body that asked for it."""
    made = identity(now)
    secret = f"polar_c_{uuid4().hex}{uuid4().hex}"
    price = product["prices"][0]
    return {
        **made,
        "custom_field_data": {},
        "payment_processor": "stripe",
        "status": "open",
        "client_secret": secret,
        "url": f"{page}/checkout/{secret}",
        "expires_at": stamp(expires_at),
        "success_url": wish["success_url"] or f"{page}/checkout/{secret}/confirmation",
        "return_url": wish["return_url"],
        "embed_origin": None,
        "amount": price["price_amount"],
        **dict.fromkeys(("seats", "min_seats", "max_seats", "units", "min_units", "max_units")),
        "discount_amount": 0,
        "net_amount": price["price_amount"],
        "tax_amount": None,
        "tax_behavior": None,
        "total_amount": price["price_amount"],
        "currency": price["price_currency"],
        "allow_trial": True,
        "active_trial_interval": None,
        "active_trial_interval_count": None,
        "trial_end": None,
        "organization_id": ORGANIZATION,
        "product_id": product["id"],
        "product_price_id": price["id"],
        "discount_id": None,
        "allow_discount_codes": wish["allow_discount_codes"],
        "require_billing_address": False,
        "is_discount_applicable": True,
        "is_free_product_price": False,
        "is_payment_required": True,
        "is_payment_setup_required": product["is_recurring"],
        "is_payment_form_required": True,
        "customer_id": None,
        "is_business_customer": False,
        "customer_name": None,
        "customer_email": wish["customer_email"],
        "customer_ip_address": wish["customer_ip_address"],
        "customer_billing_name": None,
        "customer_billing_address": None,
        "customer_tax_id": None,
        "locale": None,
        "payment_method_type": None,
        "payment_processor_metadata": {},
        "billing_address_fields": {
            **dict.fromkeys(("country", "city", "postal_code", "line1"), "required"),
            "state": "disabled",
            "line2": "optional",
        },
        "trial_interval": None,
        "trial_interval_count": None,
        "metadata": wish["metadata"],
        "external_customer_id": wish["external_customer_id"],
        "discount": None,
        "subscription_id": None,
        "attached_custom_fields": [],
        "customer_metadata": {},
    }


def shown_checkout(checkout: Json, product: Json) -> Json:
    brief = {name: value for name, value in product.items() if name not in SUMMARY_OF_PRODUCT}
    brief |= {"prices": product["prices"], "benefits": [], "medias": []}
    brief.pop("metadata")
    return {
        **checkout,
        "success_url": checkout["success_url"].replace("{CHECKOUT_ID}", checkout["id"]),
        "products": [brief],
        "product": brief,
        "product_price": product["prices"][0],
        "prices": {product["id"]: product["prices"]},
    }


def item(label: str, amount: int, tax: int, price_id: str, now: datetime, *, proration: bool = False) -> Json:
    return {
        **identity(now),
        "label": label,
        "amount": amount,
        "tax_amount": tax,
        "proration": proration,
        "product_price_id": price_id,
        "start_timestamp": None,
        "end_timestamp": None,
    }


def order(
    product: Json, customer: Json, items: list[Json], now: datetime, *, reason: str, currency: str, number: int
) -> Json:
    """A pending order over its items; `money` says what it comes to."""
    return {
        **identity(now),
        "status": "pending",
        "paid": False,
        **dict.fromkeys(("subtotal_amount", "discount_amount", "net_amount", "tax_amount", "total_amount"), 0),
        "applied_balance_amount": 0,
        "due_amount": 0,
        "refunded_amount": 0,
        "refunded_tax_amount": 0,
        "currency": currency,
        "billing_reason": reason,
        "billing_name": customer["billing_name"],
        "billing_address": customer["billing_address"],
        "invoice_number": f"ADA-{number:04}",
        "is_invoice_generated": False,
        "receipt_number": None,
        "seats": None,
        "units": None,
        "customer_id": customer["id"],
        "product_id": product["id"],
        "discount_id": None,
        "subscription_id": None,
        "checkout_id": None,
        "next_payment_attempt_at": None,
        "metadata": {},
        "custom_field_data": {},
        "platform_fee_amount": 0,
        "platform_fee_currency": currency,
        "discount": None,
        "items": items,
        "description": product["name"],
        "refundable_amount": 0,
        "refundable_tax_amount": 0,
    }


def shown_order(order: Json, product: Json, customer: Json, subscription: Json | None) -> Json:
    brief = {name: value for name, value in product.items() if name not in SUMMARY_OF_PRODUCT}
    return {**order, "customer": customer, "product": brief, "subscription": subscription}


def discount(amount: int, now: datetime) -> Json:
    return {
        **identity(now),
        "duration": "once",
        "type": "fixed",
        "amount": amount,
        "currency": "usd",
        "amounts": {"usd": amount},
        "metadata": {},
        "name": "Gift",
        "code": "GIFT",
        "starts_at": None,
        "ends_at": None,
        "max_redemptions": None,
        "max_redemptions_per_customer": 1,
        "redemptions_count": 1,
        "organization_id": ORGANIZATION,
    }


def subscription(checkout: Json, product: Json, customer: Json, now: datetime, ends: datetime) -> Json:
    return {
        **identity(now),
        "amount": product["prices"][0]["price_amount"],
        "currency": product["prices"][0]["price_currency"],
        "recurring_interval": product["recurring_interval"],
        "recurring_interval_count": 1,
        "status": "active",
        "current_period_start": stamp(now),
        "current_period_end": stamp(ends),
        **dict.fromkeys(("current_meter_period_start", "current_meter_period_end", "trial_start", "trial_end")),
        "cancel_at_period_end": False,
        "canceled_at": None,
        "started_at": stamp(now),
        **dict.fromkeys(("ends_at", "ended_at", "past_due_at")),
        "pause_at_period_end": False,
        "paused_at": None,
        "resumes_at": None,
        "customer_id": customer["id"],
        "product_id": product["id"],
        "discount_id": None,
        "checkout_id": checkout["id"],
        "seats": None,
        "units": None,
        "customer_cancellation_reason": None,
        "customer_cancellation_comment": None,
        "metadata": checkout["metadata"],
        "custom_field_data": {},
        "pending_update": None,
    }


def subscription_in_order(subscription: Json) -> Json:
    return {name: value for name, value in subscription.items() if name not in {"custom_field_data", "pending_update"}}


def shown_subscription(subscription: Json, product: Json, customer: Json) -> Json:
    return {
        **subscription,
        "customer": customer,
        "product": product,
        "discount": None,
        "prices": product["prices"],
        "meters": [],
    }


def pending_update(product_id: str, applies_at: str, now: datetime) -> Json:
    return {**identity(now), "applies_at": applies_at, "product_id": product_id, "seats": None, "units": None}


def refund(order: Json, wish: Json, tax: int, now: datetime) -> Json:
    return {
        **identity(now),
        "metadata": wish["metadata"],
        "status": "pending",
        "reason": wish["reason"],
        "amount": wish["amount"],
        "tax_amount": tax,
        "currency": order["currency"],
        "organization_id": ORGANIZATION,
        "order_id": order["id"],
        "subscription_id": order["subscription_id"],
        "customer_id": order["customer_id"],
        "revoke_benefits": wish["revoke_benefits"],
        "dispute": None,
    }


def dispute(order: Json, customer: Json, amount: int, tax: int, now: datetime) -> Json:
    return {
        **identity(now),
        "status": "needs_response",
        "resolved": False,
        "closed": False,
        "amount": amount,
        "tax_amount": tax,
        "currency": order["currency"],
        "reason": "fraudulent",
        "evidence_due_by": None,
        "past_due": False,
        "order_id": order["id"],
        "payment_id": str(uuid4()),
        "customer": customer,
        "case_id": None,
    }


def customer_session(customer: Json, return_url: str | None, now: datetime, expires_at: datetime, page: str) -> Json:
    token = f"polar_cst_{uuid4().hex}{uuid4().hex}"
    return {
        **identity(now),
        "token": token,
        "expires_at": stamp(expires_at),
        "return_url": return_url,
        "customer_portal_url": f"{page}/portal?customer_session_token={token}",
        "customer_id": customer["id"],
        "customer": customer,
    }
