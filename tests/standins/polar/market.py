"""What Polar keeps, and what happens in it: products, customers, checkouts and their payment."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.standins.polar import money, shapes
from tests.standins.polar.money import NO_TAX, Tax
from tests.standins.polar.refusals import invalid, not_found, refused
from tests.standins.polar.shapes import Json, stamp, time_of

CHECKOUT_HOURS = 24
SESSION_HOURS = 1
PERIODS = {"day": 1, "week": 7, "month": 30, "year": 365}
"""Days; a month is 30 here."""
TABLES = (
    "products",
    "customers",
    "checkouts",
    "orders",
    "subscriptions",
    "refunds",
    "disputes",
    "sessions",
    "balances",
    "entries",
    "organizations",
)

Emit = Callable[[str, Json], Any]


@dataclass
class Market:
    """The state, by id, and its changes; each is emitted as Polar would. `page` is where pages for buyers are.

    `refused_domains`: e-mail addresses there, and below, are refused as those that Polar cannot write to.
    """

    emit: Emit
    page: str = ""
    tax: Tax = NO_TAX
    refused_domains: frozenset[str] = frozenset({"invalid", "test", "localhost"})
    file: Path | None = None
    ahead: timedelta = timedelta()
    tables: dict[str, dict[str, Json]] = field(default_factory=lambda: {name: {} for name in TABLES})

    def __post_init__(self) -> None:
        self._open()

    def _open(self) -> None:
        if not self.tables["organizations"]:
            self.keep("organizations", shapes.organization(self.now()))

    @property
    def organization(self) -> Json:
        (organization,) = self.tables["organizations"].values()
        return organization

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def get(self, table: str, id_: str) -> Json:
        try:
            return self.tables[table][id_]
        except KeyError:
            raise not_found() from None

    def keep(self, table: str, thing: Json) -> Json:
        self.tables[table][thing["id"]] = thing
        return thing

    def touch(self, thing: Json) -> None:
        thing["modified_at"] = stamp(self.now())

    def save(self, more: Json) -> None:
        """Write the state to its file, at once or not at all."""
        if self.file is None:
            return
        draft = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        draft.write_text(json.dumps({"tables": self.tables, **more}))
        draft.replace(self.file)

    def load(self) -> Json | None:
        """The state of its file, if there is one."""
        if self.file is None or not self.file.exists():
            return None
        kept: Json = json.loads(self.file.read_text())
        self.tables = {name: kept["tables"].get(name, {}) for name in TABLES}
        self._open()
        return kept

    def add_product(
        self,
        name: str,
        price: int,
        *,
        id_: str | None = None,
        interval: str | None = None,
        currency: str = "usd",
        archived: bool = False,
    ) -> Json:
        made = shapes.product(name, price, self.now(), id_=id_, interval=interval, currency=currency, archived=archived)
        return self.keep("products", made)

    def create_checkout(self, wish: Json) -> Json:
        """Raises Refusal where a product is unknown or archived, or the address cannot be written to."""
        for index, product_id in enumerate(wish["products"]):
            product = self.tables["products"].get(product_id)
            if product is None:
                raise invalid("products", index, message="Product does not exist.", value=product_id)
            if product["is_archived"]:
                raise invalid("products", index, message="Product is archived.", value=product_id)
        if wish["customer_email"] is not None:
            self.check_email(wish["customer_email"], "customer_email")
        product = self.tables["products"][wish["products"][0]]
        now = self.now()
        made = shapes.checkout(product, wish, now, now + timedelta(hours=CHECKOUT_HOURS), self.page)
        if known := self.customer_of(wish["external_customer_id"]):
            made |= {"customer_id": known["id"], "customer_email": known["email"], "customer_name": known["name"]}
        self.keep("checkouts", made)
        self._emit_checkout("created", made)
        return made

    def check_email(self, email: str, *location: str) -> None:
        local, at, domain = email.rpartition("@")
        labels = domain.lower().split(".")
        endings = {".".join(labels[start:]) for start in range(len(labels))}
        if not (local and at and domain) or endings & self.refused_domains:
            message = "value is not a valid email address: The domain name does not accept email."
            raise invalid(*location, message=message, value=email)

    def customer_of(self, external_id: str | None) -> Json | None:
        if external_id is None:
            return None
        customers = self.tables["customers"].values()
        return next((each for each in customers if each["external_id"] == external_id), None)

    def checkout_of(self, client_secret: str) -> Json:
        for checkout in self.tables["checkouts"].values():
            if checkout["client_secret"] == client_secret:
                return checkout
        raise not_found()

    def confirm(self, checkout_id: str, email: str | None = None) -> Json:
        """The buyer pressed pay. Raises Refusal where the session is over, or the address is missing or wrong."""
        checkout = self.get("checkouts", checkout_id)
        if time_of(checkout["expires_at"]) <= self.now() and checkout["status"] == "open":
            self.expire(checkout_id)
        if checkout["status"] == "expired":
            raise refused(410, "ExpiredCheckoutError", "This checkout session has expired.")
        if checkout["status"] != "open":
            raise refused(403, "NotOpenCheckout", f"Checkout {checkout_id} is not open: {checkout['status']}")
        locked = checkout["customer_email"] if checkout["customer_id"] else None
        email = locked or email or checkout["customer_email"]
        if not email:
            raise invalid("customer_email", message="Email address is required.", value=None)
        self.check_email(email, "customer_email")
        checkout["status"], checkout["customer_email"] = "confirmed", email
        self._changed(checkout)
        return checkout

    def decline(self, checkout_id: str) -> None:
        """The card was declined: the session is open again."""
        checkout = self.get("checkouts", checkout_id)
        checkout["status"] = "open"
        self._changed(checkout)

    def expire(self, checkout_id: str) -> None:
        checkout = self.get("checkouts", checkout_id)
        checkout["status"] = "expired"
        self.touch(checkout)
        self._emit_checkout("expired", checkout)

    def succeed(self, checkout_id: str, *, discount: int, tax: Tax | None, currency: str | None) -> Json:
        """The payment of a confirmed session went through: its order, paid."""
        checkout = self.get("checkouts", checkout_id)
        product = self.get("products", checkout["product_id"])
        customer = self._buyer(checkout)
        subtotal = checkout["amount"]
        tax = tax or self.tax
        reason = "subscription_create" if product["is_recurring"] else "purchase"
        order = self.new_order(
            product,
            customer,
            [(product["name"], subtotal, False)],
            reason,
            discount=discount,
            tax=tax,
            currency=currency,
        )
        order |= {"checkout_id": checkout["id"], "metadata": checkout["metadata"]}
        money_ = ("discount_amount", "net_amount", "tax_amount", "total_amount", "currency", "discount_id")
        checkout |= {name: order[name] for name in money_}
        checkout |= {
            "status": "succeeded",
            "customer_id": customer["id"],
            "customer_name": customer["name"],
            "customer_billing_name": customer["billing_name"],
            "customer_billing_address": customer["billing_address"],
            "payment_method_type": "card",
            "tax_behavior": "inclusive" if tax.inclusive else "exclusive",
            "discount": order["discount"],
        }
        self._changed(checkout)
        return order

    def _buyer(self, checkout: Json) -> Json:
        """Who pays: the customer of that external id, else the one with that address (whose external id stays)."""
        if known := self.customer_of(checkout["external_customer_id"]):
            return known
        email = checkout["customer_email"]
        customers = self.tables["customers"].values()
        if known := next((each for each in customers if each["email"] == email), None):
            return known
        made = self.keep("customers", shapes.customer(email, self.now(), checkout["external_customer_id"]))
        self.emit("customer.created", made)
        self.emit_state(made)
        return made

    def new_order(
        self,
        product: Json,
        customer: Json,
        lines: list[tuple[str, int, bool]],
        reason: str,
        *,
        discount: int = 0,
        tax: Tax | None = None,
        currency: str | None = None,
    ) -> Json:
        """A pending order of lines (label, amount, whether a proration); tax by line, on what is left of it."""
        tax, now, price = tax or self.tax, self.now(), product["prices"][0]
        subtotal = sum(amount for _, amount, _ in lines)
        taxes = [tax.of(amount) for _, amount, _ in lines]
        if discount:
            taxes = [tax.of(subtotal - discount), *[0] * (len(lines) - 1)]
        items = [
            shapes.item(label, amount, part, price["id"], now, proration=proration)
            for (label, amount, proration), part in zip(lines, taxes, strict=True)
        ]
        made = shapes.order(
            product,
            customer,
            items,
            now,
            reason=reason,
            currency=currency or price["price_currency"],
            number=len(self.tables["orders"]) + 1,
        )
        if discount:
            made["discount"] = shapes.discount(discount, now)
            made["discount_id"] = made["discount"]["id"]
        money.fill(
            made,
            subtotal=subtotal,
            discount=discount,
            tax=sum(taxes),
            inclusive=tax.inclusive,
            balance=self.balance(customer["id"]),
        )
        self.change_balance(customer["id"], made["applied_balance_amount"])
        return self.keep("orders", made)

    def balance(self, customer_id: str) -> int:
        return int(self.tables["balances"].get(customer_id, {}).get("credit", 0))

    def change_balance(self, customer_id: str, amount: int) -> None:
        self.tables["balances"][customer_id] = {"credit": self.balance(customer_id) + amount}

    def mark_paid(self, order: Json) -> None:
        """A negative total becomes credit of the customer."""
        order["status"], order["next_payment_attempt_at"] = "paid", None
        money.settle(order)
        self.change_balance(order["customer_id"], max(0, -order["total_amount"]))

    def paid_at_once(self, order: Json) -> None:
        """Three events with the same data, as for a first purchase."""
        self.mark_paid(order)
        for name in ("created", "updated", "paid"):
            self.emit_order(name, order)

    def emit_order(self, name: str, order: Json) -> None:
        self.emit(f"order.{name}", self.shown_order(order))

    def emit_state(self, customer: Json) -> None:
        subscriptions = self.tables["subscriptions"].values()
        active = [
            each
            for each in subscriptions
            if each["customer_id"] == customer["id"] and each["status"] in ("active", "trialing")
        ]
        self.emit("customer.state_changed", shapes.customer_state(customer, active))

    def _changed(self, checkout: Json) -> None:
        self.touch(checkout)
        self._emit_checkout("updated", checkout)

    def _emit_checkout(self, name: str, checkout: Json) -> None:
        self.emit(f"checkout.{name}", self.shown_checkout(checkout))

    def shown_checkout(self, checkout: Json) -> Json:
        return shapes.shown_checkout(checkout, self.get("products", checkout["product_id"]))

    def shown_order(self, order: Json) -> Json:
        subscription = self.tables["subscriptions"].get(order["subscription_id"] or "")
        return shapes.shown_order(
            order,
            self.get("products", order["product_id"]),
            self.get("customers", order["customer_id"]),
            shapes.subscription_in_order(subscription) if subscription else None,
        )

    def shown_subscription(self, subscription: Json) -> Json:
        product = self.get("products", subscription["product_id"])
        return shapes.shown_subscription(subscription, product, self.get("customers", subscription["customer_id"]))

    def open_session(self, wish: Json) -> Json:
        """A session of the customer portal. Raises Refusal where there is no such customer."""
        name = "external_customer_id" if wish["external_customer_id"] else "customer_id"
        customer = (
            self.customer_of(wish["external_customer_id"])
            if wish["external_customer_id"]
            else self.tables["customers"].get(wish["customer_id"] or "")
        )
        if customer is None:
            raise invalid(name, message="Customer does not exist.", value=wish[name])
        now = self.now()
        expires_at = now + timedelta(hours=SESSION_HOURS)
        return self.keep("sessions", shapes.customer_session(customer, wish["return_url"], now, expires_at, self.page))

    def session(self, token: str) -> Json:
        """Raises Refusal for tokens that are unknown or over."""
        for session in self.tables["sessions"].values():
            if session["token"] == token and time_of(session["expires_at"]) > self.now():
                return session
        raise refused(401, "Unauthorized", "Unauthorized")

    def make_invoice(self, order: Json) -> None:
        """Raises Refusal for orders without one. The invoice itself comes by `finish_invoice`."""
        if order["status"] in ("draft", "void"):
            raise refused(409, "OrderNotEligibleForInvoice", "Order is not eligible for an invoice.")
        if not order["billing_name"] or not order["billing_address"]:
            detail = "Billing name and address are required to generate an invoice for this order."
            raise refused(422, "MissingInvoiceBillingDetails", detail)

    def finish_invoice(self, order: Json) -> None:
        if not order["is_invoice_generated"]:
            order["is_invoice_generated"] = True
            self.touch(order)
            self.emit_order("updated", order)
