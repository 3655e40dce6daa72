"""Polar's REST API over a market."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.standins.polar import requests
from tests.standins.polar.refusals import Refusal, not_valid, refused
from tests.standins.polar.shapes import Json

if TYPE_CHECKING:
    from tests.standins.polar.standin import PolarStandIn

LARGEST_PAGE = 100
SCOPES = frozenset(
    {
        *("checkouts:read", "checkouts:write", "orders:read", "subscriptions:read", "subscriptions:write"),
        *("customers:read", "customer_sessions:write", "refunds:read", "refunds:write", "products:read"),
        *("disputes:read", "organizations:read"),
    }
)
"""Those a token has unless told otherwise."""

COLLECTIONS: Mapping[str, str] = {
    "products": "products",
    "customers": "customers",
    "checkouts": "checkouts",
    "orders": "orders",
    "subscriptions": "subscriptions",
    "refunds": "refunds",
    "disputes": "disputes",
    "organizations": "organizations",
}
SORTED_BY: Mapping[str, str] = dict.fromkeys(COLLECTIONS, "created_at") | {"subscriptions": "started_at"}
"""The time that a list is sorted by, newest first unless told otherwise. Polar's server knows other criteria, too."""
ONLY_LISTED = frozenset({"refunds"})
"""Of these none can be asked for by its id but with a filter."""
FILTERS = frozenset({"id", "customer_id", "checkout_id", "subscription_id", "product_id", "order_id", "status"})
Answer = tuple[int, Json | None]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in."""

    id: str
    query: Mapping[str, list[str]]
    body: Any

    def read(self, model: type[Model]) -> Model:
        try:
            return model.model_validate(self.body)
        except ValidationError as error:
            raise not_valid(error.errors(include_url=False), "body") from None


class Api:
    """The routes; each wants one of some scopes."""

    def __init__(self, standin: "PolarStandIn") -> None:
        self._standin = standin
        self._market = standin.market

    def routes(self) -> list[Route]:
        made = [
            self._route("POST", "/v1/checkouts/", self._create_checkout, "checkouts:write"),
            self._route("POST", "/v1/refunds/", self._create_refund, "refunds:write"),
            self._route("POST", "/v1/customer-sessions/", self._create_session, "customer_sessions:write"),
            self._route("POST", "/v1/orders/{id}/invoice", self._make_invoice, "orders:read"),
            self._route("GET", "/v1/orders/{id}/invoice", self._invoice, "orders:read"),
            self._route("PATCH", "/v1/subscriptions/{id}", self._change_subscription, "subscriptions:write"),
            self._route("DELETE", "/v1/subscriptions/{id}", self._revoke_subscription, "subscriptions:write"),
        ]
        for name in COLLECTIONS:
            scopes = (f"{name}:read", f"{name}:write")
            made.append(self._route("GET", f"/v1/{name}/", self._lister(name), *scopes))
            if name not in ONLY_LISTED:
                made.append(self._route("GET", f"/v1/{name}/{{id}}", self._getter(name), *scopes))
        return made

    def _route(self, method: str, path: str, work: Callable[[Asked], Answer], *scopes: str) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                self._admit(request, scopes)
                status, body = work(await _asked(request))
            except Refusal as refusal:
                status, body = refusal.status, refusal.body
            if method != "GET":
                self._standin.changed()
            return JSONResponse(body, status)

        return Route(path, endpoint, methods=[method])

    def _admit(self, request: Request, scopes: tuple[str, ...]) -> None:
        if request.headers.get("Authorization") != f"Bearer {self._standin.token}":
            said = "The access token provided is expired, revoked, malformed, or invalid for other reasons."
            raise Refusal(401, {"error": "invalid_token", "error_description": said})
        if not self._standin.scopes & set(scopes):
            said = "The request requires higher privileges than provided by the access token."
            raise Refusal(403, {"error": "insufficient_scope", "error_description": said, "scope": " ".join(scopes)})

    def _create_checkout(self, asked: Asked) -> Answer:
        wish = requests.as_json(asked.read(requests.NewCheckout))
        return 201, self._market.shown_checkout(self._market.create_checkout(wish))

    def _create_refund(self, asked: Asked) -> Answer:
        wish = requests.as_json(asked.read(requests.NewRefund))
        return 201, self._standin.refunds.create(wish, pending=self._standin.refunds_pending)

    def _create_session(self, asked: Asked) -> Answer:
        return 201, self._market.open_session(requests.as_json(asked.read(requests.NewSession)))

    def _make_invoice(self, asked: Asked) -> Answer:
        order = self._market.get("orders", asked.id)
        self._market.make_invoice(order)
        self._standin.finish_invoice_soon(order)
        return 202, None

    def _invoice(self, asked: Asked) -> Answer:
        order = self._market.get("orders", asked.id)
        if not order["is_invoice_generated"]:
            raise refused(404, "InvoiceDoesNotExist", f"No invoice exists for order {asked.id}.")
        return 200, {"url": f"{self._standin.url}/invoices/{asked.id}"}

    def _change_subscription(self, asked: Asked) -> Answer:
        subscription = self._market.get("subscriptions", asked.id)
        body = asked.body if isinstance(asked.body, dict) else {}
        kind = next((model for key, model in requests.CHANGES.items() if key in body), requests.Cancellation)
        self._apply(asked.id, asked.read(kind))
        return 200, self._market.shown_subscription(subscription)

    def _apply(self, id_: str, change: requests.Change) -> None:
        subscriptions = self._standin.subscriptions
        match change:
            case requests.Cancellation(cancel_at_period_end=True):
                subscriptions.cancel(id_)
            case requests.Cancellation():
                subscriptions.uncancel(id_)
            case requests.Revocation():
                subscriptions.revoke(id_)
            case requests.ProductChange():
                subscriptions.change_plan(id_, str(change.product_id), change.proration_behavior)
            case requests.NoPendingChange():
                subscriptions.drop_change(id_)

    def _revoke_subscription(self, asked: Asked) -> Answer:
        return 200, self._market.shown_subscription(self._standin.subscriptions.revoke(asked.id))

    def _getter(self, name: str) -> Callable[[Asked], Answer]:
        def get(asked: Asked) -> Answer:
            return 200, self._shown(name, self._market.get(name, asked.id))

        return get

    def _lister(self, name: str) -> Callable[[Asked], Answer]:
        def listed(asked: Asked) -> Answer:
            things = [each for each in self._market.tables[name].values() if self._chosen(name, each, asked.query)]
            if _newest_first(asked.query, SORTED_BY[name]):
                things.reverse()
            page, limit = _number(asked.query, "page", 1, None), _number(asked.query, "limit", 10, LARGEST_PAGE)
            shown = [self._shown(name, each) for each in things[(page - 1) * limit : page * limit]]
            pagination = {"total_count": len(things), "max_page": -(-len(things) // limit)}
            return 200, {"items": shown, "pagination": pagination}

        return listed

    def _chosen(self, name: str, thing: Json, query: Mapping[str, list[str]]) -> bool:
        for key, values in query.items():
            if key in FILTERS and str(thing.get(key)) not in values:
                return False
            if key == "external_customer_id" and self._external_id(name, thing) not in values:
                return False
            if key == "is_archived" and str(thing.get(key)).lower() not in values:
                return False
            if key.startswith("metadata[") and str(thing["metadata"].get(key[9:-1])) not in values:
                return False
        return True

    def _external_id(self, name: str, thing: Json) -> str | None:
        """Of the customer; a checkout has one of its own before there is a customer."""
        if name == "checkouts" and not self._standin.checkouts_by_customer:
            return thing["external_customer_id"]  # type: ignore[no-any-return]
        customer = self._market.tables["customers"].get(thing.get("customer_id") or "")
        return customer["external_id"] if customer else None

    def _shown(self, name: str, thing: Json) -> Json:
        match name:
            case "checkouts":
                return self._market.shown_checkout(thing)
            case "orders":
                return self._market.shown_order(thing)
            case "subscriptions":
                return self._market.shown_subscription(thing)
        return thing


async def _asked(request: Request) -> Asked:
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        raise not_valid([{"type": "json_invalid", "loc": [0], "msg": "JSON decode error"}], "body") from None
    id_ = request.path_params.get("id", "")
    if id_ and not _is_uuid(id_):
        raise not_valid([{"type": "uuid_parsing", "loc": ["id"], "msg": "Input should be a valid UUID"}], "path")
    query = {name: request.query_params.getlist(name) for name in request.query_params}
    return Asked(id_, query, body)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _newest_first(query: Mapping[str, list[str]], time: str) -> bool:
    sorting = query.get("sorting", [f"-{time}"])
    if sorting not in ([time], [f"-{time}"]):
        message = "Invalid sorting criterion."
        raise not_valid([{"type": "enum", "loc": ["sorting"], "msg": message, "input": sorting[0]}], "query")
    return sorting == [f"-{time}"]


def _number(query: Mapping[str, list[str]], name: str, default: int, most: int | None) -> int:
    text = query.get(name, [str(default)])[-1]
    if not text.isdecimal() or int(text) < 1 or (most is not None and int(text) > most):
        raise not_valid([{"type": "int_parsing", "loc": [name], "msg": "Input is not valid", "input": text}], "query")
    return int(text)
