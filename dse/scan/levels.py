"""Counts of configurations at each level of a metric, and their range of FLOPs."""

from __future__ import annotations

import numpy as np
from numba import njit

from rankline.src.dse.lines import Integers
from rankline.src.dse.scan.along import Along, first_above, value_at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def counts_and_flops(lo: Integers, hi: Integers, of: Along, flops: Along, lows: Integers, highs: Integers) -> Integers:
    """For each level the number of configurations, and their lowest and highest FLOPs: (levels, 3).

    lo, hi: the interval of k on each line;
    of, flops: the metric and the FLOPs along each line;
    lows, highs: the levels, low <= metric <= high.

    An empty level has 0, the largest integer and the smallest.
    """
    found = np.empty((len(lows), 3), np.int64)
    found[:, 0], found[:, 1], found[:, 2] = 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for i in range(len(lo)):
        least, most = value_at(of, i, lo[i]), value_at(of, i, hi[i])
        for j in range(len(lows)):
            if lo[i] > hi[i] or highs[j] < least or lows[j] > most:
                continue
            first = first_above(of, i, lows[j] - 1, lo[i], hi[i])
            last = first_above(of, i, highs[j], lo[i], hi[i]) - 1
            if first <= last:
                found[j, 0] += last - first + 1
                found[j, 1] = min(found[j, 1], value_at(flops, i, first))
                found[j, 2] = max(found[j, 2], value_at(flops, i, last))
    return found
