"""The life of a subscription: periods, renewals that fail, changes, the end."""

from datetime import timedelta

from tests.standins.polar import shapes
from tests.standins.polar.market import PERIODS, Market
from tests.standins.polar.refusals import invalid, refused
from tests.standins.polar.shapes import Json, stamp, time_of

RETRY_DAYS = 2
OVER = frozenset({"canceled", "unpaid", "incomplete_expired"})


class Subscriptions:
    """Changes of subscriptions in a market."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def start(self, order: Json, checkout: Json) -> Json:
        """The first period, with the order of its checkout."""
        market = self._market
        product = market.get("products", order["product_id"])
        customer = market.get("customers", order["customer_id"])
        now = market.now()
        made = market.keep(
            "subscriptions", shapes.subscription(checkout, product, customer, now, now + _period(product))
        )
        order["subscription_id"] = made["id"]
        _dates(order, made)
        for name in ("created", "updated", "active"):
            self._emit(name, made)
        market.emit_state(customer)
        return made

    def cycle(self, subscription_id: str) -> Json:
        """The next period begins: its order, pending. Raises Refusal where the subscription is over or ends now."""
        subscription = self._living(subscription_id)
        if subscription["cancel_at_period_end"]:
            raise refused(403, "AlreadyCanceledSubscription", "This subscription ends with its period.")
        market = self._market
        if change := subscription["pending_update"]:
            self._change_product(subscription, market.get("products", change["product_id"]))
            subscription["pending_update"] = None
        product = market.get("products", subscription["product_id"])
        start = subscription["current_period_end"]
        subscription |= {
            "current_period_start": start,
            "current_period_end": stamp(time_of(start) + _period(product)),
        }
        self._changed(subscription, "cycled", "updated")
        return self._order(
            subscription, product, [*self._entries(subscription), (product["name"], subscription["amount"], False)]
        )

    def pay_renewal(self, order_id: str) -> Json:
        """The renewal's charge went through, at once or late."""
        order = self._market.get("orders", order_id)
        subscription = self._market.get("subscriptions", order["subscription_id"])
        self._market.touch(order)
        self._market.mark_paid(order)
        if subscription["status"] == "past_due":
            subscription |= {"status": "active", "past_due_at": None}
            self._changed(subscription, "updated", "active")
        for name in ("updated", "paid"):
            self._market.emit_order(name, order)
        return order

    def fail_renewal(self, order_id: str) -> Json:
        """The renewal's charge failed; it will be tried again."""
        market = self._market
        order = market.get("orders", order_id)
        subscription = market.get("subscriptions", order["subscription_id"])
        now = market.now()
        subscription |= {"status": "past_due", "past_due_at": stamp(now)}
        self._changed(subscription, "updated", "past_due")
        order["next_payment_attempt_at"] = stamp(now + timedelta(days=RETRY_DAYS))
        market.touch(order)
        market.emit_order("updated", order)
        return order

    def give_up_renewal(self, order_id: str) -> Json:
        """The last try failed: the order is void, the subscription over."""
        market = self._market
        order = market.get("orders", order_id)
        order |= {"status": "void", "next_payment_attempt_at": None}
        market.touch(order)
        market.emit_order("updated", order)
        self._end(market.get("subscriptions", order["subscription_id"]), "unpaid")
        return order

    def prorate(self, subscription_id: str, amount: int) -> Json:
        """An order for a change within a period; negative where the new plan is cheaper."""
        subscription = self._living(subscription_id)
        product = self._market.get("products", subscription["product_id"])
        lines = [
            ("Remaining time on the old plan", amount - subscription["amount"], True),
            (f"Remaining time on {product['name']}", subscription["amount"], True),
        ]
        order = self._order(subscription, product, lines, reason="subscription_update", told=False)
        self._market.paid_at_once(order)
        return order

    def cancel(self, subscription_id: str) -> Json:
        subscription = self._living(subscription_id)
        if subscription["cancel_at_period_end"]:
            raise refused(403, "AlreadyCanceledSubscription", "This subscription is already canceled.")
        subscription |= {
            "cancel_at_period_end": True,
            "canceled_at": stamp(self._market.now()),
            "ends_at": subscription["current_period_end"],
        }
        self._changed(subscription, "updated", "canceled")
        return subscription

    def uncancel(self, subscription_id: str) -> Json:
        subscription = self._living(subscription_id)
        if not subscription["cancel_at_period_end"]:
            raise refused(409, "SubscriptionNotScheduledToCancel", "This subscription is not scheduled to cancel.")
        subscription |= {"cancel_at_period_end": False, "canceled_at": None, "ends_at": None}
        self._changed(subscription, "updated", "uncanceled")
        return subscription

    def revoke(self, subscription_id: str) -> Json:
        """Over at once."""
        subscription = self._living(subscription_id)
        now = stamp(self._market.now())
        subscription |= {"canceled_at": subscription["canceled_at"] or now, "ends_at": now}
        return self._end(subscription, "canceled", "updated", "canceled", "revoked")

    def end_period(self, subscription_id: str) -> Json:
        """A subscription that was canceled comes to the end of its period."""
        return self._end(self._living(subscription_id), "canceled")

    def change_plan_in_portal(self, subscription_id: str, product_id: str) -> Json:
        """As a customer does it: by the organization's settings. Raises Refusal where it forbids that."""
        organization = self._market.organization
        if not organization["customer_portal_settings"]["subscription"]["update_plan"]:
            raise refused(403, "UpdateSubscriptionPlanNotAllowed", "Updating subscription plan is not allowed.")
        behaviour = organization["subscription_settings"]["proration_behavior"]
        return self.change_plan(subscription_id, product_id, behaviour)

    def change_plan(self, subscription_id: str, product_id: str, behaviour: str) -> Json:
        """Raises Refusal where there is no such recurring product."""
        subscription = self._living(subscription_id)
        product = self._market.tables["products"].get(product_id)
        if product is None or product["is_archived"] or not product["is_recurring"]:
            raise invalid("product_id", message="Product does not exist.", value=product_id)
        if behaviour == "next_period":
            applies_at = subscription["current_period_end"]
            subscription["pending_update"] = shapes.pending_update(product_id, applies_at, self._market.now())
            self._changed(subscription, "updated")
            return subscription
        difference = product["prices"][0]["price_amount"] - subscription["amount"]
        if behaviour == "prorate":
            self._note_rest(subscription, product)
        self._change_product(subscription, product)
        self._changed(subscription, "updated")
        if behaviour == "invoice":
            self.prorate(subscription_id, difference // 2)
        return subscription

    def _note_rest(self, subscription: Json, product: Json) -> None:
        """What the next order also has: the rest of the period, given back of the old plan and charged of the new."""
        market = self._market
        ends, whole = time_of(subscription["current_period_end"]), _period(product)
        rest = max(0.0, (ends - market.now()) / whole)
        old = market.get("products", subscription["product_id"])
        lines = [
            (f"Remaining time on {old['name']}", -round(subscription["amount"] * rest)),
            (f"Remaining time on {product['name']}", round(product["prices"][0]["price_amount"] * rest)),
        ]
        noted = market.tables["entries"].setdefault(subscription["id"], {"lines": []})
        noted["lines"] += [[label, amount, True] for label, amount in lines]

    def _entries(self, subscription: Json) -> list[tuple[str, int, bool]]:
        noted = self._market.tables["entries"].pop(subscription["id"], {"lines": []})
        return [(label, amount, proration) for label, amount, proration in noted["lines"]]

    def drop_change(self, subscription_id: str) -> Json:
        subscription = self._living(subscription_id)
        subscription["pending_update"] = None
        self._changed(subscription, "updated")
        return subscription

    def _change_product(self, subscription: Json, product: Json) -> None:
        price = product["prices"][0]
        subscription |= {
            "product_id": product["id"],
            "amount": price["price_amount"],
            "currency": price["price_currency"],
            "recurring_interval": product["recurring_interval"],
        }

    def _order(
        self,
        subscription: Json,
        product: Json,
        lines: list[tuple[str, int, bool]],
        *,
        reason: str = "subscription_cycle",
        told: bool = True,
    ) -> Json:
        customer = self._market.get("customers", subscription["customer_id"])
        order = self._market.new_order(product, customer, lines, reason)
        order |= {"subscription_id": subscription["id"], "metadata": subscription["metadata"]}
        _dates(order, subscription)
        if told:
            self._market.emit_order("created", order)
        return order

    def _living(self, subscription_id: str) -> Json:
        subscription = self._market.get("subscriptions", subscription_id)
        if subscription["status"] in OVER:
            raise refused(403, "InactiveSubscription", "This subscription is not active.")
        return subscription

    def _end(self, subscription: Json, status: str, *events: str) -> Json:
        now = stamp(self._market.now())
        subscription |= {"status": status, "ended_at": now, "ends_at": subscription["ends_at"] or now}
        self._changed(subscription, *(events or ("updated", "revoked")))
        return subscription

    def _changed(self, subscription: Json, *events: str) -> None:
        self._market.touch(subscription)
        for name in events:
            self._emit(name, subscription)
        self._market.emit_state(self._market.get("customers", subscription["customer_id"]))

    def _emit(self, name: str, subscription: Json) -> None:
        self._market.emit(f"subscription.{name}", self._market.shown_subscription(subscription))


def _period(product: Json) -> timedelta:
    return timedelta(days=PERIODS[product["recurring_interval"]])


def _dates(order: Json, subscription: Json) -> None:
    for item in order["items"]:
        item["start_timestamp"] = subscription["current_period_start"]
        item["end_timestamp"] = subscription["current_period_end"]
