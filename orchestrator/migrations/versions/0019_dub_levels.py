"""What is noted of a finished dub is an object: its files, and the gains it was mixed with."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

REWRITTEN = """
update job set rendered = (
    select jsonb_object_agg(language, {noted}) from jsonb_each(rendered) as each (language, value)
) where rendered <> '{{}}'::jsonb
"""


def upgrade() -> None:
    op.execute(REWRITTEN.format(noted="jsonb_build_object('files', value)"))


def downgrade() -> None:
    op.execute(REWRITTEN.format(noted="value -> 'files'"))
