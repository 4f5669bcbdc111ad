"""Configurations by error: error windows, the least error, and the front of error against costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from rankline.src.dse.error_table import Curves, Reals, Spectrum
from rankline.src.dse.lines import Integers
from rankline.src.dse.metric import Metric
from rankline.src.dse.scan.along import Along, run_end, value_at
from rankline.src.dse.scan.intervals import Narrowed
from rankline.src.dse.scan.select import Places


def with_errors(found: Narrowed, spectrum: Spectrum) -> tuple[Narrowed, Curves]:
    """The lines whose error is known, and their squared errors; tensor shapes without a table are left out."""
    known = np.array([part.shape in spectrum for part in found.lines], bool)
    found = found.between(np.where(known[found.part], 1, np.iinfo(np.int64).max), found.hi)
    parts = {j: spectrum[part.shape].along(part) for j, part in enumerate(found.lines) if known[j]}
    cap = max((one.curves.shape[1] for one in parts.values()), default=0)
    offset, row = np.zeros(len(found.lo)), np.zeros(len(found.lo), np.int64)
    tables, rows = [np.zeros((0, cap))], 0
    for j, one in parts.items():
        here = np.flatnonzero(found.part == j)
        offset[here] = one.offset[found.row[here]]
        row[here] = one.row[found.row[here]] + rows
        rows += len(one.curves)
        # Entries past the end of a shorter line are never read.
        tables.append(np.pad(one.curves, ((0, 0), (0, cap - one.curves.shape[1])), mode="edge"))
    return found, Curves(offset, row, np.concatenate(tables))


def within_errors(found: Narrowed, curves: Curves, low: float | None, high: float | None) -> tuple[Narrowed, Curves]:
    """The configurations with low <= relative error <= high; None is an open end."""
    first, last = found.lo, found.hi
    if high is not None:
        first = curves.first_within(high**2)
    if low is not None:
        last = curves.first_within(float(np.nextafter(low**2, -1.0))) - 1
    left = np.flatnonzero(np.maximum(first, found.lo) <= np.minimum(last, found.hi))
    return found.between(first, last), Curves(curves.offset[left], curves.row[left], curves.curves)


def least_error(found: Narrowed, curves: Curves) -> Places:
    """The least error: every line that has it, at the first such k."""
    if not len(found.lo):
        return []
    best = float(curves.at(np.arange(len(found.lo)), found.hi).min())
    ks = np.maximum(curves.first_within(best), found.lo)
    lines = np.flatnonzero(ks <= found.hi)
    return list(zip(lines.tolist(), ks[lines].tolist(), strict=True))


def front(found: Narrowed, curves: Curves, metric: Metric, levels: int = 4096) -> Places:
    """The front of error against a cost: the least error at each level of the cost, where it beats all cheaper ones.

    The cost's range is cut into ``levels``; each contributes its least error, at its lowest cost. Every configuration
    is visited. Lowest cost first.
    """
    if not len(found.lo):
        return []
    cost = found.along(metric)
    low, high = cost.span(found.lo, found.hi)
    errors = np.full(levels, np.inf)
    costs = np.zeros(levels, np.int64)
    places = np.full((levels, 2), -1, np.int64)
    _least(
        cost, found.lo, found.hi, curves.offset, curves.row, np.ascontiguousarray(curves.curves),
        low, (high - low) // levels + 1, errors, costs, places,
    )  # fmt: skip
    best, chosen = np.inf, []
    for level in range(levels):
        if errors[level] < best:
            best = errors[level]
            chosen.append((int(places[level, 0]), int(places[level, 1])))
    return chosen


def front_of_many(found: Narrowed, curves: Curves, metrics: Sequence[Metric], levels: int = 256) -> Places:
    """The front of error against several costs: no other configuration is as good in all and better in one.

    Up to EXHAUSTIVE configurations, all are compared; beyond that, only those with the least error in their cell of a
    grid with ``levels`` levels per cost.
    """
    import moocore

    lines, ks = _all_places(found) if found.count <= EXHAUSTIVE else _cells(found, curves, metrics, levels)
    if not len(lines):
        return []
    points = np.empty((len(lines), len(metrics) + 1))
    for column, metric in enumerate(metrics):
        points[:, column] = found.along(metric).of(lines).at(ks)
    points[:, -1] = curves.at(lines, ks)
    kept = np.flatnonzero(moocore.is_nondominated(points, keep_weakly=False))
    kept = kept[np.lexsort(points[kept].T[::-1])]
    return list(zip(lines[kept].tolist(), ks[kept].tolist(), strict=True))


EXHAUSTIVE = 200_000
"""The most configurations that are compared with each other without a grid."""


def _all_places(found: Narrowed) -> tuple[Integers, Integers]:
    counts = found.hi - found.lo + 1
    lines = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    return lines, found.lo[lines] + np.arange(len(lines)) - starts[lines]


def _cells(found: Narrowed, curves: Curves, metrics: Sequence[Metric], levels: int) -> tuple[Integers, Integers]:
    """Line and k of the least error in each cell of a grid over the first two costs."""
    spans = []
    for metric in metrics[:2]:
        cost = found.along(metric)
        low, high = cost.span(found.lo, found.hi)
        spans.append((cost, low, (high - low) // levels + 1))
    (x_cost, x_low, x_width), (y_cost, y_low, y_width) = spans
    errors = np.full((levels, levels), np.inf)
    places = np.full((levels, levels, 2), -1, np.int64)
    _least_cells(
        x_cost, x_low, x_width, y_cost, y_low, y_width, found.lo, found.hi,
        curves.offset, curves.row, np.ascontiguousarray(curves.curves), errors, places,
    )  # fmt: skip
    filled = places[places[:, :, 0] >= 0]
    return filled[:, 0], filled[:, 1]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _least(
    of: Along, lo: Integers, hi: Integers, offset: Reals, row: Integers, curves: Reals,
    low: int, width: int, errors: Reals, costs: Integers, places: Integers,
) -> None:  # fmt: skip
    """The least error at each level of the cost, and its place."""
    for i in range(len(lo)):
        first = lo[i]
        while first <= hi[i]:
            cost, last = value_at(of, i, first), run_end(of, i, first, hi[i])
            for k in range(first, last + 1):
                error = offset[i] + curves[row[i], k - 1]
                level = (cost - low) // width
                if error < errors[level] or (error == errors[level] and cost < costs[level]):
                    errors[level] = error
                    costs[level] = cost
                    places[level, 0], places[level, 1] = i, k
                cost += of.slope[i]
            first = last + 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _least_cells(
    x_cost: Along, x_low: int, x_width: int, y_cost: Along, y_low: int, y_width: int,
    lo: Integers, hi: Integers, offset: Reals, row: Integers, curves: Reals, errors: Reals, places: Integers,
) -> None:  # fmt: skip
    """The least error in each cell of two costs, and its place."""
    for i in range(len(lo)):
        first = lo[i]
        while first <= hi[i]:
            x, y = value_at(x_cost, i, first), value_at(y_cost, i, first)
            last = run_end(y_cost, i, first, run_end(x_cost, i, first, hi[i]))
            for k in range(first, last + 1):
                error = offset[i] + curves[row[i], k - 1]
                a, b = (x - x_low) // x_width, (y - y_low) // y_width
                if error < errors[a, b]:
                    errors[a, b] = error
                    places[a, b, 0], places[a, b, 1] = i, k
                x += x_cost.slope[i]
                y += y_cost.slope[i]
            first = last + 1
