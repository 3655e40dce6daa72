"""Purchases, Polar's events, and our copies of its orders, refunds, disputes and subscriptions"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _id(name: str = "id", *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=nullable, server_default=default)


def _amount(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0"))


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _copied() -> tuple[sa.Column[object], ...]:
    """The times of a copy of Polar's."""
    return _time("created_at"), _time("changed_at"), _time("seen_at")


def _key(table: str, column: str = "id") -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(column, name=op.f(f"pk_{table}"))


def _refers(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}_{other}"))


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def upgrade() -> None:
    _events()
    _purchases()
    _orders()
    _copies()
    _requests_and_runs()


def _events() -> None:
    outcomes = "outcome in ('handled', 'ignored', 'parked', 'failed')"
    op.create_table(
        "polar_event",
        _text("webhook_id"),
        _text("type"),
        _time("timestamp"),
        _text("body"),
        _time("received_at", now=True),
        _time("handled_at", nullable=True),
        _text("outcome", nullable=True),
        _text("reason", nullable=True),
        _check("polar_event", "outcome", outcomes),
        _check("polar_event", "handled", "(outcome is null) = (handled_at is null)"),
        _key("polar_event", "webhook_id"),
    )
    op.create_index("ix_polar_event_open", "polar_event", ["received_at"], postgresql_where=sa.text("outcome is null"))


def _purchases() -> None:
    statuses = "status in ('pending', 'paid', 'partially_refunded', 'refunded', 'expired', 'parked')"
    op.create_table(
        "purchase",
        _id(),
        _id("user_id"),
        _text("offer"),
        _text("kind"),
        _id("product_id"),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("valid_days", sa.Integer(), nullable=True),
        sa.Column("price_cents", sa.Integer(), nullable=False),
        _text("currency"),
        _text("status", default="pending"),
        _id("checkout_id", nullable=True),
        _amount("checkout_amount", nullable=True),
        _text("checkout_currency", nullable=True),
        _time("expires_at", nullable=True),
        _text("idempotency_key", nullable=True),
        _time("last_checked_at", nullable=True),
        _time("created_at", now=True),
        _time("paid_at", nullable=True),
        _check("purchase", "kind", "kind in ('package', 'plan')"),
        _check("purchase", "status", statuses),
        _refers("purchase", "user_id", "user_account"),
        _key("purchase"),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_purchase_checkout_id")),
        sa.UniqueConstraint("user_id", "idempotency_key", name=op.f("uq_purchase_user_id_idempotency_key")),
    )
    op.create_index("ix_purchase_user_id_id", "purchase", ["user_id", "id"])
    op.create_index("ix_purchase_pending", "purchase", ["created_at"], postgresql_where=sa.text("status = 'pending'"))


def _orders() -> None:
    op.create_table(
        "polar_order",
        _id(),
        _id("user_id", nullable=True),
        _id("purchase_id", nullable=True),
        _text("state", default="pending"),
        _text("reason", nullable=True),
        sa.Column("paid_seen", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        _time("paid_at", nullable=True),
        _count("granted"),
        _count("taken_back"),
        _count("corrections"),
        _text("status"),
        _text("billing_reason"),
        _amount("subtotal_amount"),
        _amount("discount_amount"),
        _amount("net_amount"),
        _amount("applied_balance_amount"),
        _amount("refunded_amount"),
        _text("currency"),
        _id("product_id", nullable=True),
        _id("subscription_id", nullable=True),
        _id("checkout_id", nullable=True),
        _text("invoice_number", nullable=True),
        *_copied(),
        _check("polar_order", "state", "state in ('pending', 'granted', 'nothing', 'parked')"),
        _check("polar_order", "credits", "granted >= 0 and taken_back between 0 and granted"),
        _check("polar_order", "granted", "state = 'granted' or granted = 0"),
        _check("polar_order", "owner", "state <> 'granted' or user_id is not null"),
        _refers("polar_order", "user_id", "user_account"),
        _refers("polar_order", "purchase_id", "purchase"),
        _key("polar_order"),
    )
    op.create_index("ix_polar_order_user_id_id", "polar_order", ["user_id", "id"])
    op.create_index(op.f("ix_polar_order_purchase_id"), "polar_order", ["purchase_id"])
    op.create_index(
        "uq_polar_order_purchase_id_first",
        "polar_order",
        ["purchase_id"],
        unique=True,
        postgresql_where=sa.text("state = 'granted' and billing_reason in ('purchase', 'subscription_create')"),
    )
    op.create_index(
        "ix_polar_order_open",
        "polar_order",
        ["created_at"],
        postgresql_where=sa.text("state in ('pending', 'parked')"),
    )


def _copies() -> None:
    for table, more in {"polar_refund": [_text("reason")], "polar_dispute": []}.items():
        op.create_table(
            table,
            _id(),
            _id("order_id"),
            _text("status"),
            *more,
            _amount("amount"),
            _text("currency"),
            *_copied(),
            _key(table),
        )
        op.create_index(op.f(f"ix_{table}_order_id"), table, ["order_id"])
    op.create_table(
        "polar_subscription",
        _id(),
        _id("user_id", nullable=True),
        _id("purchase_id", nullable=True),
        _id("customer_id"),
        _id("product_id"),
        _text("status"),
        _time("current_period_start", nullable=True),
        _time("current_period_end", nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        _time("ends_at", nullable=True),
        _time("ended_at", nullable=True),
        *_copied(),
        _refers("polar_subscription", "user_id", "user_account"),
        _refers("polar_subscription", "purchase_id", "purchase"),
        _key("polar_subscription"),
    )
    op.create_index("ix_polar_subscription_user_id_id", "polar_subscription", ["user_id", "id"])


def _requests_and_runs() -> None:
    op.create_table(
        "refund_request",
        _id(),
        _id("order_id"),
        _amount("amount"),
        _text("status", default="pending"),
        _id("refund_id", nullable=True),
        _time("created_at", now=True),
        _check("refund_request", "status", "status in ('pending', 'done', 'refused')"),
        _check("refund_request", "amount", "amount > 0"),
        _refers("refund_request", "order_id", "polar_order"),
        _key("refund_request"),
    )
    op.create_index(
        "uq_refund_request_order_id_pending",
        "refund_request",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "reconciliation_run",
        _id(),
        _time("started_at", now=True),
        _time("finished_at", nullable=True),
        _time("since"),
        *map(_count, ("orders", "refunds", "disputes", "repaired", "ended", "failed")),
        _text("error", nullable=True),
        _key("reconciliation_run"),
    )


def downgrade() -> None:
    for table in (
        *("reconciliation_run", "refund_request", "polar_subscription", "polar_dispute", "polar_refund"),
        *("polar_order", "purchase", "polar_event"),
    ):
        op.drop_table(table)
