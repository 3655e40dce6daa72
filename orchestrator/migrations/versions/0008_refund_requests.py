"""When a refund was asked for; whom an event of Polar's names, and which addresses are to be forgotten"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refund_request", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    for column, kind in (("user_ids", sa.Uuid()), ("email_hashes", sa.LargeBinary())):
        array = postgresql.ARRAY(kind)
        op.add_column("polar_event", sa.Column(column, array, server_default=sa.text("'{}'"), nullable=False))
    op.create_table(
        "forgotten_email",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_forgotten_email")),
    )
    op.execute("update polar_event set body = '' where outcome = 'ignored'")


def downgrade() -> None:
    op.drop_table("forgotten_email")
    op.drop_column("polar_event", "email_hashes")
    op.drop_column("polar_event", "user_ids")
    op.drop_column("refund_request", "asked_at")
