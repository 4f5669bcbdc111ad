"""Spaces level by level: how many configurations there are at each level of a metric, and their range of FLOPs.

The lowest and highest FLOPs at each level of params are the envelope of a space. It is no front: every metric
rises with every rank, so there is nothing to trade between two costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Row, Subquery, select

from db.expand import Run
from db.intervals import coefficient
from db.parts import parts

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("low", "high", "n", "min_flops", "max_flops")


def levels_of(run: Run, lines: Subquery, n_lines: int, metric: str, bounds: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """For each (low, high): how many configurations have low <= metric <= high, and their lowest and highest FLOPs.

    Levels without a configuration are left out.
    """
    import pandas as pd

    columns = (coefficient(lines, metric, 0), coefficient(lines, metric, 1), lines.c.f0, lines.c.f1)
    query = select(lines.c.lo, lines.c.hi, *columns).where(lines.c.hi >= lines.c.lo)
    found: list[Row[Any]] = [row for rows in run(query, parts(n_lines)) for row in rows]
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    lo, hi, v0, v1, f0, f1 = np.array([tuple(row) for row in found], np.int64).T
    rows = []
    for low, high in bounds:
        first = np.maximum(lo, -((v0 - low) // v1))
        last = np.minimum(hi, (high - v0) // v1)
        inside = first <= last
        if inside.any():
            first, last = first[inside], last[inside]
            cheapest, dearest = (f0[inside] + f1[inside] * first).min(), (f0[inside] + f1[inside] * last).max()
            rows.append((low, high, int((last - first + 1).sum()), int(cheapest), int(dearest)))
    return pd.DataFrame(rows, columns=COLUMNS)


def equal_levels(low: int, high: int, count: int) -> list[tuple[int, int]]:
    """low..high cut into ``count`` levels of about equal width, in whole units."""
    edges = [low + (high + 1 - low) * j // count for j in range(count + 1)]
    return [(start, end - 1) for start, end in pairwise(edges) if start < end]
