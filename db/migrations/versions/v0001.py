"""The first schema: networks, layers, spaces as rank lines, spectra, runs, and the views."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def count(name: str, nullable: bool = False) -> sa.Column[int]:
    """A number that can exceed 2^31."""
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=nullable)


def real(name: str, nullable: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Double().with_variant(sa.REAL, "sqlite"), nullable=nullable)


def whole(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=nullable)


def words(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def key(table: str, primary: bool = False) -> sa.Column[int]:
    return sa.Column(table, sa.Integer, sa.ForeignKey(f"{table}.id"), nullable=False, primary_key=primary)


def identity() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def create(name: str, *items: sa.schema.SchemaItem, rowid: bool = True) -> None:
    op.create_table(name, *items, sqlite_strict=True, sqlite_with_rowid=rowid)


def upgrade() -> None:
    costs = ("params", "fm", "flops")
    create(
        "network", identity(), words("name"), words("source"), words("digest"), words("input_shape"),
        *map(count, costs), sa.UniqueConstraint("name"), sa.UniqueConstraint("digest"),
    )  # fmt: skip
    create(
        "layer", identity(), key("network"), whole("position"), words("name"), words("kind"), words("kernel"),
        whole("in_channels"), whole("out_channels"), words("in_size"), words("out_size"), words("strides"),
        words("padding"), words("dilation"), whole("groups"), whole("positions"),
        *(count(name, nullable=True) for name in costs), whole("sequential"), words("kept_because", nullable=True),
        sa.UniqueConstraint("network", "position"), sa.UniqueConstraint("network", "name"),
    )  # fmt: skip
    create(
        "space", identity(), words("method"), words("digest"), words("options"), whole("n_ranks"),
        count("n_total"), count("n_better"), count("n_useful"), whole("n_lines"), words("status"),
        sa.UniqueConstraint("digest"),
    )  # fmt: skip
    create("layer_space", key("layer", primary=True), key("space", primary=True), rowid=False)
    op.create_index("ix_layer_space_space", "layer_space", ["space"])
    create(
        "line",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        key("space"),
        sa.Column("shape", sa.Text(collation="C").with_variant(sa.Text, "sqlite")),
        *(whole(f"r{j}", nullable=True) for j in range(1, 5)),
        *(whole(name) for name in ("free", "step", "cap", "better", "use_lo", "use_hi")),
        *(count(name) for name in ("p0", "p1", "m0", "m1", "f0", "f1")),
    )
    create("rank", sa.Column("r", sa.Integer, primary_key=True, autoincrement=False))
    create(
        "spectrum", identity(), key("layer"), words("weights_digest"), words("method"), words("kind"),
        sa.Column("table", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("layer", "weights_digest", "method", "kind"),
    )  # fmt: skip
    create(
        "run", identity(), key("network"), words("settings"), whole("seed"), words("status"), words("started"),
        real("accuracy"), real("loss"), real("original_accuracy"),
    )  # fmt: skip
    op.create_index("ix_run_network", "run", ["network"])
    create(
        "trial", identity(), key("run"), whole("number"), words("status"), real("accuracy"), real("loss"),
        *map(count, costs), real("seconds", nullable=False), sa.UniqueConstraint("run", "number"),
    )  # fmt: skip
    create(
        "trial_layer", key("trial", primary=True), key("layer", primary=True),
        *(words(name, nullable=True) for name in ("method", "ranks", "shape")), *map(count, costs),
        real("similarity"), real("error"), rowid=False,
    )  # fmt: skip
    least, greatest = ("min", "max") if op.get_bind().dialect.name == "sqlite" else ("least", "greatest")
    for view in (CONFIGURATION, SOLUTION_STEP.format(least=least, greatest=greatest), NETWORK_SUMMARY):
        op.execute(view)


CONFIGURATION = """
CREATE VIEW configuration AS
SELECT network.name AS network,
       layer.name AS layer,
       space.method AS method,
       line.shape AS shape,
       CASE WHEN line.free = 1 THEN line.step * rank.r ELSE line.r1 END AS r1,
       CASE WHEN line.free = 2 THEN line.step * rank.r ELSE line.r2 END AS r2,
       CASE WHEN line.free = 3 THEN line.step * rank.r ELSE line.r3 END AS r3,
       CASE WHEN line.free = 4 THEN line.step * rank.r ELSE line.r4 END AS r4,
       line.p0 + line.p1 * rank.r AS params,
       line.m0 + line.m1 * rank.r AS fm,
       line.f0 + line.f1 * rank.r AS flops,
       1.0 - 1.0 * (line.p0 + line.p1 * rank.r) / layer.params AS params_reduction,
       1.0 - 1.0 * (line.f0 + line.f1 * rank.r) / layer.flops AS flops_reduction,
       CASE WHEN rank.r <= line.better THEN 1 ELSE 0 END AS better,
       CASE WHEN rank.r BETWEEN line.use_lo AND line.use_hi THEN 1 ELSE 0 END AS useful
FROM layer
JOIN network ON network.id = layer.network
JOIN layer_space ON layer_space.layer = layer.id
JOIN space ON space.id = layer_space.space
CROSS JOIN line
CROSS JOIN rank
WHERE line.id BETWEEN CAST(space.id AS BIGINT) * 16777216 AND CAST(space.id + 1 AS BIGINT) * 16777216 - 1
  AND rank.r BETWEEN 1 AND line.cap
"""

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
           layer.params * (100 - level.percent) / 100 AS most,
           layer.params * (99 - level.percent) / 100 AS below,
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

NETWORK_SUMMARY = """
CREATE VIEW network_summary AS
SELECT network.name AS network,
       (SELECT count(*) FROM layer WHERE layer.network = network.id) AS layers,
       (SELECT count(*) FROM layer WHERE layer.network = network.id AND layer.kept_because IS NOT NULL) AS kept_layers,
       network.params AS params,
       network.fm AS fm,
       network.flops AS flops,
       count(owned.space) AS spaces,
       CAST(coalesce(sum(space.n_lines), 0) AS BIGINT) AS lines,
       CAST(coalesce(sum(space.n_total), 0) AS BIGINT) AS configurations,
       CAST(coalesce(sum(space.n_better), 0) AS BIGINT) AS better,
       CAST(coalesce(sum(space.n_useful), 0) AS BIGINT) AS useful,
       CAST(coalesce(sum(owned.layers), 0) AS BIGINT) AS layer_spaces,
       CAST(coalesce(sum(owned.layers * space.n_total), 0) AS BIGINT) AS layer_configurations,
       CAST(coalesce(sum(owned.layers * space.n_better), 0) AS BIGINT) AS layer_better,
       CAST(coalesce(sum(owned.layers * space.n_useful), 0) AS BIGINT) AS layer_useful
FROM network
LEFT JOIN (
    SELECT layer.network AS network, layer_space.space AS space, count(*) AS layers
    FROM layer
    JOIN layer_space ON layer_space.layer = layer.id
    GROUP BY layer.network, layer_space.space
) AS owned ON owned.network = network.id
LEFT JOIN space ON space.id = owned.space
GROUP BY network.id, network.name, network.params, network.fm, network.flops
"""
