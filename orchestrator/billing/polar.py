"""Polar's API, as far as we use it: checkouts, orders, refunds, disputes, subscriptions, the customer portal."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from uuid import UUID

from orchestrator.billing import wire
from orchestrator.billing.polar_errors import (
    PolarAnswerError,
    PolarError,
    PolarNoCustomerError,
    PolarNotConfiguredError,
    PolarNotFoundError,
    PolarRefusedError,
    PolarUnavailableError,
)
from orchestrator.billing.polar_http import PATIENCE_S, PAUSE_S, Call, PolarHttp, parsed
from orchestrator.billing.rules import as_id
from orchestrator.settings import PolarServer, Settings

SERVERS: Mapping[PolarServer, str] = {
    "sandbox": "https://sandbox-api.polar.sh",
    "production": "https://api.polar.sh",
}
PAGE = 100
"""The most that Polar gives at once."""
MOST_CHECKOUTS = 300
"""Among which a purchase's is looked for: one that is looked for is a recent one."""

RefundReason = Literal[
    "duplicate", "fraudulent", "customer_request", "service_disruption", "satisfaction_guarantee", "other"
]
Item = TypeVar("Item", bound=wire.Wire)


@dataclass(frozen=True, slots=True)
class NewCheckout:
    """A checkout to create for a purchase. `email` and `client_ip` spare the buyer typing and Polar guessing."""

    product_id: UUID
    user_id: UUID
    purchase_id: UUID
    email: str | None
    client_ip: str | None
    success_url: str
    return_url: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item of a list that could not be read; its id and that of its order, where at least those could."""

    id: UUID | None
    order_id: UUID | None
    reason: str


Leave = Callable[[Unreadable], None]


class Polar:
    """Polar's API as an async context manager. Every method raises a PolarError (orchestrator.billing.polar_errors)."""

    def __init__(self, http: PolarHttp) -> None:
        self._http = http

    @classmethod
    def from_settings(cls, settings: Settings, *, patience_s: float = PATIENCE_S, pause_s: float = PAUSE_S) -> Self:
        """The server of the settings. `patience_s` bounds one call with all its repetitions.

        Raises PolarNotConfiguredError where billing is on and there is no token.
        """
        token = settings.polar_access_token
        if settings.billing and token is None:
            raise PolarNotConfiguredError
        return cls(
            PolarHttp(
                settings.polar_url or SERVERS[settings.polar_server],
                token.get_secret_value() if token else None,
                api_version=settings.polar_version,
                timeout_s=settings.polar_timeout_s,
                patience_s=patience_s,
                pause_s=pause_s,
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def create_checkout(self, new: NewCheckout) -> wire.Checkout:
        """A page on which the user can pay. Never asked for twice; where there was no answer, see `find_checkout`.

        Polar refuses e-mail addresses that it cannot write to: then the buyer types one there.
        """
        try:
            return await self._create_checkout(new, new.email)
        except PolarRefusedError as error:
            if new.email is None or not any("customer_email" in field.split(".") for field in error.fields):
                raise
        return await self._create_checkout(new, None)

    async def _create_checkout(self, new: NewCheckout, email: str | None) -> wire.Checkout:
        body: dict[str, Any] = {
            "products": [str(new.product_id)],
            "external_customer_id": str(new.user_id),
            "metadata": {"purchase_id": str(new.purchase_id), "user_id": str(new.user_id)},
            "success_url": new.success_url,
            "return_url": new.return_url,
            "allow_discount_codes": False,
        }
        if email is not None:
            body["customer_email"] = email
        if is_public(new.client_ip):
            body["customer_ip_address"] = new.client_ip
        harmless = "Nothing was charged; try again in a minute."
        call = Call("open a checkout", "POST", "/v1/checkouts/", body=body, in_doubt=harmless)
        return await self._http.read(call, wire.Checkout)

    async def find_checkout(self, user_id: UUID, purchase_id: UUID) -> wire.Checkout | None:
        """The newest checkout that was made for a purchase of a user, among the newest of theirs and of everybody's.

        Of everybody's too: whether a list of the user's has checkouts of users who never paid, Polar does not say.
        """
        for external_id in (user_id, None):
            looked_at = 0
            checkouts = self._list(
                "list checkouts",
                "/v1/checkouts/",
                wire.Checkout,
                leave=lambda _: None,
                external_customer_id=external_id,
            )
            async for checkout in checkouts:
                if str(checkout.metadata.get("purchase_id")) == str(purchase_id):
                    return checkout
                looked_at += 1
                if looked_at == MOST_CHECKOUTS:
                    break
        return None

    async def checkout(self, checkout_id: UUID) -> wire.Checkout:
        return await self._http.read(Call("show the checkout", "GET", f"/v1/checkouts/{checkout_id}"), wire.Checkout)

    async def order(self, order_id: UUID) -> wire.Order:
        return await self._http.read(Call("show the order", "GET", f"/v1/orders/{order_id}"), wire.Order)

    def orders(
        self, *, checkout_id: UUID | None = None, since: datetime | None = None, leave: Leave | None = None
    ) -> AsyncIterator[wire.Order]:
        """Newest first; those created before `since` are left out.

        One that cannot be read is given to `leave`; without that it raises PolarAnswerError.
        """
        return self._list("list orders", "/v1/orders/", wire.Order, since=since, leave=leave, checkout_id=checkout_id)

    def refunds(
        self, *, order_id: UUID | None = None, since: datetime | None = None, leave: Leave | None = None
    ) -> AsyncIterator[wire.Refund]:
        """As `orders`."""
        return self._list("list refunds", "/v1/refunds/", wire.Refund, since=since, leave=leave, order_id=order_id)

    def disputes(self, *, since: datetime | None = None, leave: Leave | None = None) -> AsyncIterator[wire.Dispute]:
        """As `orders`, by when they were opened."""
        return self._list("list disputes", "/v1/disputes/", wire.Dispute, since=since, leave=leave)

    def subscriptions(
        self, *, since: datetime | None = None, leave: Leave | None = None
    ) -> AsyncIterator[wire.Subscription]:
        """As `orders`, by when they were started; Polar sorts them by nothing else. What never was started is there."""
        path = "/v1/subscriptions/"
        return self._list("list subscriptions", path, wire.Subscription, by="started_at", since=since, leave=leave)

    async def one_refund(self, refund_id: UUID) -> wire.Refund:
        """Raises PolarNotFoundError. Polar shows no refund but in lists."""
        async for refund in self._list("show the refund", "/v1/refunds/", wire.Refund, id=refund_id):
            return refund
        raise PolarNotFoundError("show the refund")

    async def dispute(self, dispute_id: UUID) -> wire.Dispute:
        return await self._http.read(Call("show the dispute", "GET", f"/v1/disputes/{dispute_id}"), wire.Dispute)

    async def refund(
        self, order_id: UUID, amount: int, *, reason: RefundReason, comment: str | None, request_id: UUID
    ) -> wire.Refund:
        """Give money of an order back: `amount` without tax, whose share is given back with it.

        One request makes one refund, however often it is asked for: it is looked for first, and again where Polar did
        not answer.
        """
        if known := await self._requested_refund(order_id, request_id):
            return known
        body = {
            "order_id": str(order_id),
            "amount": amount,
            "reason": reason,
            "comment": comment,
            "revoke_benefits": False,
            "metadata": {"request_id": str(request_id)},
        }
        call = Call(
            "make the refund",
            "POST",
            "/v1/refunds/",
            body=body,
            in_doubt="It may have been made all the same: the same request again makes no second one.",
        )
        try:
            return await self._http.read(call, wire.Refund)
        except PolarUnavailableError as error:
            if error.uncertain:
                with suppress(PolarError):  # the first failure says more
                    if made := await self._requested_refund(order_id, request_id):
                        return made
            raise

    async def _requested_refund(self, order_id: UUID, request_id: UUID) -> wire.Refund | None:
        async for refund in self.refunds(order_id=order_id):
            if str(refund.metadata.get("request_id")) == str(request_id):
                return refund
        return None

    async def portal(self, user_id: UUID, return_url: str) -> str:
        """Where the user sees invoices and payment methods: good for an hour and for whoever has it, so not to be kept.

        Raises PolarNoCustomerError where the user never bought anything.
        """
        body = {"external_customer_id": str(user_id), "return_url": return_url}
        call = Call("open the customer portal", "POST", "/v1/customer-sessions/", body=body, in_doubt="Try again.")
        try:
            session = await self._http.read(call, wire.CustomerSession)
        except PolarRefusedError as error:
            if any("external_customer_id" in field for field in error.fields):
                raise PolarNoCustomerError from error
            raise
        return session.customer_portal_url

    async def invoice(self, order_id: UUID) -> str | None:
        """Where the invoice can be had; None while Polar makes it, which this asks for.

        Raises PolarRefusedError with the reason MissingInvoiceBillingDetails where name or address are not known.
        """
        path = f"/v1/orders/{order_id}/invoice"
        try:
            return (await self._http.read(Call("show the invoice", "GET", path), wire.Invoice)).url
        except PolarNotFoundError:
            await self._http.json(Call("make the invoice", "POST", path, in_doubt="Try again."))
            return None

    async def subscription(self, subscription_id: UUID) -> wire.Subscription:
        call = Call("show the subscription", "GET", f"/v1/subscriptions/{subscription_id}")
        return await self._http.read(call, wire.Subscription)

    async def change_plan(self, subscription_id: UUID, product_id: UUID) -> wire.Subscription:
        """Another plan from the next period on: its price and its credits begin together."""
        return await self._change(
            subscription_id, "change the plan", product_id=str(product_id), proration_behavior="next_period"
        )

    async def cancel(self, subscription_id: UUID) -> wire.Subscription:
        """Let it end with the period that is paid."""
        return await self._change(subscription_id, "cancel the subscription", cancel_at_period_end=True)

    async def resume(self, subscription_id: UUID) -> wire.Subscription:
        """Take a cancellation back before the period has ended."""
        return await self._change(subscription_id, "keep the subscription", cancel_at_period_end=False)

    async def revoke(self, subscription_id: UUID) -> wire.Subscription:
        """End it now."""
        return await self._change(subscription_id, "end the subscription", revoke=True)

    async def _change(self, subscription_id: UUID, what: str, **body: Any) -> wire.Subscription:
        call = Call(what, "PATCH", f"/v1/subscriptions/{subscription_id}", body=body)
        return await self._http.read(call, wire.Subscription)

    async def products(self) -> list[wire.Product]:
        """All of them, archived ones too."""
        return [product async for product in self._list("list products", "/v1/products/", wire.Product)]

    async def organizations(self) -> list[wire.Organization]:
        """Those that the token is of: one, unless it is a person's."""
        listed = self._list("list organizations", "/v1/organizations/", wire.Organization)
        return [organization async for organization in listed]

    async def may_list(self, collection: str) -> None:
        """Ask for one thing of a collection. Raises PolarScopeError where the token must not read it."""
        call = Call(f"list {collection}", "GET", f"/v1/{collection}/", {"limit": 1, "page": 1})
        await self._http.read(call, wire.Listing)

    async def _list(
        self,
        what: str,
        path: str,
        model: type[Item],
        *,
        by: str = "created_at",
        since: datetime | None = None,
        leave: Leave | None = None,
        **filters: object,
    ) -> AsyncIterator[Item]:
        """Page by page, newest first. What is made meanwhile moves the pages: nothing is given twice for it.

        Raises PolarAnswerError at the first that cannot be read, unless there is `leave` to give it to.
        """
        seen: set[UUID] = set()
        chosen = {name: str(value) for name, value in filters.items() if value is not None}
        page, pages = 1, 1
        while page <= pages:
            call = Call(what, "GET", path, {**chosen, "sorting": f"-{by}", "page": page, "limit": PAGE})
            listing = await self._http.read(call, wire.Listing)
            for content in listing.items:
                time = wire.time_in(content, by)
                if since is not None and time is not None and time < since:
                    return
                try:
                    item = parsed(call, model, content)
                except PolarAnswerError as error:
                    if leave is None:
                        raise
                    leave(Unreadable(as_id(content.get("id")), as_id(content.get("order_id")), error.message))
                    continue
                if item.id not in seen:
                    seen.add(item.id)
                    yield item
            page, pages = page + 1, listing.pagination.max_page


def is_public(address: str | None) -> bool:
    """Whether it is an address of the internet: only such a one says where a buyer is."""
    try:
        return address is not None and ip_address(address).is_global
    except ValueError:
        return False
