"""Rank lines against a plain Python loop and vectorised NumPy, over all of TT on a 3x3x512x512 convolution.

All three answer the same question in the same run: how many of the 402,653,184 configurations have
0.6 <= params reduction < 0.605, and which fewest and most FLOPs they have. Run: python -m benchmarks.lines
(the Python loop takes minutes; --loop-share 0.05 walks a twentieth of the space and scales its time up).
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.record import record, seconds
from rankline.src.db.database import Database, open_database
from rankline.src.db.queries.solutions import Solutions
from rankline.src.dse.layer import conv

C = F = 512
K1 = K2 = 3
SIZE = 8
LAYER = conv("conv", (K1, K2), C, F, (SIZE, SIZE))
CAPS = (C, K1 * C, F)
P0 = K1 * K2 * C * F
LOW, HIGH = P0 - P0 * 605 // 1000, P0 - P0 * 600 // 1000
X = SIZE * SIZE

Answer = tuple[int, int, int]


def python_loop(share: float) -> tuple[Answer, int]:
    """Every configuration's three metrics, one at a time; the answer, and how many were walked."""
    count, fewest, most, walked = 0, 2**63, 0, 0
    r1_values = range(1, max(1, round(CAPS[0] * share)) + 1)
    for r1 in r1_values:
        for r2 in range(1, CAPS[1] + 1):
            for r3 in range(1, CAPS[2] + 1):
                params = C * r1 + K1 * r1 * r2 + K2 * r2 * r3 + r3 * F
                fm = X * r1 + X * r2 + X * r3 + X * F
                flops = 2 * X * params
                walked += 1
                if LOW <= params <= HIGH and fm:
                    count += 1
                    fewest = min(fewest, flops)
                    most = max(most, flops)
    return (count, fewest, most), walked


def numpy_planes() -> Answer:
    """The same with arrays of all (r2, r3) for each r1."""
    count, fewest, most = 0, 2**63, 0
    r2 = np.arange(1, CAPS[1] + 1, dtype=np.int64)[:, np.newaxis]
    r3 = np.arange(1, CAPS[2] + 1, dtype=np.int64)[np.newaxis, :]
    for r1 in range(1, CAPS[0] + 1):
        params = C * r1 + K1 * r1 * r2 + K2 * r2 * r3 + r3 * F
        fm = X * r1 + X * r2 + X * r3 + X * F
        flops = 2 * X * params
        inside = (params >= LOW) & (params <= HIGH) & (fm > 0)
        if inside.any():
            count += int(inside.sum())
            fewest = min(fewest, int(flops[inside].min()))
            most = max(most, int(flops[inside].max()))
    return count, fewest, most


def rank_lines(database: Database) -> Answer:
    """The same from the database."""
    found = database.solutions("conv", "tt").within("all").where(params=(LOW, HIGH)).summary()
    assert found.min_flops
    assert found.max_flops
    return found.count, found.min_flops.flops, found.max_flops.flops


def store(folder: Path, number: int) -> float:
    """Seconds to compute the space and write it into a new file."""
    started = perf_counter()
    database = open_database(str(folder / f"{number}.db"))
    database.explore([LAYER], name="one", methods=["tt"])
    elapsed = perf_counter() - started
    database.close()
    return elapsed


def latencies(solutions: Solutions, windows: int, seed: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile seconds of each query over random windows that hold configurations."""
    draw = random.Random(seed)
    times: dict[str, list[float]] = {}
    while len(times.get("count", [])) < windows:
        low = draw.uniform(0, 0.95)
        window = solutions.where(params_reduction=(round(low, 4), round(low + draw.choice([0.005, 0.05, 0.3]), 4)))
        if draw.random() < 0.5:
            window = window.where(memory=(None, draw.randint(10**6, 10**7)))
        queries: dict[str, Any] = {
            "count": window.count,
            "min_flops": window.min_flops,
            "max_flops": window.max_flops,
            "summary": window.summary,
            "equal_rank": window.equal_rank,
            "random(7)": lambda window=window: window.random(7, seed=1),
        }
        if not window.count():
            continue
        for name, query in queries.items():
            times.setdefault(name, []).append(seconds(query, 1))
    return {
        name: {"median_s": float(np.median(values)), "p95_s": float(np.quantile(values, 0.95)), "max_s": max(values)}
        for name, values in times.items()
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop-share", type=float, default=1.0, help="share of the space that the Python loop walks")
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store(folder, 0)  # compiles the kernels, or loads them from numba's disk cache
        write = sorted(store(folder, number) for number in range(1, 6))
        path = folder / "5.db"
        size = path.stat().st_size
        database = open_database(str(path))
        answer = rank_lines(database)
        answering = seconds(lambda: rank_lines(database), 5)
        queries = latencies(database.solutions("conv", "tt"), options.windows, options.seed)
        database.close()
    started = perf_counter()
    by_numpy = numpy_planes()
    numpy_s = perf_counter() - started
    started = perf_counter()
    by_loop, walked = python_loop(options.loop_share)
    total = int(np.prod(CAPS))
    loop_s = (perf_counter() - started) * total / walked
    assert answer == by_numpy, (answer, by_numpy)
    assert walked < total or answer == by_loop, (answer, by_loop)
    figures = {
        "configurations": total,
        "answer": {"count": answer[0], "min_flops": answer[1], "max_flops": answer[2]},
        "rankline": {
            "write_s_median_of_5": write[2],
            "write_s_min_max": [write[0], write[-1]],
            "file_bytes": size,
            "configurations_per_s": total / write[2],
            "answer_s": answering,
        },
        "numpy": {"s": numpy_s, "configurations_per_s": total / numpy_s},
        "python_loop": {"s": loop_s, "configurations_per_s": total / loop_s, "walked": walked},
        "ratios": {
            "python_loop / rankline (write and answer)": loop_s / (write[2] + answering),
            "numpy / rankline (write and answer)": numpy_s / (write[2] + answering),
            "numpy / rankline (answer from the file)": numpy_s / answering,
        },
        "queries": queries,
    }
    print(
        record("lines", options.seed, ("numpy", "numba", "sqlalchemy"), {**figures, "sqlite": sqlite3.sqlite_version})
    )
    print(f"write {write[2]:.2f} s, {size / 1e6:.1f} MB; {figures['ratios']}")
    for query, found in queries.items():
        print(f"{query:>12}: median {1000 * found['median_s']:.0f} ms, p95 {1000 * found['p95_s']:.0f} ms")


if __name__ == "__main__":
    main()
