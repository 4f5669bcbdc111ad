"""The envelope of a space: the lowest and highest FLOPs at each level of params.

It is no front: every metric rises with every rank, so there is nothing to trade between two costs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Row, Subquery, select

from db.expand import Run
from db.parts import parts

if TYPE_CHECKING:
    import pandas as pd


def envelope_of(run: Run, lines: Subquery, n_lines: int, levels: int) -> pd.DataFrame:
    """min_flops and max_flops of the configurations with params_low <= params <= params_high.

    The range of params is cut into ``levels`` equal levels; those without a configuration are left out.
    """
    import pandas as pd

    columns = ("params_low", "params_high", "min_flops", "max_flops")
    query = select(*(lines.c[name] for name in ("lo", "hi", "p0", "p1", "f0", "f1"))).where(lines.c.hi >= lines.c.lo)
    found: list[Row[Any]] = [row for rows in run(query, parts(n_lines)) for row in rows]
    if not found:
        return pd.DataFrame(columns=columns)
    lo, hi, p0, p1, f0, f1 = np.array([tuple(row) for row in found], np.int64).T
    low, high = int((p0 + p1 * lo).min()), int((p0 + p1 * hi).max())
    edges = [low + (high + 1 - low) * j // levels for j in range(levels + 1)]
    rows = []
    for start, end in pairwise(edges):
        first = np.maximum(lo, -((p0 - start) // p1))
        last = np.minimum(hi, (end - 1 - p0) // p1)
        inside = first <= last
        if inside.any():
            cheapest, dearest = (f0 + f1 * first)[inside].min(), (f0 + f1 * last)[inside].max()
            rows.append((start, end - 1, int(cheapest), int(dearest)))
    return pd.DataFrame(rows, columns=columns)
