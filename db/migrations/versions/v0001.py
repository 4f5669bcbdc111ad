"""The first schema: networks, layers, spaces as rank lines, spectra, runs, and the view ``configuration``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def count(name: str, nullable: bool = False) -> sa.Column[int]:
    """A number that can pass 2^31."""
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
    op.execute(CONFIGURATION)


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
JOIN line ON line.id BETWEEN space.id * 16777216 AND (space.id + 1) * 16777216 - 1
JOIN rank ON rank.r BETWEEN 1 AND line.cap
"""
