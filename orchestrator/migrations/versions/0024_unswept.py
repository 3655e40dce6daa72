"""The jobs of which something may still be there, for those that look for what can go"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_job_unswept", "job", ["id"], postgresql_where=sa.text("swept_at is null"))


def downgrade() -> None:
    op.drop_index("ix_job_unswept", "job")
