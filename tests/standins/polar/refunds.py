"""Money that goes back: refunds, also such that fail later, and disputes."""

from tests.standins.polar import money, shapes
from tests.standins.polar.market import Market
from tests.standins.polar.refusals import invalid, refused
from tests.standins.polar.shapes import Json
from tests.standins.polar.subscriptions import OVER, Subscriptions

FINAL = frozenset({"won", "lost"})
CLOSED = FINAL | {"prevented"}


class Refunds:
    """Refunds and disputes in a market."""

    def __init__(self, market: Market, subscriptions: Subscriptions) -> None:
        self._market = market
        self._subscriptions = subscriptions

    def create(self, wish: Json, *, pending: bool) -> Json:
        """Raises Refusal where the order is unknown, not paid, disputed or refunded, or the amount is too high."""
        order = self._market.tables["orders"].get(wish["order_id"])
        if order is None:
            raise invalid("order_id", message="Order not found", value=wish["order_id"])
        if order["status"] == "refunded":
            raise refused(403, "RefundedAlready", f"Order is already fully refunded: {order['id']}")
        if any(each["order_id"] == order["id"] and not each["closed"] for each in self._disputes()):
            raise refused(403, "RefundDisputedPayment", "The payment of this order is disputed.")
        if not order["paid"]:
            raise refused(404, "RefundUnknownPayment", f"Refund issued for unknown order: {order['id']}")
        if wish["revoke_benefits"] and order["subscription_id"]:
            detail = "Subscription benefits can only be revoked upon cancellation"
            raise refused(400, "RevokeSubscriptionBenefitsProhibited", detail)
        if wish["amount"] > order["refundable_amount"] - self._pending(order["id"]):
            detail = f"Refund amount exceeds remaining order balance: {order['refundable_amount']}"
            raise invalid("amount", message=detail, value=wish["amount"])
        refund = shapes.refund(order, wish, money.tax_share(order, wish["amount"]), self._market.now())
        refund["status"] = "pending" if pending else "succeeded"
        self._market.keep("refunds", refund)
        self._market.emit("refund.created", refund)
        if not pending:
            self._add(refund)
        return refund

    def succeed(self, refund_id: str) -> Json:
        """A pending refund went through."""
        refund = self._market.get("refunds", refund_id)
        self._set_status(refund, "succeeded")
        self._add(refund)
        return refund

    def fail(self, refund_id: str, status: str = "failed") -> Json:
        """A refund did not go through after all; of one that had succeeded the order's totals go down again."""
        refund = self._market.get("refunds", refund_id)
        had_succeeded = refund["status"] == "succeeded"
        self._set_status(refund, status)
        if had_succeeded:
            self._change_totals(refund, -1)
        return refund

    def dispute(self, order_id: str, status: str, amount: int | None = None) -> Json:
        """The order's dispute, opened or moved on; no event tells of it. `amount` is without tax; None: all of it.

        Lost or won, a subscription is over; prevented, the money is refunded.
        """
        market = self._market
        order = market.get("orders", order_id)
        dispute = next((each for each in self._disputes() if each["order_id"] == order_id), None)
        if dispute is None:
            amount = order["refundable_amount"] if amount is None else amount
            customer = market.get("customers", order["customer_id"])
            dispute = shapes.dispute(order, customer, amount, money.tax_share(order, amount), market.now())
            market.keep("disputes", dispute)
        else:
            market.touch(dispute)
        dispute |= {"status": status, "resolved": status in FINAL, "closed": status in CLOSED}
        if status in FINAL:
            self._end_subscription(order)
        if status == "prevented":
            wish = {
                "order_id": order_id,
                "amount": dispute["amount"],
                "reason": "dispute_prevention",
                "revoke_benefits": False,
                "metadata": {},
            }
            self.create(wish, pending=False)
            self._end_subscription(order)
        return dispute

    def _end_subscription(self, order: Json) -> None:
        subscription = self._market.tables["subscriptions"].get(order["subscription_id"] or "")
        if subscription is not None and subscription["status"] not in OVER:
            self._subscriptions.revoke(subscription["id"])

    def _disputes(self) -> list[Json]:
        return list(self._market.tables["disputes"].values())

    def _pending(self, order_id: str) -> int:
        refunds = self._market.tables["refunds"].values()
        return sum(
            int(each["amount"]) for each in refunds if each["order_id"] == order_id and each["status"] == "pending"
        )

    def _set_status(self, refund: Json, status: str) -> None:
        refund["status"] = status
        self._market.touch(refund)
        self._market.emit("refund.updated", refund)

    def _add(self, refund: Json) -> None:
        self._market.emit_order("refunded", self._change_totals(refund, 1))

    def _change_totals(self, refund: Json, sign: int) -> Json:
        order = self._market.get("orders", refund["order_id"])
        order["refunded_amount"] += sign * refund["amount"]
        order["refunded_tax_amount"] += sign * refund["tax_amount"]
        money.settle(order)
        self._market.touch(order)
        self._market.emit_order("updated", order)
        return order
