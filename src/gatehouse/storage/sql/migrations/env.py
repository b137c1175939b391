"""Alembic's entry point. Only `storage.sql.migrate` runs it, and hands it a connection with a transaction open."""

from __future__ import annotations

from alembic import context

from gatehouse.storage.sql.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a column in place: a batch copies the table.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
