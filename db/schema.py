"""The tables, as SQLAlchemy metadata. Their history is in ``db/migrations``, the views in ``db/views.py``.

Columns named after a table hold its id. Sizes, options, settings and a run's process are JSON text.
``network.n_layers`` and ``n_links`` count its rows of ``layer`` and ``layer_space``, so that lost ones are noticed.
``device.numbers`` is JSON text, ``device.measured`` the same compressed by zlib; times are picoseconds.
``measurement.digest`` is that of the file, ``measurement.model`` that of the weights of the Keras model it was made of.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import REAL, TypeEngine

IDS_PER_SPACE = 2**24
"""The lines of space s have ids from s * IDS_PER_SPACE on: a space is a range of the table and needs no index."""

MONOMIALS = (
    "constant",
    *(f"per_{kind}{j}" for kind in "rt" for j in range(1, 5)),
    *(f"per_{left}{j}_{right}{j + 1}" for left, right in ("rr", "rt", "tt") for j in range(1, 4)),
)
"""The columns of ``latency`` whose sum a latency is, each times the ranks (r) and numbers of tiles (t) in its name: all
that the chains of the methods have."""

metadata = MetaData()

_Count: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")
_Real: TypeEngine[float] = Double().with_variant(REAL, "sqlite")


def _table(name: str, *items: SchemaItem, rowid: bool = True) -> Table:
    table: Table = Table(name, metadata, *items, sqlite_strict=True, sqlite_with_rowid=rowid)
    return table


network = _table(
    "network",
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("input_shape", Text, nullable=False),
    Column("params", _Count, nullable=False),
    Column("fm", _Count, nullable=False),
    Column("flops", _Count, nullable=False),
    Column("n_layers", Integer, nullable=False, server_default=text("0")),
    Column("n_links", Integer, nullable=False, server_default=text("0")),
)

layer = _table(
    "layer",
    Column("id", Integer, primary_key=True),
    Column("network", ForeignKey("network.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("kernel", Text, nullable=False),
    Column("in_channels", Integer, nullable=False),
    Column("out_channels", Integer, nullable=False),
    Column("in_size", Text, nullable=False),
    Column("out_size", Text, nullable=False),
    Column("strides", Text, nullable=False),
    Column("padding", Text, nullable=False),
    Column("dilation", Text, nullable=False),
    Column("groups", Integer, nullable=False),
    Column("positions", Integer, nullable=False),
    Column("params", _Count),
    Column("fm", _Count),
    Column("flops", _Count),
    Column("sequential", Integer, nullable=False),
    Column("kept_because", Text),
    UniqueConstraint("network", "position"),
    UniqueConstraint("network", "name"),
)

space = _table(
    "space",
    Column("id", Integer, primary_key=True),
    Column("method", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("options", Text, nullable=False),
    Column("n_ranks", Integer, nullable=False),
    Column("n_total", _Count, nullable=False),
    Column("n_better", _Count, nullable=False),
    Column("n_useful", _Count, nullable=False),
    Column("n_lines", Integer, nullable=False),
    Column("status", Text, nullable=False),
)

layer_space = _table(
    "layer_space",
    Column("layer", ForeignKey("layer.id"), primary_key=True),
    Column("space", ForeignKey("space.id"), primary_key=True, index=True),
    rowid=False,
)

line = _table(
    "line",
    Column("id", _Count, primary_key=True, autoincrement=False),
    Column("space", ForeignKey("space.id"), nullable=False),
    Column("shape", Text(collation="C").with_variant(Text, "sqlite")),
    *(Column(f"r{j}", Integer) for j in range(1, 5)),
    Column("free", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("cap", Integer, nullable=False),
    Column("better", Integer, nullable=False),
    Column("use_lo", Integer, nullable=False),
    Column("use_hi", Integer, nullable=False),
    *(Column(name, _Count, nullable=False) for name in ("p0", "p1", "m0", "m1", "f0", "f1")),
)

rank = _table("rank", Column("r", Integer, primary_key=True, autoincrement=False))

spectrum = _table(
    "spectrum",
    Column("id", Integer, primary_key=True),
    Column("layer", ForeignKey("layer.id"), nullable=False),
    Column("weights_digest", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("table", LargeBinary, nullable=False),
    UniqueConstraint("layer", "weights_digest", "method", "kind"),
)

run = _table(
    "run",
    Column("id", Integer, primary_key=True),
    Column("network", ForeignKey("network.id"), nullable=False, index=True),
    Column("settings", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("started", Text, nullable=False),
    Column("accuracy", _Real),
    Column("loss", _Real),
    Column("original_accuracy", _Real),
    Column("process", Text),
)

trial = _table(
    "trial",
    Column("id", Integer, primary_key=True),
    Column("run", ForeignKey("run.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("accuracy", _Real),
    Column("loss", _Real),
    Column("params", _Count, nullable=False),
    Column("fm", _Count, nullable=False),
    Column("flops", _Count, nullable=False),
    Column("seconds", _Real, nullable=False),
    Column("construct_seconds", _Real),
    Column("metric", _Real),
    UniqueConstraint("run", "number"),
)

trial_layer = _table(
    "trial_layer",
    Column("trial", ForeignKey("trial.id"), primary_key=True),
    Column("layer", ForeignKey("layer.id"), primary_key=True),
    Column("method", Text),
    Column("ranks", Text),
    Column("shape", Text),
    Column("params", _Count, nullable=False),
    Column("fm", _Count, nullable=False),
    Column("flops", _Count, nullable=False),
    Column("similarity", _Real),
    Column("error", _Real),
    rowid=False,
)

device = _table(
    "device",
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("runtime", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("threads", _Count, nullable=False),
    Column("batch", _Count, nullable=False),
    Column("precision", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("measured_at", Text, nullable=False),
    Column("tile", _Count, nullable=False),
    Column("pads", Integer, nullable=False),
    Column("call_ps", _Count, nullable=False),
    Column("numbers", Text, nullable=False),
    Column("cold", Text, nullable=False),
    Column("fit_median", _Real, nullable=False),
    Column("fit_p90", _Real, nullable=False),
    Column("fit_count", _Count, nullable=False),
    Column("measured", LargeBinary, nullable=False),
)

latency = _table(
    "latency",
    Column("device", ForeignKey("device.id"), primary_key=True),
    Column("space", ForeignKey("space.id"), primary_key=True),
    Column("shape", Text(collation="C").with_variant(Text, "sqlite"), primary_key=True),
    Column("original", _Count),
    *(Column(name, _Count, nullable=False) for name in MONOMIALS),
    rowid=False,
)

measurement = _table(
    "measurement",
    Column("id", Integer, primary_key=True),
    Column("file", Text, nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("model", Text),
    Column("runtime", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("precision", Text),
    *(Column(name, _Count, nullable=False) for name in ("threads", "batch", "bytes", "latency_ps", "median_ps")),
    Column("spread", _Real, nullable=False),
    Column("data", Text),
    Column("samples", _Count),
    Column("score_name", Text),
    Column("score", _Real),
    Column("keras_score", _Real),
    Column("difference", _Real),
    Column("measured_at", Text, nullable=False),
    Column("settings", Text, nullable=False),
)
