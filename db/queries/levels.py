"""Spaces level by level: the number of configurations at each level of a metric, and their range of FLOPs.

The lowest and highest FLOPs at each level of params are the envelope of a space. It is not a front: every metric rises
with every rank, so there is no trade-off between two costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from rankline.src.dse.lines import Integers
    from rankline.src.dse.scan.along import Along

COLUMNS = ("low", "high", "n", "min_flops", "max_flops")


class Spans(NamedTuple):
    """The first and last k of each line, and a metric and the FLOPs along it."""

    lo: Integers
    hi: Integers
    of: Along
    flops: Along


def levels_of(spans: Spans, bounds: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """For each (low, high), the number of configurations with low <= metric <= high, and their lowest and highest
    FLOPs.

    Levels without configurations are left out.
    """
    import pandas as pd

    from rankline.src.dse.scan.levels import counts_and_flops  # numba, as pandas: only where levels are asked for

    edges = np.array(bounds, np.int64).reshape(-1, 2)
    found = counts_and_flops(*spans, *np.ascontiguousarray(edges.T))
    frame = pd.DataFrame(np.concatenate([edges, found], axis=1), columns=COLUMNS)
    return frame[frame["n"] > 0].reset_index(drop=True)


def equal_levels(low: int, high: int, count: int) -> list[tuple[int, int]]:
    """low..high cut into ``count`` integer levels of about equal width."""
    edges = [low + (high + 1 - low) * j // count for j in range(count + 1)]
    return [(start, end - 1) for start, end in pairwise(edges) if start < end]
