"""Runs know their process, networks count their rows, and the view ``solution_step`` is exact beyond 64 bits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("run", sa.Column("process", sa.Text))
    for name in ("n_layers", "n_links"):
        op.add_column("network", sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0")))
    links = "SELECT count(*) FROM layer_space JOIN layer ON layer.id = layer_space.layer"
    op.execute(
        "UPDATE network SET n_layers = (SELECT count(*) FROM layer WHERE layer.network = network.id), "
        f"n_links = ({links} WHERE layer.network = network.id)"
    )
    least, greatest = ("min", "max") if op.get_bind().dialect.name == "sqlite" else ("least", "greatest")
    op.execute("DROP VIEW solution_step")
    op.execute(SOLUTION_STEP.format(least=least, greatest=greatest))


SOLUTION_STEP = """
CREATE VIEW solution_step AS
WITH RECURSIVE level(percent) AS (
    SELECT 0 UNION ALL SELECT percent + 1 FROM level WHERE percent < 99
),
step AS MATERIALIZED (
    SELECT network.name AS network,
           layer.name AS layer,
           space.method AS method,
           level.percent AS percent,
           layer.params / 100 * (100 - level.percent) + layer.params % 100 * (100 - level.percent) / 100 AS most,
           layer.params / 100 * (99 - level.percent) + layer.params % 100 * (99 - level.percent) / 100 AS below,
           CAST(space.id AS BIGINT) * 16777216 AS first_line,
           CAST(space.id + 1 AS BIGINT) * 16777216 - 1 AS last_line
    FROM layer
    JOIN network ON network.id = layer.network
    JOIN layer_space ON layer_space.layer = layer.id
    JOIN space ON space.id = layer_space.space
    CROSS JOIN level
)
SELECT network,
       layer,
       method,
       percent,
       (SELECT CAST(sum({least}(use_hi, (most - p0) / p1) - {greatest}(use_lo - 1, (below - p0) / p1)) AS BIGINT)
        FROM line
        WHERE id BETWEEN first_line AND last_line
          AND use_lo <= use_hi
          AND p0 + p1 * use_lo <= most
          AND p0 + p1 * use_hi > below) AS n
FROM step
WHERE EXISTS (
    SELECT id
    FROM line
    WHERE id BETWEEN first_line AND last_line
      AND use_lo <= use_hi
      AND {least}(use_hi, (most - p0) / p1) > {greatest}(use_lo - 1, (below - p0) / p1)
)
"""
