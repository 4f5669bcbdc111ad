"""Counts of configurations by two metrics, for a picture of a space."""

from __future__ import annotations

import numpy as np
from numba import njit

from rankline.src.dse.lines import Integers
from rankline.src.dse.metric import Metric
from rankline.src.dse.scan.intervals import Narrowed


def edges(low: int, high: int, bins: int) -> Integers:
    """Bounds of equal bins over low..high, as integers: bin b holds edges[b] <= value < edges[b + 1]."""
    return np.array([low + (high + 1 - low) * b // bins for b in range(bins + 1)], np.int64)


def histogram(found: Narrowed, x: Metric, x_edges: Integers, y: Metric, y_edges: Integers) -> Integers:
    """Counts of configurations by two metrics within the edges: (len(x_edges) - 1, len(y_edges) - 1)."""
    coefficients = np.stack([*found.along(x), *found.along(y)], axis=1)
    counts = np.zeros((len(x_edges) - 1, len(y_edges) - 1), np.int64)
    _fill(coefficients, found.lo, found.hi, x_edges, y_edges, counts)
    return counts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    coefficients: Integers, lo: Integers, hi: Integers, x_edges: Integers, y_edges: Integers, counts: Integers
) -> None:
    """Both metrics rise along a line, so their bins only move forward."""
    for i in range(len(lo)):
        x = coefficients[i, 0] + coefficients[i, 1] * lo[i]
        y = coefficients[i, 2] + coefficients[i, 3] * lo[i]
        x_bin = np.searchsorted(x_edges, x, side="right") - 1
        y_bin = np.searchsorted(y_edges, y, side="right") - 1
        for _ in range(lo[i], hi[i] + 1):
            while x_bin < counts.shape[0] and x >= x_edges[x_bin + 1]:
                x_bin += 1
            while y_bin < counts.shape[1] and y >= y_edges[y_bin + 1]:
                y_bin += 1
            if x_bin >= counts.shape[0] or y_bin >= counts.shape[1]:
                break
            if x_bin >= 0 and y_bin >= 0:
                counts[x_bin, y_bin] += 1
            x += coefficients[i, 1]
            y += coefficients[i, 3]
