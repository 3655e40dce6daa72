"""Sign-up, logins, tokens, settings and the audit trail"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
EMPTY = sa.text("'{}'::jsonb")


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=None if nullable else NOW)


def _moment(name: str) -> sa.Column[object]:
    """A time that is always given."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _id() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), nullable=False)


def _owned(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id"], ["user_account.id"], name=op.f(f"fk_{table}_user_id_user_account"), ondelete="CASCADE"
    )


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=nullable, server_default=default)


def upgrade() -> None:
    _users()
    _logins()
    _secrets()
    _requests_and_events()


def _users() -> None:
    op.drop_constraint(op.f("ck_user_account_status"), "user_account", type_="check")
    op.drop_index("uq_user_account_email_lower", "user_account")
    op.alter_column("user_account", "status", server_default="active")
    for column in (
        _text("role", default="user"),
        _text("language", default="en"),
        _text("time_zone", default="UTC"),
        sa.Column("notifications", postgresql.JSONB(), nullable=False, server_default=EMPTY),
        _time("verified_at"),
        _time("deleted_at"),
        _time("purged_at"),
    ):
        op.add_column("user_account", column)
    op.execute("update user_account set verified_at = created_at")
    checks = {
        "status": "status in ('pending', 'active', 'disabled', 'deleted')",
        "role": "role in ('user', 'admin')",
        "deleted": "(status = 'deleted') = (deleted_at is not null)",
    }
    for name, rule in checks.items():
        op.create_check_constraint(op.f(f"ck_user_account_{name}"), "user_account", rule)
    op.create_index(
        "uq_user_account_email_lower",
        "user_account",
        [sa.literal_column("lower(email)")],
        unique=True,
        postgresql_where=sa.text("status <> 'deleted'"),
    )


def _logins() -> None:
    op.create_table(
        "login_session",
        _id(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _time("created_at", nullable=False),
        _time("used_at", nullable=False),
        _moment("idle_until"),
        _moment("expires_at"),
        _time("ended_at"),
        _text("end_reason", nullable=True),
        _text("address", nullable=True),
        _text("user_agent", nullable=True),
        _owned("login_session"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_session")),
    )
    op.create_index(op.f("ix_login_session_user_id"), "login_session", ["user_id"])
    op.create_table(
        "refresh_token",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        _time("created_at", nullable=False),
        _time("used_at"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["login_session.id"],
            name=op.f("fk_refresh_token_session_id_login_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_refresh_token")),
    )
    op.create_index(op.f("ix_refresh_token_session_id"), "refresh_token", ["session_id"])


def _secrets() -> None:
    op.create_table(
        "email_token",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _text("purpose"),
        _text("name", nullable=True),
        _text("password_hash", nullable=True),
        _time("created_at", nullable=False),
        _moment("expires_at"),
        _time("used_at"),
        sa.CheckConstraint("purpose in ('verify', 'reset')", name=op.f("ck_email_token_purpose")),
        _owned("email_token"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_email_token")),
    )
    op.create_index(op.f("ix_email_token_user_id"), "email_token", ["user_id"])
    op.create_table(
        "api_token",
        _id(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _text("name"),
        _text("hint"),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _time("created_at", nullable=False),
        _time("expires_at"),
        _time("last_used_at"),
        _time("revoked_at"),
        _owned("api_token"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_token_hash")),
    )
    op.create_index(op.f("ix_api_token_user_id"), "api_token", ["user_id"])


def _requests_and_events() -> None:
    op.create_table(
        "account_request",
        _id(),
        _text("kind"),
        _text("email"),
        _text("name", nullable=True),
        _text("password_hash", nullable=True),
        _text("address", nullable=True),
        _text("user_agent", nullable=True),
        _time("created_at", nullable=False),
        sa.CheckConstraint("kind in ('sign_up', 'resend', 'reset')", name=op.f("ck_account_request_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_request")),
    )
    op.create_table(
        "security_event",
        _id(),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        _text("kind"),
        _time("created_at", nullable=False),
        _text("address", nullable=True),
        _text("user_agent", nullable=True),
        sa.Column("detail", postgresql.JSONB(), nullable=False, server_default=EMPTY),
        _owned("security_event"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_event")),
    )
    op.create_index("ix_security_event_user_id_id", "security_event", ["user_id", "id"])
