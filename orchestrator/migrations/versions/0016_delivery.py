"""Notifications, webhooks of users, and how long files are kept"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _id(name: str = "id", *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=nullable, server_default=default)


def _count(name: str, default: str = "0") -> sa.Column[object]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text(default))


def _time(name: str, *, nullable: bool = True, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _made() -> sa.Column[object]:
    return _time("created_at", nullable=False, now=True)


def _refers(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{other}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete="CASCADE")


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def upgrade() -> None:
    _notifications()
    _endpoints()
    _deliveries()
    _retention()
    _preview_keys()


def _notifications() -> None:
    op.create_table(
        "notification",
        _id(),
        _id("user_id"),
        _text("kind"),
        _id("job_id", nullable=True),
        _text("title"),
        _text("message"),
        _text("page"),
        _made(),
        _time("read_at"),
        _check("notification", "kind", "kind in ('job_completed', 'job_failed', 'webhook_disabled')"),
        _refers("notification", "user_id", "user_account"),
        _refers("notification", "job_id", "job"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
    )
    op.create_index("ix_notification_user_id_id", "notification", ["user_id", "id"])
    op.create_index(op.f("ix_notification_job_id"), "notification", ["job_id"])
    op.create_index("ix_notification_unread", "notification", ["user_id"], postgresql_where=sa.text("read_at is null"))


def _endpoints() -> None:
    op.create_table(
        "webhook_endpoint",
        _id(),
        _id("user_id"),
        _text("url"),
        _text("description", default=""),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        _text("secret"),
        _text("previous_secret", nullable=True),
        _time("previous_until"),
        _made(),
        _time("failing_since"),
        _time("disabled_at"),
        _text("disabled_why", nullable=True),
        _check("webhook_endpoint", "disabled_why", "disabled_why in ('owner', 'gone', 'failing')"),
        _check("webhook_endpoint", "disabled", "(disabled_at is null) = (disabled_why is null)"),
        _check("webhook_endpoint", "previous", "(previous_secret is null) = (previous_until is null)"),
        _refers("webhook_endpoint", "user_id", "user_account"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_index(op.f("ix_webhook_endpoint_user_id"), "webhook_endpoint", ["user_id"])


def _deliveries() -> None:
    op.create_table(
        "webhook_delivery",
        _id(),
        _id("endpoint_id"),
        _text("event"),
        _id("job_id", nullable=True),
        _text("body"),
        _text("status", default="pending"),
        _count("series", "1"),
        _count("tries"),
        _count("attempts"),
        _time("claimed_until"),
        _time("next_attempt_at"),
        _text("error", nullable=True),
        _made(),
        _time("ended_at"),
        _check("webhook_delivery", "status", "status in ('pending', 'delivered', 'failed')"),
        _check("webhook_delivery", "ended", "(status = 'pending') = (ended_at is null)"),
        _refers("webhook_delivery", "endpoint_id", "webhook_endpoint"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index("ix_webhook_delivery_endpoint_id_id", "webhook_delivery", ["endpoint_id", "id"])
    for column, condition in (("created_at", "status = 'pending'"), ("ended_at", "status <> 'pending'")):
        name = "ix_webhook_delivery_open" if column == "created_at" else "ix_webhook_delivery_ended_at"
        op.create_index(name, "webhook_delivery", [column], postgresql_where=sa.text(condition))
    op.create_table(
        "webhook_attempt",
        _id("delivery_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _time("at", nullable=False, now=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("status_code", sa.Integer(), nullable=True),
        _text("error", nullable=True),
        _text("excerpt", nullable=True),
        _refers("webhook_attempt", "delivery_id", "webhook_delivery"),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_webhook_attempt")),
    )


def _retention() -> None:
    """What is there already was promised to nobody for a time: it gets thirty days from now, uploads a day."""
    a_day_from_now = sa.text("(now() + interval '24 hours')")
    expires_at = sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, server_default=a_day_from_now)
    op.add_column("media", expires_at)
    thirty_days = sa.text("interval '720 hours'")
    op.add_column("job", sa.Column("kept_for", sa.Interval(), nullable=False, server_default=thirty_days))
    op.add_column("job", _time("expires_at"))
    op.execute("update job set expires_at = now() + kept_for where status = 'completed'")
    for table in ("media", "job"):
        for column in ("withdrawn_at", "deleted_at", "purged_at"):
            op.add_column(table, _time(column))
        op.create_index(f"ix_{table}_due", table, ["expires_at"], postgresql_where=sa.text("withdrawn_at is null"))
        op.create_index(
            f"ix_{table}_unpurged",
            table,
            ["withdrawn_at"],
            postgresql_where=sa.text("withdrawn_at is not null and purged_at is null"),
        )
    op.create_index(op.f("ix_job_media_id"), "job", ["media_id"])


def _preview_keys() -> None:
    op.create_table(
        "preview_request_key",
        _id("user_id"),
        _text("key"),
        _text("preview"),
        _made(),
        _refers("preview_request_key", "user_id", "user_account"),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_preview_request_key")),
    )


def downgrade() -> None:
    op.drop_table("preview_request_key")
    op.drop_index(op.f("ix_job_media_id"), "job")
    for table in ("job", "media"):
        op.drop_index(f"ix_{table}_unpurged", table)
        op.drop_index(f"ix_{table}_due", table)
        for column in ("purged_at", "deleted_at", "withdrawn_at", "expires_at"):
            op.drop_column(table, column)
    op.drop_column("job", "kept_for")
    for table in ("webhook_attempt", "webhook_delivery", "webhook_endpoint", "notification"):
        op.drop_table(table)
