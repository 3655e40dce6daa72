"""Traces of jobs and mails; indexes for what the metrics count"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("job", "mail"):
        op.add_column(table, sa.Column("traceparent", sa.String(), nullable=True))
    op.create_index("ix_job_processing", "job", ["id"], postgresql_where=sa.text("status = 'processing'"))
    op.create_index("ix_credit_account_held", "credit_account", ["held"], postgresql_where=sa.text("held > 0"))
    op.create_index(
        "ix_polar_event_failed", "polar_event", ["received_at"], postgresql_where=sa.text("outcome = 'failed'")
    )


def downgrade() -> None:
    op.drop_index("ix_polar_event_failed", "polar_event")
    op.drop_index("ix_credit_account_held", "credit_account")
    op.drop_index("ix_job_processing", "job")
    for table in ("mail", "job"):
        op.drop_column(table, "traceparent")
