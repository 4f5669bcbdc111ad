"""Random windows on a space of 14,739,000 configurations, asked of Rankline and of DuckDB.

DuckDB reads a Parquet file of the same configurations sorted by params, its best order, with as many threads. Both
give how many configurations meet a window and which of them have the fewest and the most FLOPs, ties by params, FM and
ranks; every answer is compared. Run with the zoo, or alone: python -m benchmarks.windows
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import seconds
from rankline.src.db.database import Database, open_database
from rankline.src.db.export import export
from rankline.src.db.queries.solutions import Solutions
from rankline.src.dse.layer import conv

LAYER = conv("duck", (3, 3), 170, 170, (8, 8))
"""TT has 170 x 510 x 170 = 14,739,000 configurations here."""

KINDS = (
    ("params",),
    ("flops",),
    ("fm",),
    ("memory",),
    ("params_reduction",),
    ("flops_reduction",),
    ("memory_reduction",),
    ("params_reduction", "memory"),
    ("flops_reduction", "fm"),
    ("params", "memory_reduction"),
)
WIDTHS = (0.005, 0.05, 0.3)
"""Of a window, as fractions of the range or of the original."""

Answer = tuple[int, tuple[int, ...] | None, tuple[int, ...] | None]


def against_duckdb(database: Database, folder: Path, windows: int, seed: int) -> dict[str, Any]:
    """Median and 95th percentile seconds of an answer in both, for each kind of window and for all."""
    import duckdb

    database.explore([LAYER], name="duck", methods=["tt"])
    solutions = database.solutions("duck", "tt", "duck").within("all")
    table = folder / "sorted.parquet"
    export(solutions, folder / "all.parquet", limit=10**9)
    duck = duckdb.connect()
    duck.execute(f"SET threads = {os.cpu_count()}")
    duck.execute(f"COPY (SELECT * FROM '{folder}/all.parquet' ORDER BY params) TO '{table}'")
    draw = random.Random(seed)
    spans = {
        name: (solutions.lowest(name).value(name), solutions.highest(name).value(name))
        for name in ("params", "fm", "flops", "memory")
    }
    times: dict[tuple[str, ...], list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    empty = 0
    for number in range(windows):
        kind = KINDS[number % len(KINDS)]
        window = solutions.where(**{name: _bounds(draw, name, spans) for name in kind})
        inside = _sql(window)
        answer = ours(window)
        assert answer == theirs(duck, table, inside), inside
        empty += not answer[0]
        times[kind].append(
            (
                seconds(lambda window=window: ours(window), 3),
                seconds(lambda inside=inside: theirs(duck, table, inside), 3),
                seconds(lambda inside=inside: numbers(duck, table, inside), 3),
            )
        )
    return {
        "configurations": solutions.total(),
        "lines": solutions.space.n_lines,
        "threads": os.cpu_count(),
        "empty_windows": empty,
        "parquet_bytes": table.stat().st_size,
        "windows": {
            **{" and ".join(kind): _told(found) for kind, found in times.items()},
            "all": _told([one for found in times.values() for one in found]),
        },
    }


def ours(window: Solutions) -> Answer:
    """Rankline's answer."""
    found = window.summary()
    lowest, highest = (None if one is None else (one.flops, *one.ranks) for one in (found.min_flops, found.max_flops))
    return found.count, lowest, highest


def theirs(duck: Any, table: Path, inside: str) -> Answer:
    """DuckDB's, in the fastest of the forms tried: first the extremes, then the order among those that have one."""
    count, fewest, most = numbers(duck, table, inside)
    if not count:
        return 0, None, None
    picks = (
        duck.execute(
            f"SELECT flops, r1, r2, r3 FROM '{table}' WHERE flops = {flops} AND {inside} "
            "ORDER BY params, fm, r1, r2, r3 LIMIT 1"
        ).fetchone()
        for flops in (fewest, most)
    )
    return (count, *picks)


def numbers(duck: Any, table: Path, inside: str) -> tuple[int, int, int]:
    """The count, fewest and most FLOPs alone, without the ranks that have them."""
    found: tuple[int, int, int] = duck.execute(
        f"SELECT count(*), min(flops), max(flops) FROM '{table}' WHERE {inside}"
    ).fetchone()
    return found


def _bounds(draw: random.Random, name: str, spans: dict[str, tuple[int, int]]) -> tuple[float, float]:
    """A window somewhere in the range of a metric, or of reductions."""
    width = draw.choice(WIDTHS)
    if name.endswith("_reduction"):
        low = draw.uniform(0, 0.95)
        return round(low, 4), round(low + width, 4)
    lowest, highest = spans[name]
    low = draw.randint(lowest, highest)
    return low, low + max(1, round(width * (highest - lowest)))


def _sql(window: Solutions) -> str:
    """The same integer bounds for DuckDB."""
    terms = []
    for one in window.windows:
        terms.append(f"{one.metric.name} BETWEEN {one.low or 0} AND {one.high or 0}")
    return " AND ".join(terms)


def _told(found: list[tuple[float, float, float]]) -> dict[str, float]:
    told: dict[str, float] = {"windows": len(found)}
    for name, column in zip(("rankline", "duckdb", "duckdb_without_ranks"), zip(*found, strict=True), strict=True):
        told |= {f"{name}_median_s": float(np.median(column)), f"{name}_p95_s": float(np.quantile(column, 0.95))}
    return told


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        database = open_database(str(Path(name) / "space.db"))
        print(json.dumps(against_duckdb(database, Path(name), options.windows, options.seed), indent=2))
        database.close()


if __name__ == "__main__":
    main()
