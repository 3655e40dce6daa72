"""Transcripts with revisions, regenerations, glossaries"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

OPEN = sa.text("status in ('pending', 'processing')")


def upgrade() -> None:
    empty = sa.text("'[]'::jsonb")
    op.add_column("job", sa.Column("glossary", postgresql.JSONB(), nullable=False, server_default=empty))
    op.add_column("job", sa.Column("regenerates", sa.Uuid(), nullable=True))
    op.add_column("job", sa.Column("revision", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.create_foreign_key("fk_job_regenerates_job", "job", "job", ["regenerates"], ["id"], ondelete="CASCADE")
    op.create_index("ix_job_regenerates", "job", ["regenerates"])
    op.create_index("uq_job_regenerating", "job", ["regenerates"], unique=True, postgresql_where=OPEN)
    op.add_column("segment", sa.Column("number", sa.Integer(), nullable=True))
    nothing = sa.text("'{}'::jsonb")
    op.add_column("segment", sa.Column("voices", postgresql.JSONB(), nullable=False, server_default=nothing))
    none = sa.text("'{}'")
    op.add_column("rendition", sa.Column("missing_terms", sa.ARRAY(sa.Text()), nullable=False, server_default=none))
    op.create_table(
        "transcript_revision",
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("operations", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("restored", sa.Integer(), nullable=True),
        sa.Column("next_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_transcript_revision"),
    )
    op.create_table(
        "transcript_segment",
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.Column("start", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("speaker", sa.String(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("words", postgresql.JSONB(), nullable=False),
        sa.Column("lines", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "id", "since", name="pk_transcript_segment"),
        sa.CheckConstraint("until > since", name="until"),
    )
    op.create_index(
        "ix_transcript_segment_current",
        "transcript_segment",
        ["job_id"],
        postgresql_where=sa.text("until is null"),
    )
    op.create_table(
        "superseded_file",
        sa.Column("storage_key", sa.String(), primary_key=True),
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("ix_superseded_file_job_id", "superseded_file", ["job_id"])
    op.create_table(
        "glossary_entry",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("source_language", sa.String(), nullable=True),
        sa.Column("target_language", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("case_sensitive", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("ix_glossary_entry_user_id", "glossary_entry", ["user_id"])
    op.create_index(
        "uq_glossary_entry_term",
        "glossary_entry",
        ["user_id", sa.text("coalesce(source_language, '')"), sa.text("coalesce(target_language, '')"), "key"],
        unique=True,
    )


def downgrade() -> None:
    for table in ("glossary_entry", "superseded_file", "transcript_segment", "transcript_revision"):
        op.drop_table(table)
    op.drop_column("rendition", "missing_terms")
    op.drop_column("segment", "voices")
    op.drop_column("segment", "number")
    op.execute("delete from job where regenerates is not null")
    op.drop_index("uq_job_regenerating", "job")
    op.drop_index("ix_job_regenerates", "job")
    for column in ("revision", "regenerates", "glossary"):
        op.drop_column("job", column)
