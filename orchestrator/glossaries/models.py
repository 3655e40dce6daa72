"""The table of users' terms."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.database import Base


class GlossaryEntry(Base):
    """A term and what it is in another language; without a `target` a name that stays as it is.

    A language that is null stands for any.
    """

    __tablename__ = "glossary_entry"
    __table_args__ = (
        Index(
            "uq_glossary_entry_term",
            "user_id",
            text("coalesce(source_language, '')"),
            text("coalesce(target_language, '')"),
            "key",
            unique=True,
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    source_language: Mapped[str | None]
    target_language: Mapped[str | None]
    source: Mapped[str]
    target: Mapped[str | None]
    case_sensitive: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    key: Mapped[str]
    """The source term as it is compared: two entries of a pair of languages have different ones."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
