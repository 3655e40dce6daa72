"""/v1/glossary: terms and names that translations obey."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import DbSession
from orchestrator.glossaries import service
from orchestrator.glossaries.models import GlossaryEntry
from orchestrator.glossaries.schemas import EntryPage, EntryRequest, EntryView
from orchestrator.problems import documented

router = APIRouter(prefix="/v1/glossary", tags=["glossary"])


@router.post("", status_code=201, response_model=EntryView, responses=documented(401, 409, 422, 503))
async def add_entry(request: EntryRequest, user: CurrentUser, session: DbSession) -> GlossaryEntry:
    """Add a term. Jobs asked for from now on obey it; those there are keep the glossary they began with."""
    return await service.add(session, user.id, request)


@router.get("", responses=documented(401, 422, 503))
async def list_entries(
    user: CurrentUser,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> EntryPage:
    """One's terms, newest first."""
    found = await service.page(session, user.id, cursor, limit + 1)
    items = [EntryView.model_validate(each) for each in found[:limit]]
    return EntryPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get("/{entry_id}", response_model=EntryView, responses=documented(401, 404, 422, 503))
async def get_entry(entry_id: UUID, user: CurrentUser, session: DbSession) -> GlossaryEntry:
    """One term."""
    return await service.get(session, user.id, entry_id)


@router.put("/{entry_id}", response_model=EntryView, responses=documented(401, 404, 409, 422, 503))
async def change_entry(entry_id: UUID, request: EntryRequest, user: CurrentUser, session: DbSession) -> GlossaryEntry:
    """Put another term in an entry's place."""
    return await service.change(session, user.id, entry_id, request)


@router.delete("/{entry_id}", status_code=204, responses=documented(401, 404, 422, 503))
async def delete_entry(entry_id: UUID, user: CurrentUser, session: DbSession) -> None:
    """Delete a term."""
    await service.delete(session, user.id, entry_id)
