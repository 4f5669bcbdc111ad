"""Trials record how long the model took to make, without its fine-tuning, and a user's own metric."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("construct_seconds", "metric"):
        op.add_column("trial", sa.Column(name, sa.Double().with_variant(sa.REAL, "sqlite")))
