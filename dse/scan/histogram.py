"""Counts of configurations by two metrics, for a picture of a space."""

from __future__ import annotations

import numpy as np
from numba import njit

from rankline.src.dse.lines import Integers
from rankline.src.dse.metric import Metric
from rankline.src.dse.scan.along import Along, run_end, value_at
from rankline.src.dse.scan.intervals import Narrowed


def edges(low: int, high: int, bins: int) -> Integers:
    """Bounds of equal bins over low..high, as integers: bin b holds edges[b] <= value < edges[b + 1]."""
    return np.array([low + (high + 1 - low) * b // bins for b in range(bins + 1)], np.int64)


def histogram(found: Narrowed, x: Metric, x_edges: Integers, y: Metric, y_edges: Integers) -> Integers:
    """Counts of configurations by two metrics within the edges: (len(x_edges) - 1, len(y_edges) - 1)."""
    counts = np.zeros((len(x_edges) - 1, len(y_edges) - 1), np.int64)
    _fill(found.along(x), found.along(y), found.lo, found.hi, x_edges, y_edges, counts)
    return counts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    x_of: Along, y_of: Along, lo: Integers, hi: Integers, x_edges: Integers, y_edges: Integers, counts: Integers
) -> None:
    """Neither metric falls along a line, so their bins only move forward."""
    for i in range(len(lo)):
        first = lo[i]
        x_bin = np.searchsorted(x_edges, value_at(x_of, i, first), side="right") - 1
        y_bin = np.searchsorted(y_edges, value_at(y_of, i, first), side="right") - 1
        while first <= hi[i]:
            x, y = value_at(x_of, i, first), value_at(y_of, i, first)
            last = run_end(y_of, i, first, run_end(x_of, i, first, hi[i]))
            for _ in range(first, last + 1):
                while x_bin < counts.shape[0] and x >= x_edges[x_bin + 1]:
                    x_bin += 1
                while y_bin < counts.shape[1] and y >= y_edges[y_bin + 1]:
                    y_bin += 1
                if x_bin >= counts.shape[0] or y_bin >= counts.shape[1]:
                    break
                if x_bin >= 0 and y_bin >= 0:
                    counts[x_bin, y_bin] += 1
                x += x_of.slope[i]
                y += y_of.slope[i]
            first = last + 1
