"""Parts of reconciliations, each with its own watermark, and what they had to leave"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()"))


def _count(name: str, default: int) -> sa.Column[object]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text(str(default)))


def upgrade() -> None:
    op.add_column("reconciliation_run", _count("subscriptions", 0))
    op.create_table(
        "reconciliation_part",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reconciliation_part")),
    )
    kinds = "kind in ('order', 'refund', 'dispute', 'subscription')"
    op.create_table(
        "polar_leftover",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        _count("attempts", 1),
        _time("first_at"),
        _time("last_at"),
        sa.CheckConstraint(kinds, name=op.f("ck_polar_leftover_kind")),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_polar_leftover")),
    )


def downgrade() -> None:
    op.drop_table("polar_leftover")
    op.drop_table("reconciliation_part")
    op.drop_column("reconciliation_run", "subscriptions")
