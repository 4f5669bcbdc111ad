"""Measurements of files that run in a runtime."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def words(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def count(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=nullable)


def real(name: str, nullable: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Double().with_variant(sa.REAL, "sqlite"), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer, primary_key=True),
        *map(words, ("file", "digest")),
        words("model", nullable=True),
        *map(words, ("runtime", "version", "machine")),
        words("precision", nullable=True),
        *map(count, ("threads", "batch", "bytes", "latency_ps", "median_ps")),
        real("spread", nullable=False),
        words("data", nullable=True),
        count("samples", nullable=True),
        words("score_name", nullable=True),
        *map(real, ("score", "keras_score", "difference")),
        *map(words, ("measured_at", "settings")),
        sqlite_strict=True,
    )
    op.create_index("ix_measurement_digest", "measurement", ["digest"])
