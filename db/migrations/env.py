"""Run by Alembic: applies the migrations on the connection that ``db.upgrade`` passes."""

from __future__ import annotations

from alembic import context

from rankline.src.db.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
