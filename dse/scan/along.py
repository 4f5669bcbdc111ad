"""A metric along rank lines, and where on them it is within bounds.

Params, feature maps and FLOPs are affine: bounds follow by integer division. A latency also rises with each tile that
the free rank begins: bounds follow by bisection. Scans go in runs, within which each step adds the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from rankline.src.dse.lines import Integers
from rankline.src.dse.metric import Metric

LARGEST = 2**63 - 1


class Along(NamedTuple):
    """A metric on lines: at k it is start + slope * k + rise * ceil(step * k / tile), which never falls as k rises.

    start, slope, rise: (lines,), from 0 up; step: the rank multiple; tile: the device's.
    """

    start: Integers
    slope: Integers
    rise: Integers
    step: int = 1
    tile: int = 1

    def at(self, k: Integers) -> Integers:
        """The value at a k of each line."""
        values = self.start + self.slope * k
        return values - self.rise * (-self.step * k // self.tile) if self.rise.any() else values

    def of(self, lines: Integers) -> Along:
        """The same on some of the lines, by their indices, which may repeat."""
        return self._replace(start=self.start[lines], slope=self.slope[lines], rise=self.rise[lines])

    def span(self, lo: Integers, hi: Integers) -> tuple[int, int]:
        """The lowest and highest value on lo..hi of each line; there must be a line."""
        return int(self.at(lo).min()), int(self.at(hi).max())

    def within(self, lo: Integers, hi: Integers, low: int | None, high: int | None) -> tuple[Integers, Integers]:
        """The first and last k of each line's lo..hi with low <= value <= high (first > last: none); None is an open
        end."""
        first, last = _within(self, lo, hi, 0 if low is None else low, LARGEST if high is None else high)
        return first, last


def along(coefficients: Integers, metric: Metric, factors: Integers | int, step: int = 1, tile: int = 1) -> Along:
    """A metric along lines from the columns of ``Lines.coefficients``, as rows, and the number of factors of each."""
    p0, p1, m0, m1, f0, f1, *times = coefficients
    start, slope, rise = times or [None] * 3
    starts, slopes = metric.combined(p0, m0, f0, factors, start), metric.combined(p1, m1, f1, 0, slope)
    starts, slopes = np.ascontiguousarray(starts), np.ascontiguousarray(slopes)
    if not metric.needs_device:
        return Along(starts, slopes, np.zeros(len(starts), np.int64))
    rises: Any = metric.combined(0, 0, 0, 0, rise)
    return Along(starts, slopes, np.ascontiguousarray(rises), step, tile)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def value_at(of: Along, line: int, k: int) -> int:
    """The value at k on a line."""
    value: int = of.start[line] + of.slope[line] * k
    if of.rise[line]:
        value += of.rise[line] * -(-of.step * k // of.tile)
    return value


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def run_end(of: Along, line: int, k: int, hi: int) -> int:
    """The last k up to ``hi`` to which each step adds just the slope, because no new tile begins."""
    if of.rise[line] == 0:
        return hi
    tiles = -(-of.step * k // of.tile)
    return min(hi, tiles * of.tile // of.step)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def first_above(of: Along, line: int, bound: int, lo: int, hi: int) -> int:
    """The first k of lo..hi with a value above the bound, from -1 up; hi + 1 if there is none."""
    start, slope, rise = of.start[line], of.slope[line], of.rise[line]
    if rise == 0 and slope > 0:
        first: int = max(lo, min(hi, (bound - start) // slope) + 1)
    else:
        first = _bisected(start, slope, rise, of.step, of.tile, bound, lo, hi)
    return first


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _bisected(start: int, slope: int, rise: int, step: int, tile: int, bound: int, lo: int, hi: int) -> int:
    """The same for one line's numbers. A tile counts in full once it is begun, so values lie up to ``rise`` above a
    straight line, which tells where to look."""
    low, high = lo, hi + 1
    per_k = slope + rise * (step / tile)
    if per_k > 0:
        straight, early = (bound - start) / per_k, rise / per_k
        low = max(low, int(min(straight - early, hi)) - 1)
        high = max(low, min(high, int(min(straight, hi)) + 2))
    while low < high:
        middle = (low + high) // 2
        if start + slope * middle + rise * -(-step * middle // tile) > bound:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _within(of: Along, lo: Integers, hi: Integers, low: int, high: int) -> tuple[Integers, Integers]:
    first, last = lo.copy(), hi.copy()
    for i in range(len(lo)):
        if low > 0:
            first[i] = first_above(of, i, low - 1, lo[i], hi[i])
        if high < LARGEST:
            last[i] = first_above(of, i, high, lo[i], hi[i]) - 1
    return first, last
