"""/v1/billing, for users, and /webhooks/polar, for Polar."""

from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response

from orchestrator.accounts.authentication import CurrentLogin, CurrentUser
from orchestrator.billing import inbox, service
from orchestrator.billing.models import PolarSubscription, Purchase
from orchestrator.billing.offers import by_product
from orchestrator.billing.schemas import (
    Link,
    NewPurchase,
    OfferChoice,
    OfferList,
    OfferView,
    PurchasePage,
    PurchaseView,
    SubscriptionView,
)
from orchestrator.client_address import ClientAddress
from orchestrator.context import Context, DbSession, context_of
from orchestrator.errors import OctaviaError
from orchestrator.idempotency import key_header
from orchestrator.problems import documented
from orchestrator.rate_limits.dependencies import within

log = structlog.get_logger(__name__)

IdempotencyKey = Annotated[
    str | None, key_header("the same key and offer give the same purchase, however often it is sent")
]


async def _billing_on(context: Context, _: CurrentUser) -> None:
    service.polar_of(context)


router = APIRouter(prefix="/v1/billing", tags=["billing"], dependencies=[Depends(_billing_on)])
webhooks = APIRouter(prefix="/webhooks", tags=["webhooks"])

INVOICE_AFTER_S = 3
"""When to ask again for an invoice that is being made."""


@router.get("/offers", responses=documented(401, 404, 429, 503), dependencies=within("default"))
async def list_offers(context: Context) -> OfferList:
    """What can be bought: packages of credits, and plans that bring credits with every period."""
    offers = (*context.settings.packages, *context.settings.plans)
    return OfferList(
        items=[
            OfferView(
                **each.model_dump(exclude={"product_id"}), kind=service.kind_of(each), available=bool(each.product_id)
            )
            for each in offers
        ]
    )


@router.post(
    "/purchases",
    status_code=201,
    responses={
        200: {"model": NewPurchase, "description": "The purchase an earlier request with this key made"},
        **documented(401, 404, 409, 413, 422, 429, 502, 503),
    },
    dependencies=within("buy"),
)
async def buy(
    choice: OfferChoice,
    response: Response,
    context: Context,
    user: CurrentUser,
    address: ClientAddress,
    idempotency_key: IdempotencyKey = None,
) -> NewPurchase:
    """Buy an offer: send the buyer to `checkout_url`. Credits come once Polar has said that it is paid."""
    bought = await service.buy(context, user, choice.offer, idempotency_key, address)
    response.status_code = 201 if bought.new else 200
    response.headers["Location"] = f"/v1/billing/purchases/{bought.purchase.id}"
    return NewPurchase(**PurchaseView.model_validate(bought.purchase).model_dump(), checkout_url=bought.checkout_url)


@router.get("/purchases", responses=documented(401, 404, 422, 429, 503), dependencies=within("default"))
async def list_purchases(
    user: CurrentUser,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> PurchasePage:
    """One's purchases, newest first."""
    found = await service.page(session, user.id, cursor, limit + 1)
    items = [PurchaseView.model_validate(each) for each in found[:limit]]
    return PurchasePage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get(
    "/purchases/{purchase_id}",
    response_model=PurchaseView,
    responses=documented(401, 404, 422, 429, 503),
    dependencies=within("default"),
)
async def get_purchase(purchase_id: UUID, user: CurrentUser, session: DbSession) -> Purchase:
    """One purchase."""
    return await service.get(session, user.id, purchase_id)


@router.post(
    "/purchases/{purchase_id}/refresh",
    response_model=PurchaseView,
    responses=documented(401, 404, 422, 429, 502, 503),
    dependencies=within("ask_polar"),
)
async def refresh_purchase(purchase_id: UUID, context: Context, user: CurrentUser) -> Purchase:
    """Ask Polar at once whether it is paid, for a buyer who comes back before Polar has told us."""
    return await service.refresh(context, user.id, purchase_id)


@router.get(
    "/purchases/{purchase_id}/invoice",
    responses={
        202: {"description": "It is being made: ask again in a few seconds"},
        **documented(401, 404, 409, 422, 429, 502, 503),
    },
    response_model=Link,
    dependencies=within("ask_polar"),
)
async def get_invoice(purchase_id: UUID, context: Context, user: CurrentUser) -> Link | Response:
    """Where to download the invoice; of a plan, the newest."""
    url = await service.invoice(context, user.id, purchase_id)
    if url is None:
        return Response(status_code=202, headers={"Retry-After": str(INVOICE_AFTER_S)})
    return Link(url=url)


@router.post("/portal", responses=documented(401, 403, 404, 409, 429, 502, 503), dependencies=within("ask_polar"))
async def open_portal(context: Context, login: CurrentLogin) -> Link:
    """Polar's pages about one's payment methods, invoices and subscription; the link is good for an hour."""
    return Link(url=await service.portal(context, login.user.id))


@router.get("/subscription", responses=documented(401, 404, 429, 503), dependencies=within("default"))
async def get_subscription(context: Context, user: CurrentUser, session: DbSession) -> SubscriptionView:
    """One's subscription."""
    return _view(context, await service.subscription(session, user.id))


@router.post(
    "/subscription/cancel",
    responses=documented(401, 403, 404, 429, 502, 503),
    dependencies=within("ask_polar"),
)
async def cancel_subscription(context: Context, login: CurrentLogin) -> SubscriptionView:
    """End one's subscription with the period that is paid for."""
    return _view(context, await service.cancel(context, login.user.id))


@router.post(
    "/subscription/resume",
    responses=documented(401, 403, 404, 429, 502, 503),
    dependencies=within("ask_polar"),
)
async def resume_subscription(context: Context, login: CurrentLogin) -> SubscriptionView:
    """Take a cancellation back."""
    return _view(context, await service.resume(context, login.user.id))


@router.post(
    "/subscription/change",
    responses=documented(401, 403, 404, 409, 413, 422, 429, 502, 503),
    dependencies=within("ask_polar"),
)
async def change_subscription(choice: OfferChoice, context: Context, login: CurrentLogin) -> SubscriptionView:
    """Move one's subscription to another plan; its credits come with the next period."""
    return _view(context, await service.change(context, login.user.id, choice.offer))


def _view(context: Context, subscription: PolarSubscription) -> SubscriptionView:
    plan = by_product(context.settings.plans, subscription.product_id)
    return SubscriptionView(
        id=subscription.id,
        offer=plan.id if plan else None,
        status=subscription.status,
        current_period_start=subscription.current_period_start,
        current_period_end=subscription.current_period_end,
        cancel_at_period_end=subscription.cancel_at_period_end,
        ends_at=subscription.ends_at,
    )


@webhooks.post("/polar", status_code=202, responses=documented(400, 403, 404, 413, 503))
@webhooks.post("/polar/", status_code=202, include_in_schema=False)
async def receive(request: Request) -> Response:
    """A delivery of Polar's: its signature is looked at, it is kept, and acknowledged. What it says is done later."""
    context = context_of(request)
    service.polar_of(context)
    body = await request.body()
    try:
        delivery = inbox.read(context.signatures, body, request.headers)
    except OctaviaError as error:
        log.warning("a delivery was refused", code=error.code, reason=error.message, size=len(body))
        raise
    new = await context.deliveries(delivery)
    log.info("an event of Polar's was kept", webhook_id=delivery.webhook_id, type=delivery.event.type, new=new)
    return Response(status_code=202)
