"""Attempts of a job, what they leave for the next one, and runs that ended with their worker"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def upgrade() -> None:
    for column in (
        sa.Column("attempt", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Column("last_event_before", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("rendered", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("discarded_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("job", column)
    op.execute("update job set queued_at = created_at, discarded_at = swept_at")
    op.create_check_constraint(op.f("ck_job_attempt"), "job", "attempt >= 1")
    op.create_table(
        "job_attempt",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_attempt_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_job_attempt")),
        sa.UniqueConstraint("job_id", "idempotency_key", name=op.f("uq_job_attempt_job_id_idempotency_key")),
    )
    op.create_table(
        "lost_run",
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("executor_id", sa.String(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("workflow_id", "run", name=op.f("pk_lost_run")),
    )
    op.create_table(
        "lone_run",
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column("executor_id", sa.String(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("workflow_id", name=op.f("pk_lone_run")),
    )


def downgrade() -> None:
    op.drop_table("lone_run")
    op.drop_table("lost_run")
    op.drop_table("job_attempt")
    op.drop_constraint(op.f("ck_job_attempt"), "job", type_="check")
    for column in ("discarded_at", "rendered", "last_event_before", "queued_at", "attempt"):
        op.drop_column("job", column)
