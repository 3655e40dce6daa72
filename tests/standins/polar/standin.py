"""The stand-in as a whole, behind a real socket on loopback."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from starlette.applications import Starlette
from starlette.middleware import Middleware

from tests.standins.polar import shapes
from tests.standins.polar.api import SCOPES, Api
from tests.standins.polar.control import Control
from tests.standins.polar.deliveries import Attempt, Deliveries, Event, Key, Scheme, make_key
from tests.standins.polar.edge import Edge
from tests.standins.polar.faults import Faults
from tests.standins.polar.market import Market
from tests.standins.polar.money import NO_TAX, Tax
from tests.standins.polar.pages import Pages
from tests.standins.polar.refunds import Refunds
from tests.standins.polar.shapes import Json
from tests.standins.polar.subscriptions import Subscriptions
from tests.standins.serving import listen, serving, url_of

INVOICE_S = 0.1


class PolarStandIn:
    """`async with PolarStandIn(webhook_url=…) as polar:` — see its attributes; all methods act at once.

    What it tells its webhook endpoint, and how, is in `deliveries`; what goes wrong with requests, in `faults`.
    A `file` keeps its state, and deliveries that are still to be made, over a restart.
    """

    def __init__(
        self,
        webhook_url: str | None = None,
        *,
        scheme: Scheme = "new",
        key: Key | None = None,
        token: str | None = None,
        port: int = 0,
        file: Path | None = None,
        tax: Tax = NO_TAX,
        **deliveries: Any,
    ) -> None:
        self.token = token or f"polar_oat_{secrets.token_hex(20)}"
        self.scopes = set(SCOPES)
        self.faults = Faults()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers (in lower case) of what came to /v1."""
        self.refunds_pending = False
        """Whether refunds begin pending, to be settled by `succeed_refund` or `fail_refund`."""
        self.checkouts_by_customer = False
        """Whether lists of checkouts know external ids of paying customers only."""
        self.deliveries = Deliveries(webhook_url, key or make_key(scheme), **deliveries)
        self.deliveries.changed = self.changed
        self.market = Market(self.deliveries.post, tax=tax, file=file)
        if kept := self.market.load():
            self.deliveries.restore(kept["deliveries"], keep_key=key is not None)
        self.subscriptions = Subscriptions(self.market)
        self.refunds = Refunds(self.market, self.subscriptions)
        self._port = port
        self._stack = AsyncExitStack()

    @property
    def secret(self) -> str:
        return self.deliveries.key.secret

    @property
    def attempts(self) -> list[Attempt]:
        """Every delivery and what was answered."""
        return self.deliveries.attempts

    async def __aenter__(self) -> Self:
        self.closing = asyncio.Event()
        listener = listen(self._port)
        self.url = self.market.page = url_of(listener)
        routes = [route for part in (Api(self), Pages(self), Control(self)) for route in part.routes()]
        app = Starlette(routes=routes, middleware=[Middleware(Edge, standin=self)])
        await self._stack.enter_async_context(serving(app, listener))
        self._stack.push_async_callback(self.deliveries.close)
        self.deliveries.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing.set()
        await self._stack.aclose()
        self.changed()

    def changed(self) -> None:
        self.market.save({"deliveries": self.deliveries.kept()})

    def advance(self, **time: float) -> None:
        """Put its clock ahead, for objects; signatures keep the real time."""
        self.market.ahead += timedelta(**time)

    def add_product(self, name: str, price: int, **more: Any) -> Json:
        """A product; with `interval` (month, …) a recurring one. `id_` gives it an id."""
        product = self.market.add_product(name, price, **more)
        self.changed()
        return product

    def add_customer(self, email: str, external_id: str | None = None) -> Json:
        return self.market.keep("customers", shapes.customer(email, self.market.now(), external_id))

    def pay(
        self,
        checkout_id: str,
        *,
        email: str | None = None,
        discount: int = 0,
        tax: Tax | None = None,
        currency: str | None = None,
    ) -> Json:
        """The buyer pays: the order. Raises Refusal where the session is over or there is no address."""
        checkout = self.market.confirm(checkout_id, email)
        order = self.market.succeed(checkout_id, discount=discount, tax=tax, currency=currency)
        if self.market.get("products", order["product_id"])["is_recurring"]:
            self.subscriptions.start(order, checkout)
        self.market.paid_at_once(order)
        return order

    def decline(self, checkout_id: str) -> None:
        self.market.confirm(checkout_id)
        self.market.decline(checkout_id)

    def expire(self, checkout_id: str) -> None:
        self.market.expire(checkout_id)

    def refund(self, order_id: str, amount: int, *, reason: str = "customer_request", **metadata: str) -> Json:
        """The merchant refunds by hand, or Polar does."""
        wish = {
            "order_id": order_id,
            "amount": amount,
            "reason": reason,
            "revoke_benefits": False,
            "metadata": metadata,
        }
        return self.refunds.create(wish, pending=self.refunds_pending)

    def succeed_refund(self, refund_id: str) -> Json:
        return self.refunds.succeed(refund_id)

    def fail_refund(self, refund_id: str, status: str = "failed") -> Json:
        return self.refunds.fail(refund_id, status)

    def dispute(self, order_id: str, status: str, amount: int | None = None) -> Json:
        return self.refunds.dispute(order_id, status, amount)

    def renew(self, subscription_id: str) -> Json:
        """The next period, paid: its order."""
        return self.subscriptions.pay_renewal(self.begin_renewal(subscription_id)["id"])

    def begin_renewal(self, subscription_id: str) -> Json:
        """The next period, with its order still pending."""
        return self.subscriptions.cycle(subscription_id)

    def pay_renewal(self, order_id: str) -> Json:
        return self.subscriptions.pay_renewal(order_id)

    def fail_renewal(self, subscription_id: str) -> Json:
        """The next period, whose charge fails: its order, pending."""
        return self.subscriptions.fail_renewal(self.begin_renewal(subscription_id)["id"])

    def give_up_renewal(self, order_id: str) -> Json:
        return self.subscriptions.give_up_renewal(order_id)

    def prorate(self, subscription_id: str, amount: int) -> Json:
        return self.subscriptions.prorate(subscription_id, amount)

    def settle_changes_of_plan(self, proration: str) -> None:
        """How a change of plan in the portal is paid (the default of every organization is prorate)."""
        organization = self.market.organization
        organization["subscription_settings"]["proration_behavior"] = organization["proration_behavior"] = proration
        self.changed()

    def change_plan(self, subscription_id: str, product_id: str) -> Json:
        """As a customer does it in the portal."""
        return self.subscriptions.change_plan_in_portal(subscription_id, product_id)

    def cancel(self, subscription_id: str) -> Json:
        return self.subscriptions.cancel(subscription_id)

    def uncancel(self, subscription_id: str) -> Json:
        return self.subscriptions.uncancel(subscription_id)

    def revoke(self, subscription_id: str) -> Json:
        return self.subscriptions.revoke(subscription_id)

    def end_period(self, subscription_id: str) -> Json:
        return self.subscriptions.end_period(subscription_id)

    def send(self, type_: str, data: Json, event_id: str | None = None) -> Event:
        """Any event, also such as Polar does not have."""
        return self.deliveries.post(type_, data, event_id=event_id or str(uuid4()))

    def order(self, order_id: str) -> Json:
        return self.market.shown_order(self.market.get("orders", order_id))

    def checkout(self, checkout_id: str) -> Json:
        return self.market.shown_checkout(self.market.get("checkouts", checkout_id))

    def finish_invoice_soon(self, order: Json) -> None:
        asyncio.get_running_loop().call_later(INVOICE_S, self.market.finish_invoice, order)

    async def settled(self, timeout_s: float = 30) -> None:
        """Wait until nothing is to be delivered any more."""
        await self.deliveries.settled(timeout_s)

    def hold(self) -> None:
        self.deliveries.hold()

    def release(self, *, shuffle: int | None = None) -> None:
        self.deliveries.release(shuffle=shuffle)
