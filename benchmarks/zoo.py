"""All fourteen networks by all methods into one file, against plain Python and NumPy that keep three metrics.

Also the latency of random windows on the largest space, in SQLite here and in DuckDB over a sorted Parquet file of the
same configurations for a space of about 1e7. Run: python -m benchmarks.zoo
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.lines import latencies
from benchmarks.record import record
from benchmarks.windows import against_duckdb
from rankline.src.db.database import open_database
from rankline.src.dse.zoo import FOURTEEN

C = F = 512
X = 64
LOOP_CONFIGURATIONS = 3_000_000
NUMPY_PLANES = 40


def explore(path: Path) -> dict[str, Any]:
    """Explores the fourteen into a new file; reading the models is told apart."""
    import sympy  # noqa: F401  # loaded at the first formula of a process: benchmarks.start_up measures that

    from rankline.src.dse.keras_model.source import load_network

    started = perf_counter()
    networks = [(name, load_network(f"zoo:{name}")) for name in FOURTEEN]
    reading = perf_counter() - started
    database = open_database(str(path))
    started = perf_counter()
    done = [database.explore(network.layers, name=name) for name, network in networks]
    elapsed = perf_counter() - started
    with database.engine.connect() as connection:
        spaces = connection.exec_driver_sql(
            "SELECT count(*), sum(n_total), sum(n_lines), max(n_lines) FROM space"
        ).one()
        largest = connection.exec_driver_sql(
            "SELECT max(bytes) FROM (SELECT count(*) * 62 AS bytes FROM line GROUP BY space)"
        ).scalar()
    database.close()
    return {
        "networks": len(done),
        "spaces": spaces[0],
        "configurations": spaces[1],
        "lines": spaces[2],
        "reading_models_s": reading,
        "computing_and_writing_s": elapsed,
        "total_s": reading + elapsed,
        "file_bytes": path.stat().st_size,
        "configurations_per_s": spaces[1] / elapsed,
        "lines_of_the_largest_space": spaces[3],
        "about_bytes_of_the_largest_space": largest,
    }


def python_rate() -> float:
    """Configurations a second of a plain loop that computes and keeps params, FM and FLOPs."""
    started = perf_counter()
    kept = []
    for r1, r2, r3 in product(range(1, C + 1), range(1, 3 * C + 1), range(1, F + 1)):
        params = C * r1 + 3 * r1 * r2 + 3 * r2 * r3 + r3 * F
        kept.append((params, X * (r1 + r2 + r3 + F), 2 * X * params))
        if len(kept) == LOOP_CONFIGURATIONS:
            break
    return LOOP_CONFIGURATIONS / (perf_counter() - started)


def numpy_rate() -> float:
    """Configurations a second of arrays that compute and keep the three."""
    r2 = np.arange(1, 3 * C + 1, dtype=np.int64)[:, np.newaxis]
    r3 = np.arange(1, F + 1, dtype=np.int64)[np.newaxis, :]
    started = perf_counter()
    kept = []
    for r1 in range(1, NUMPY_PLANES + 1):
        params = C * r1 + 3 * r1 * r2 + 3 * r2 * r3 + r3 * F
        kept.append(np.stack([params, np.broadcast_to(X * (r1 + r2 + r3 + F), params.shape), 2 * X * params]))
    return NUMPY_PLANES * 3 * C * F / (perf_counter() - started)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        explored = explore(folder / "zoo.db")
        loop, arrays = python_rate(), numpy_rate()
        database = open_database(str(folder / "zoo.db"))
        spaces = [(row, network) for network in FOURTEEN for row in database.spaces(network) if row.method == "tt"]
        largest, network = max(spaces, key=lambda pair: pair[0].n_lines)
        layer = largest.layer
        queries = latencies(database.solutions(layer, "tt", network), options.windows, options.seed)
        duck = against_duckdb(database, folder, options.windows, options.seed)
        database.close()
    figures = {
        "explore": explored,
        "python_loop_configurations_per_s": loop,
        "numpy_configurations_per_s": arrays,
        "ratios": {
            "rankline / python_loop": explored["configurations_per_s"] / loop,
            "rankline / numpy": explored["configurations_per_s"] / arrays,
        },
        "queries_on_the_largest_tt_space": {"layer": f"{network}/{layer}", **queries},
        "duckdb": duck,
    }
    print(record("zoo", options.seed, ("numpy", "numba", "sqlalchemy", "keras", "duckdb"), figures))
    print(figures["explore"], figures["ratios"], sep="\n")
    for kind, found in duck["windows"].items():
        print(f"{kind:>28}:", *(f"{name} {1000 * value:.1f} ms," for name, value in found.items() if name != "windows"))
    for query, found in queries.items():
        print(f"{query:>12}: median {1000 * found['median_s']:.0f} ms, p95 {1000 * found['p95_s']:.0f} ms")


if __name__ == "__main__":
    main()
