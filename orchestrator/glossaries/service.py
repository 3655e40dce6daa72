"""A user's terms: added, changed, listed, and handed to a job as they are when it is asked for."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import LOCK, User
from orchestrator.errors import OctaviaError
from orchestrator.glossaries.models import GlossaryEntry
from orchestrator.glossaries.schemas import EntryRequest
from orchestrator.ownership import get_own, newest_first, owned_by

MOST_ENTRIES = 2_000


class TermExistsError(OctaviaError):
    def __init__(self, there: GlossaryEntry) -> None:
        super().__init__(
            "term_exists",
            f"Your glossary has '{there.source}' for these languages already. Change that entry, or delete it.",
            409,
            entry_id=str(there.id),
        )


class GlossaryFullError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("glossary_full", f"A glossary holds {MOST_ENTRIES} entries. Delete some first.", 409)


async def add(session: AsyncSession, user_id: UUID, request: EntryRequest) -> GlossaryEntry:
    """Raises TermExistsError, GlossaryFullError."""
    await _lock(session, user_id)
    count = sa.select(sa.func.count()).select_from(GlossaryEntry).where(GlossaryEntry.user_id == user_id)
    if (await session.scalar(count) or 0) >= MOST_ENTRIES:
        raise GlossaryFullError
    entry = GlossaryEntry(user_id=user_id, **_values(request))
    await _insist_on_new(session, entry)
    session.add(entry)
    await session.flush()
    return entry


async def change(session: AsyncSession, user_id: UUID, entry_id: UUID, request: EntryRequest) -> GlossaryEntry:
    """The entry as the request has it. Raises NotFoundError, TermExistsError."""
    await _lock(session, user_id)
    entry = await get(session, user_id, entry_id)
    await _insist_on_new(session, GlossaryEntry(id=entry.id, user_id=user_id, **_values(request)))
    for name, value in _values(request).items():
        setattr(entry, name, value)
    await session.flush()
    return entry


async def get(session: AsyncSession, user_id: UUID, entry_id: UUID) -> GlossaryEntry:
    """Raises NotFoundError, for a stranger's too."""
    return await get_own(session, user_id, GlossaryEntry, entry_id, "glossary entry")


async def delete(session: AsyncSession, user_id: UUID, entry_id: UUID) -> None:
    """Raises NotFoundError."""
    await session.delete(await get(session, user_id, entry_id))


async def page(session: AsyncSession, user_id: UUID, cursor: UUID | None, limit: int) -> Sequence[GlossaryEntry]:
    query = newest_first(owned_by(user_id, GlossaryEntry), GlossaryEntry, cursor, limit)
    return (await session.scalars(query)).all()


async def frozen(session: AsyncSession, user_id: UUID, targets: Sequence[str]) -> list[dict[str, Any]]:
    """The terms that translations to these languages may need, for a job to keep."""
    bases = {target.split("-", maxsplit=1)[0] for target in targets}
    entry = GlossaryEntry
    query = sa.select(entry).where(
        entry.user_id == user_id,
        entry.target_language.is_(None) | sa.func.split_part(entry.target_language, "-", 1).in_(bases),
    )
    return [
        {
            "source": each.source,
            "target": each.target,
            "source_language": each.source_language,
            "target_language": each.target_language,
            "case_sensitive": each.case_sensitive,
        }
        for each in await session.scalars(query.order_by(entry.id))
    ]


def _values(request: EntryRequest) -> dict[str, Any]:
    key = request.source if request.case_sensitive else request.source.casefold()
    return {**request.model_dump(include=set(EntryRequest.model_fields)), "key": key}


async def _lock(session: AsyncSession, user_id: UUID) -> None:
    """One change of a user's glossary after the other."""
    await session.get_one(User, user_id, with_for_update=LOCK)


async def _insist_on_new(session: AsyncSession, entry: GlossaryEntry) -> None:
    """Raises TermExistsError where another entry of the same languages has the same term."""
    languages = (
        GlossaryEntry.source_language.is_not_distinct_from(entry.source_language),
        GlossaryEntry.target_language.is_not_distinct_from(entry.target_language),
    )
    query = owned_by(entry.user_id, GlossaryEntry).where(*languages, GlossaryEntry.key == entry.key)
    there = await session.scalar(query)
    if there is not None and there.id != entry.id:
        raise TermExistsError(there)
