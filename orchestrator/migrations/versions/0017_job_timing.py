"""A job's version, its own speed, what it is doing in words; whose an event is"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TRIGGERS = (
    """
    create function job_version() returns trigger language plpgsql as $$
    begin
        new.version := old.version + 1;
        return new;
    end $$
    """,
    "create trigger job_version before update on job for each row execute function job_version()",
    # What is shown of a job includes its files.
    """
    create function job_files_version() returns trigger language plpgsql as $$
    begin
        update job set version = version where id in (select job_id from changed);
        return null;
    end $$
    """,
    """
    create trigger artifact_inserted after insert on artifact referencing new table as changed
    for each statement execute function job_files_version()
    """,
    """
    create trigger artifact_updated after update on artifact referencing new table as changed
    for each statement execute function job_files_version()
    """,
    """
    create trigger artifact_deleted after delete on artifact referencing old table as changed
    for each statement execute function job_files_version()
    """,
)


def upgrade() -> None:
    for column in (
        sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("1")),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("pace", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("estimated_finish_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("job", column)
    op.create_index("ix_job_pending", "job", ["id"], postgresql_where=sa.text("status = 'pending'"))
    op.add_column("job_event", sa.Column("user_id", sa.Uuid(), nullable=True))
    op.execute("update job_event e set user_id = j.user_id from job j where j.id = e.job_id")
    op.alter_column("job_event", "user_id", nullable=False)
    op.create_index("ix_job_event_user_id_id", "job_event", ["user_id", "id"])
    for statement in TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    for name in ("deleted", "updated", "inserted"):
        op.execute(f"drop trigger artifact_{name} on artifact")
    op.execute("drop trigger job_version on job")
    op.execute("drop function job_files_version()")
    op.execute("drop function job_version()")
    op.drop_index("ix_job_event_user_id_id", "job_event")
    op.drop_column("job_event", "user_id")
    op.drop_index("ix_job_pending", "job")
    for column in ("estimated_finish_at", "pace", "message", "version"):
        op.drop_column("job", column)
