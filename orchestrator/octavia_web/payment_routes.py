"""/api/payments/…: credits, as the billing page buys and lists them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.billing import service
from orchestrator.billing.models import Purchase
from orchestrator.billing.offers import Package, Plan
from orchestrator.billing.routes import IdempotencyKey
from orchestrator.client_address import ClientAddress
from orchestrator.context import Context, DbSession
from orchestrator.credits import service as credits
from orchestrator.octavia_web.envelope import said
from orchestrator.rate_limits.dependencies import within

router = APIRouter(prefix="/api/payments", include_in_schema=False)

STATUSES: Mapping[str, str] = {
    "pending": "pending",
    "parked": "pending",
    "paid": "completed",
    "partially_refunded": "completed",
    "refunded": "refunded",
    "expired": "failed",
}
"""A purchase's status in the pages' words; a word they do not know is shown in red."""

MOST_LISTED = 100


class PackageChoice(BaseModel):
    model_config = ConfigDict(extra="ignore")

    package_id: Annotated[str, Field(min_length=1, max_length=100)]


class TestCredits(BaseModel):
    model_config = ConfigDict(extra="ignore")

    credits: Annotated[int, Field(ge=1, le=10_000)]


@router.post("/create-session", dependencies=within("buy"))
async def create_session(
    choice: PackageChoice,
    context: Context,
    user: CurrentUser,
    address: ClientAddress,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    bought = await service.buy(context, user, choice.package_id, idempotency_key, address)
    purchase = bought.purchase
    return said(
        checkout_url=bought.checkout_url,
        session_id=purchase.id,
        transaction_id=purchase.id,
        package_id=purchase.offer,
        credits=purchase.credits,
        test_mode=False,
    )


@router.get("/status/{session_id}", dependencies=within("ask_polar"))
async def status(session_id: UUID, context: Context, user: CurrentUser) -> JSONResponse:
    """Asks Polar too: the page asks once, maybe before Polar has told us."""
    purchase = await service.refresh(context, user.id, session_id)
    return said(
        session_id=purchase.id,
        transaction_id=purchase.id,
        status=STATUSES[purchase.status],
        credits=purchase.credits,
    )


@router.get("/transactions", dependencies=within("default"))
async def transactions(context: Context, user: CurrentUser, session: DbSession) -> JSONResponse:
    bought = await service.page(session, user.id, None, MOST_LISTED)
    names = {offer.id: offer.name for offer in (*context.settings.packages, *context.settings.plans)}
    return said(transactions=[_transaction(each, names) for each in bought])


def _transaction(purchase: Purchase, names: Mapping[str, str]) -> dict[str, Any]:
    name = names.get(purchase.offer, purchase.offer)
    return {
        "id": purchase.id,
        "session_id": purchase.id,
        "description": f"{name}: {purchase.credits} credits",
        "created_at": purchase.created_at,
        "credits": purchase.credits,
        "amount": purchase.price_cents / 100,
        "currency": purchase.currency,
        "status": STATUSES[purchase.status],
    }


@router.get("/packages", dependencies=within("look"))
async def packages(context: Context) -> JSONResponse:
    """By id with cents at the top, as a list with dollars below: each has its readers."""
    offered = context.settings.packages
    by_id = {
        each.id: {"name": each.name, "credits": each.credits, "price": each.price_cents, "currency": each.currency}
        for each in offered
    }
    return said(packages=by_id, data={"packages": _in_dollars(offered)})


def _in_dollars(offers: Iterable[Package | Plan]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "name": each.name,
            "credits": each.credits,
            "price": each.price_cents / 100,
            "currency": each.currency,
        }
        for each in offers
    ]


@router.post("/add-test-credits", dependencies=within("default"))
async def add_test_credits(
    request: TestCredits, context: Context, user: CurrentUser, session: DbSession
) -> JSONResponse:
    """For development; the settings say whether it is allowed."""
    entry = await credits.grant_test_credits(session, context.settings, user.id, request.credits, None)
    return said(credits_added=request.credits, credits=entry.available, message=f"{request.credits} credits added.")
