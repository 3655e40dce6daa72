"""Who speaks in a job's media, and with which voice each is dubbed"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "diarized_piece",
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("index", sa.Integer(), primary_key=True),
        sa.Column("start", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("turns", postgresql.JSONB()),
    )
    op.create_table(
        "job_speaker",
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("voices", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("reference", postgresql.JSONB()),
    )
    op.add_column("heard_window", sa.Column("turns", postgresql.JSONB()))


def downgrade() -> None:
    op.drop_column("heard_window", "turns")
    op.drop_table("job_speaker")
    op.drop_table("diarized_piece")
