"""From lines back to configurations: picking them by number, and listing them in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Row, Select, Subquery, bindparam, select

from rankline.src.db.queries.line_windows import RANKS, total
from rankline.src.db.queries.parts import parts

if TYPE_CHECKING:
    import pandas as pd

    from rankline.src.dse.lines import Integers
    from rankline.src.dse.scan.along import Along

CHUNK_LINES = 1024
"""Number of lines read at a time."""

IDS_AT_A_TIME = 10_000
"""Below SQLite's limit on parameters."""

NAMES = ["shape", *RANKS, "free", "step", "p0", "p1", "m0", "m1", "f0", "f1", "lo", "hi"]
"""The columns of each line needed to list its configurations."""

Run = Callable[[Select[Any], Sequence[range]], list[Sequence[Row[Any]]]]
"""Runs a query on each of several ranges of line numbers."""


def pick(run: Run, lines: Subquery, n_lines: int, choose: Callable[[int], Sequence[int]]) -> list[tuple[Row[Any], int]]:
    """The configurations with chosen numbers, as pairs of line and k.

    They are numbered from 0 along the lines in order; ``choose`` takes their count and returns the wanted numbers. The
    pairs are in the order of those numbers.
    """
    ends = _ends(_counts(run, lines, n_lines))
    numbers = np.array(choose(int(ends[-1])), np.int64)
    chunk_of = np.searchsorted(ends, numbers, side="right") - 1
    ids = np.zeros_like(numbers)
    ks = np.zeros_like(numbers)
    spans = select(lines.c.id, lines.c.lo, lines.c.hi).where(lines.c.hi >= lines.c.lo).order_by(lines.c.id)
    for chunk in np.unique(chunk_of):
        piece = range(chunk * CHUNK_LINES, min((chunk + 1) * CHUNK_LINES, n_lines))
        here = np.flatnonzero(chunk_of == chunk)
        keys, lo, hi = np.array([tuple(row) for row in run(spans, [piece])[0]], np.int64).T
        starts = ends[chunk] + _ends(hi - lo + 1)
        place = np.searchsorted(starts, numbers[here], side="right") - 1
        ids[here], ks[here] = keys[place], lo[place] + numbers[here] - starts[place]
    row_of = _by_id(run, lines, n_lines, np.unique(ids).tolist())
    return [(row_of[key], k) for key, k in zip(ids.tolist(), ks.tolist(), strict=True)]


def _by_id(run: Run, lines: Subquery, n_lines: int, ids: list[int]) -> dict[int, Row[Any]]:
    query = select(lines).where(lines.c.id.in_(bindparam("ids", expanding=True)))
    chunks = [ids[start : start + IDS_AT_A_TIME] for start in range(0, len(ids), IDS_AT_A_TIME)]
    return {row.id: row for keys in chunks for row in run(query.params(ids=keys), [range(n_lines)])[0]}


def _counts(run: Run, lines: Subquery, n_lines: int) -> list[int]:
    """Number of configurations in each chunk of lines."""
    chunk = lines.c.number // CHUNK_LINES
    query = select(chunk.label("chunk"), total(lines).label("count")).group_by(chunk)
    counts = [0] * (n_lines // CHUNK_LINES + 1)
    for rows in run(query, parts(n_lines)):
        for row in rows:
            counts[row.chunk] += row.count
    return counts


def batches_of(run: Run, lines: Subquery, n_lines: int, size: int) -> Iterator[pd.DataFrame]:
    """Every configuration on the lines as data frames: shape, r1..r4, params, fm, flops; about ``size`` rows each."""
    import pandas as pd

    query = select(*(lines.c[name] for name in NAMES)).where(lines.c.hi >= lines.c.lo).order_by(lines.c.id)
    waiting: list[Row[Any]] = []
    rows = 0
    for first in range(0, n_lines, CHUNK_LINES):
        piece = range(first, min(first + CHUNK_LINES, n_lines))
        for row in run(query, [piece])[0]:
            waiting.append(row)
            rows += row.hi - row.lo + 1
            if rows >= size:
                yield expanded(pd.DataFrame(waiting, columns=NAMES))
                waiting, rows = [], 0
    if waiting:
        yield expanded(pd.DataFrame(waiting, columns=NAMES))


def _ends(counts: Sequence[int] | Integers) -> Integers:
    """0 followed by the cumulative sums."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])


def expanded(frame: pd.DataFrame, latency: Along | None = None) -> pd.DataFrame:
    """One row for every k of every line; the lines have the columns NAMES. latency: that along each, if known."""
    counts = (frame["hi"] - frame["lo"] + 1).to_numpy()
    starts = _ends(counts)[:-1].repeat(counts)
    long = frame.loc[frame.index.to_numpy().repeat(counts)].reset_index(drop=True)
    k = long["lo"] + np.arange(len(long)) - starts
    for j, name in enumerate(RANKS, start=1):
        long[name] = long[name].astype("Int64").where(long["free"] != j, long["step"] * k)
    for name, key in (("params", "p"), ("fm", "m"), ("flops", "f")):
        long[name] = long[f"{key}0"] + long[f"{key}1"] * k
    long["shape"] = long["shape"].astype("string")  # even if all are missing
    names = ["shape", *RANKS, "params", "fm", "flops"]
    if latency is None:
        return long[names]
    return long[names].assign(latency=latency.of(np.arange(len(frame)).repeat(counts)).at(k.to_numpy(np.int64)))
