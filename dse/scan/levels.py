"""Counts of configurations at each level of a metric, and their range of FLOPs."""

from __future__ import annotations

import numpy as np
from numba import njit

from rankline.src.dse.lines import Integers


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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
    """For each level the number of configurations, and their lowest and highest FLOPs: (levels, 3).

    lo, hi: the interval of k on each line;
    start, slope, flops_start, flops_slope: intercept and slope of the metric and of the FLOPs along each line;
    lows, highs: the levels, low <= metric <= high.

    An empty level has 0, the largest integer and the smallest.
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
