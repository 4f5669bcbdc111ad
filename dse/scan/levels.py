"""How many configurations are at each level of a metric, and between what FLOPs."""

from __future__ import annotations

import numpy as np
from numba import njit

from rankline.src.dse.lines import Integers


@njit(cache=True)  # type: ignore[untyped-decorator]
def counts_and_flops(
    lo: Integers,
    hi: Integers,
    start: Integers,
    slope: Integers,
    flops_start: Integers,
    flops_slope: Integers,
    lows: Integers,
    highs: Integers,
) -> Integers:
    """(levels, 3): of each level how many k it has on all lines, and the lowest and highest FLOPs there.

    Of each line, lo to hi is the interval of k, and intercept and slope are those of a metric and of the FLOPs; a level
    is low <= metric <= high. A level without configurations has 0, the largest integer, and the least.
    """
    found = np.empty((len(lows), 3), np.int64)
    found[:, 0], found[:, 1], found[:, 2] = 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for i in range(len(lo)):
        least, most = start[i] + slope[i] * lo[i], start[i] + slope[i] * hi[i]
        for j in range(len(lows)):
            if lo[i] > hi[i] or highs[j] < least or lows[j] > most:
                continue
            first = max(lo[i], -((start[i] - lows[j]) // slope[i]))
            last = min(hi[i], (highs[j] - start[i]) // slope[i])
            if first <= last:
                found[j, 0] += last - first + 1
                found[j, 1] = min(found[j, 1], flops_start[i] + flops_slope[i] * first)
                found[j, 2] = max(found[j, 2], flops_start[i] + flops_slope[i] * last)
    return found
