"""Subtitle files as media, and the kinds of job on them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BEFORE = {"media": ("video", "audio"), "job": ("video_translation", "audio_translation", "subtitles")}
ADDED = {"media": ("subtitles",), "job": ("subtitle_translation", "subtitle_to_audio")}


def upgrade() -> None:
    op.add_column("media", sa.Column("subtitles", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    for table, kinds in BEFORE.items():
        _allow(table, kinds + ADDED[table])


def downgrade() -> None:
    for table, kinds in BEFORE.items():
        _allow(table, kinds)
    op.drop_column("media", "subtitles")


def _allow(table: str, kinds: tuple[str, ...]) -> None:
    name = op.f(f"ck_{table}_kind")
    op.drop_constraint(name, table, type_="check")
    op.create_check_constraint(name, table, f"kind in ({', '.join(repr(kind) for kind in kinds)})")
