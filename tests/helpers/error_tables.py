"""Made-up error tables, for what doesn't depend on real weights."""

from __future__ import annotations

import numpy as np

from rankline.src.dse.error_table import BOUND, EXACT, ErrorTable
from rankline.src.dse.layer import Layer
from rankline.src.dse.options import Options
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape


def made_up(layer: Layer, method: str, seed: int, options: Options | None = None) -> dict[str | None, ErrorTable]:
    """Tables of the right sizes that fall along every axis: a grid where there are two ranks, else tails."""
    rng = np.random.default_rng(seed)
    tables = {}
    for branch in Space(method, layer_shape(layer), options or Options()).branches:
        caps = branch.polynomials.caps
        if len(caps) == 2:
            grid = rng.integers(0, 4, caps).astype(float)
            table = np.flip(np.cumsum(np.cumsum(np.flip(grid), axis=0), axis=1)) / grid.size
            tables[branch.shape] = ErrorTable((table,), EXACT)
        else:
            tails = tuple(np.sort(rng.integers(0, 9, cap))[::-1] / 16 for cap in caps)
            tables[branch.shape] = ErrorTable(tails, BOUND)
    return tables
