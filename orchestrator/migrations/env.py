"""Alembic's environment: it runs on the connection that `orchestrator.migrations.upgrade` hands over."""

from alembic import context

from orchestrator.migrations.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=False,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
