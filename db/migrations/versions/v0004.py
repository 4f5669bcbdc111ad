"""Devices, the latencies of every space on each, and the view ``configuration_latency``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

MONOMIALS = (
    "constant per_r1 per_r2 per_r3 per_r4 per_t1 per_t2 per_t3 per_t4 per_r1_r2 per_r2_r3 per_r3_r4 "
    "per_r1_t2 per_r2_t3 per_r3_t4 per_t1_t2 per_t2_t3 per_t3_t4"
)


def count(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=nullable)


def real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double().with_variant(sa.REAL, "sqlite"), nullable=False)


def words(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def key(table: str) -> sa.Column[int]:
    return sa.Column(table, sa.Integer, sa.ForeignKey(f"{table}.id"), nullable=False, primary_key=True)


def upgrade() -> None:
    op.create_table(
        "device",
        sa.Column("id", sa.Integer, primary_key=True),
        *map(words, ("name", "runtime", "version")),
        *map(count, ("threads", "batch")),
        *map(words, ("precision", "machine", "measured_at")),
        count("tile"),
        sa.Column("pads", sa.Integer, nullable=False),
        count("call_ps"),
        words("numbers"),
        words("cold"),
        *map(real, ("fit_median", "fit_p90")),
        count("fit_count"),
        sa.Column("measured", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("name"),
        sqlite_strict=True,
    )
    op.create_table(
        "latency",
        *map(key, ("device", "space")),
        sa.Column("shape", sa.Text(collation="C").with_variant(sa.Text, "sqlite"), nullable=False, primary_key=True),
        count("original", nullable=True),
        *map(count, MONOMIALS.split()),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.execute(CONFIGURATION_LATENCY)


CONFIGURATION_LATENCY = """
CREATE VIEW configuration_latency AS
SELECT device,
       network,
       layer,
       method,
       shape,
       CASE WHEN free = 1 THEN step * rank.r ELSE r1 END AS r1,
       CASE WHEN free = 2 THEN step * rank.r ELSE r2 END AS r2,
       CASE WHEN free = 3 THEN step * rank.r ELSE r3 END AS r3,
       CASE WHEN free = 4 THEN step * rank.r ELSE r4 END AS r4,
       p0 + p1 * rank.r AS params,
       f0 + f1 * rank.r AS flops,
       start + slope * step * rank.r + rise * ((step * rank.r + tile - 1) / tile) AS latency_ps,
       1.0 - 1.0 * (start + slope * step * rank.r + rise * ((step * rank.r + tile - 1) / tile)) / nullif(original, 0)
           AS latency_reduction
FROM (
    SELECT DISTINCT device, network, layer, method, tile, original,
           shape, r1, r2, r3, r4, free, step, cap, p0, p1, f0, f1,
           constant
           + per_r1 * a1 + per_r2 * a2 + per_r3 * a3 + per_r4 * a4
           + per_t1 * b1 + per_t2 * b2 + per_t3 * b3 + per_t4 * b4
           + per_r1_r2 * a1 * a2 + per_r2_r3 * a2 * a3 + per_r3_r4 * a3 * a4
           + per_r1_t2 * a1 * b2 + per_r2_t3 * a2 * b3 + per_r3_t4 * a3 * b4
           + per_t1_t2 * b1 * b2 + per_t2_t3 * b2 * b3 + per_t3_t4 * b3 * b4 AS start,
           CASE free
               WHEN 1 THEN per_r1 + per_r1_r2 * a2 + per_r1_t2 * b2
               WHEN 2 THEN per_r2 + per_r1_r2 * a1 + per_r2_r3 * a3 + per_r2_t3 * b3
               WHEN 3 THEN per_r3 + per_r2_r3 * a2 + per_r3_r4 * a4 + per_r3_t4 * b4
               WHEN 4 THEN per_r4 + per_r3_r4 * a3
           END AS slope,
           CASE free
               WHEN 1 THEN per_t1 + per_t1_t2 * b2
               WHEN 2 THEN per_t2 + per_r1_t2 * a1 + per_t1_t2 * b1 + per_t2_t3 * b3
               WHEN 3 THEN per_t3 + per_r2_t3 * a2 + per_t2_t3 * b2 + per_t3_t4 * b4
               WHEN 4 THEN per_t4 + per_r3_t4 * a3 + per_t3_t4 * b3
           END AS rise
    FROM (
        SELECT filled.*,
               (a1 + tile - 1) / tile AS b1,
               (a2 + tile - 1) / tile AS b2,
               (a3 + tile - 1) / tile AS b3,
               (a4 + tile - 1) / tile AS b4
        FROM (
            SELECT device.name AS device,
                   device.tile AS tile,
                   network.name AS network,
                   layer.name AS layer,
                   space.method AS method,
                   line.shape AS shape,
                   line.r1, line.r2, line.r3, line.r4, free, step, cap, p0, p1, f0, f1,
                   coalesce(r1, 0) AS a1,
                   coalesce(r2, 0) AS a2,
                   coalesce(r3, 0) AS a3,
                   coalesce(r4, 0) AS a4,
                   original,
                   constant,
                   per_r1, per_r2, per_r3, per_r4,
                   per_t1, per_t2, per_t3, per_t4,
                   per_r1_r2, per_r2_r3, per_r3_r4,
                   per_r1_t2, per_r2_t3, per_r3_t4,
                   per_t1_t2, per_t2_t3, per_t3_t4
            FROM layer
            JOIN network ON network.id = layer.network
            JOIN layer_space ON layer_space.layer = layer.id
            JOIN space ON space.id = layer_space.space
            CROSS JOIN device
            CROSS JOIN line
            CROSS JOIN latency
            WHERE line.id >= CAST(space.id AS BIGINT) * 16777216
              AND line.id < CAST(space.id + 1 AS BIGINT) * 16777216
              AND latency.device = device.id
              AND latency.space = space.id
              AND latency.shape = coalesce(line.shape, '')
        ) AS filled
    ) AS tiled
) AS timed
CROSS JOIN rank
WHERE rank.r BETWEEN 1 AND cap
"""
