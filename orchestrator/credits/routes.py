"""/v1/credits."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.credits import service, statement
from orchestrator.credits.models import CreditEntry, Kind
from orchestrator.credits.schemas import (
    CreditsView,
    EntryPage,
    EntryView,
    ExpiringView,
    HoldView,
    TestCreditsRequest,
)
from orchestrator.idempotency import key_header
from orchestrator.problems import documented

router = APIRouter(prefix="/v1/credits", tags=["credits"])

IdempotencyKey = Annotated[str | None, key_header("requests with the same key grant once, however often they are sent")]


class Csv(StreamingResponse):
    media_type = "text/csv"


@router.get("", responses=documented(401, 503))
async def get_credits(user: CurrentUser, session: DbSession) -> CreditsView:
    """What one has, what expires next, and what is reserved for which job."""
    found = await service.overview(session, user.id)
    balance = found.balance
    return CreditsView(
        available=balance.available,
        held=balance.held,
        debt=balance.debt,
        expiring=[ExpiringView.model_validate(each) for each in balance.expiring[: service.MOST_EXPIRIES]],
        holds=[HoldView.model_validate(each) for each in found.holds],
    )


@router.get("/history", responses=documented(401, 422, 503))
async def list_entries(
    user: CurrentUser,
    session: DbSession,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="The next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    kind: Kind | None = None,
) -> EntryPage:
    """Every change of one's credits, newest first."""
    found = await service.page(session, user.id, cursor=cursor, limit=limit + 1, kind=kind)
    items = [EntryView.model_validate(entry) for entry in found[:limit]]
    return EntryPage(items=items, next_cursor=items[-1].sequence if len(found) > limit else None)


@router.get(
    "/history.csv",
    response_class=Csv,
    responses={
        200: {"description": "All entries, oldest first", "content": {"text/csv": {"schema": {"type": "string"}}}},
        **documented(401, 503),
    },
)
async def export_entries(user: CurrentUser, context: Context) -> Csv:
    """Every change of one's credits as a file for spreadsheets."""
    name = statement.file_name(datetime.now(UTC))
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Csv(service.csv(context.sessions, user.id), headers=headers)


@router.post(
    "/test-credits",
    status_code=201,
    response_model=EntryView,
    responses=documented(400, 401, 403, 409, 413, 422, 503),
)
async def grant_test_credits(
    request: TestCreditsRequest,
    context: Context,
    user: CurrentUser,
    session: DbSession,
    idempotency_key: IdempotencyKey = None,
) -> CreditEntry:
    """Give oneself credits, where the operator allows it: for development."""
    return await service.grant_test_credits(session, context.settings, user.id, request.credits, idempotency_key)
