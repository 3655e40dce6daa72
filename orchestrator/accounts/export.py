"""Everything we keep about a user, as one JSON document (GDPR, articles 15 and 20)."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import ApiToken, LoginSession, SecurityEvent, User
from orchestrator.billing.models import PolarOrder, PolarSubscription, Purchase
from orchestrator.credits.models import CreditEntry, CreditLot
from orchestrator.database import Base
from orchestrator.editing.models import TranscriptRevision, TranscriptSegment
from orchestrator.glossaries.models import GlossaryEntry
from orchestrator.jobs.models import (
    Artifact,
    DiarizedPiece,
    HeardWindow,
    Job,
    JobAttempt,
    JobEvent,
    JobSpeaker,
    Rendition,
    SegmentRow,
)
from orchestrator.media.models import Media
from orchestrator.notifications.models import Mail, Notification
from orchestrator.uploads.models import Upload
from orchestrator.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

SECRET = frozenset({"password_hash", "hash", "storage_key", "text_hash", "request_hash", "secret", "previous_secret"})
"""Columns that open something, or say only where our files lie."""
LINKS = frozenset({"text", "html"})
"""Of a mail: it may hold a link that still works."""

OWN: dict[str, type[Base]] = {
    "sessions": LoginSession,
    "api_tokens": ApiToken,
    "security_events": SecurityEvent,
    "mails": Mail,
    "notifications": Notification,
    "webhooks": WebhookEndpoint,
    "media": Media,
    "uploads": Upload,
    "jobs": Job,
    "glossary": GlossaryEntry,
    "purchases": Purchase,
    "orders": PolarOrder,
    "subscriptions": PolarSubscription,
    "credit_entries": CreditEntry,
    "credit_lots": CreditLot,
}
OF_JOBS: dict[str, type[Base]] = {
    "attempts": JobAttempt,
    "events": JobEvent,
    "windows": HeardWindow,
    "diarized_pieces": DiarizedPiece,
    "speakers": JobSpeaker,
    "segments": SegmentRow,
    "renditions": Rendition,
    "artifacts": Artifact,
    "transcript_revisions": TranscriptRevision,
    "transcript_segments": TranscriptSegment,
}


async def document(session: AsyncSession, user_id: UUID) -> dict[str, Any]:
    """The user's account and every row that belongs to it, by kind; files are named with the path to download them."""
    user = await session.get_one(User, user_id)
    found: dict[str, Any] = {"account": _row(user)}
    for name, table in OWN.items():
        found[name] = await _rows(session, sa.select(table).where(table.user_id == user_id).order_by(table.id))  # type: ignore[attr-defined]
    jobs = sa.select(Job.id).where(Job.user_id == user_id)
    for name, table in OF_JOBS.items():
        found[name] = await _rows(session, sa.select(table).where(table.job_id.in_(jobs)))  # type: ignore[attr-defined]
    endpoints = sa.select(WebhookEndpoint.id).where(WebhookEndpoint.user_id == user_id)
    sent = sa.select(WebhookDelivery).where(WebhookDelivery.endpoint_id.in_(endpoints))
    found["webhook_deliveries"] = await _rows(session, sent.order_by(WebhookDelivery.id))
    ids = sent.with_only_columns(WebhookDelivery.id)
    found["webhook_attempts"] = await _rows(
        session, sa.select(WebhookAttempt).where(WebhookAttempt.delivery_id.in_(ids))
    )
    for each in found["artifacts"]:
        each["download"] = f"/v1/jobs/{each['job_id']}/artifacts/{each['name']}"
    return found


async def _rows(session: AsyncSession, query: Any) -> list[dict[str, Any]]:
    return [_row(each) for each in (await session.scalars(query)).all()]


def _row(row: Base) -> dict[str, Any]:
    left_out = SECRET | LINKS if isinstance(row, Mail) else SECRET
    columns = sa.inspect(type(row)).column_attrs
    return {column.key: getattr(row, column.key) for column in columns if column.key not in left_out}
