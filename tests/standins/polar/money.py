"""What an order comes to: the identities that Polar's server keeps between the amounts of an order. Pure.

Amounts are integers in the currency's smallest unit. Without `inclusive`, tax comes on top of the price.
"""

from dataclasses import dataclass

from tests.standins.polar.shapes import PAID, Json


@dataclass(frozen=True, slots=True)
class Tax:
    percent: float = 0.0
    inclusive: bool = False

    def of(self, gross: int) -> int:
        """The tax on a price after discount; negative on a negative one."""
        share = self.percent / (100 + self.percent) if self.inclusive else self.percent / 100
        return round(gross * share)


NO_TAX = Tax()


def fill(order: Json, *, subtotal: int, discount: int, tax: int, inclusive: bool, balance: int = 0) -> None:
    """Amounts of a new order. `balance` is the customer's credit at Polar (positive), of which it takes what it can."""
    gross = subtotal - discount
    net = gross - tax if inclusive else gross
    total = net + tax
    order |= {
        "subtotal_amount": subtotal,
        "discount_amount": discount,
        "net_amount": net,
        "tax_amount": tax,
        "total_amount": total,
        "applied_balance_amount": -min(balance, max(0, total)),
    }
    settle(order)


def settle(order: Json) -> None:
    """What follows from the other amounts: due, refundable, and the status where it is paid."""
    order["due_amount"] = max(0, order["total_amount"] + order["applied_balance_amount"])
    refundable = order["net_amount"] + order["applied_balance_amount"]
    order["refundable_amount"] = max(0, refundable - order["refunded_amount"])
    order["refundable_tax_amount"] = max(0, order["tax_amount"] - order["refunded_tax_amount"])
    if order["status"] in PAID:
        if order["refunded_amount"] <= 0:
            order["status"] = "paid"
        else:
            order["status"] = "refunded" if order["refunded_amount"] >= refundable else "partially_refunded"
    order["paid"] = order["status"] in PAID


def tax_share(order: Json, amount: int) -> int:
    """The tax that goes back with a part of the net amount: what is left of it with the last part."""
    if amount == order["refundable_amount"]:
        return int(order["refundable_tax_amount"])
    return round(amount * order["tax_amount"] / order["net_amount"]) if order["net_amount"] else 0


def problems(order: Json) -> list[str]:
    """Which identities an order breaks."""
    gross = order["subtotal_amount"] - order["discount_amount"]
    refundable = order["net_amount"] + order["applied_balance_amount"]
    holds = {
        "net": order["net_amount"] in (gross, gross - order["tax_amount"]),
        "total": order["total_amount"] == order["net_amount"] + order["tax_amount"],
        "due": order["due_amount"] == max(0, order["total_amount"] + order["applied_balance_amount"]),
        "refundable": order["refundable_amount"] == max(0, refundable - order["refunded_amount"]),
        "refundable tax": order["refundable_tax_amount"] == max(0, order["tax_amount"] - order["refunded_tax_amount"]),
        "items": sum(each["amount"] for each in order["items"]) == order["subtotal_amount"],
        "tax of items": sum(each["tax_amount"] for each in order["items"]) == order["tax_amount"],
        "paid": order["paid"] == (order["status"] in PAID),
    }
    return [name for name, kept in holds.items() if not kept]
