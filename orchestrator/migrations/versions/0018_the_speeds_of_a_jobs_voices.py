"""The speeds of a job's voices, as they were when it began"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kept = sa.Column("voice_speeds", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb"))
    op.add_column("job", kept)


def downgrade() -> None:
    op.drop_column("job", "voice_speeds")
