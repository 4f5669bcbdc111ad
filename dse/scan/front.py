"""The front of error against a cost: for each level of cost, the configuration with the least error.

The error of a configuration is a sum of one table entry for each rank, as the squared tails of a tensor train or
of an SVD are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dse.lines import Integers
from dse.scan.intervals import METRIC_COLUMNS, Narrowed
from dse.scan.select import Places

Reals = NDArray[np.float64]


def front_of_tails(found: Narrowed, metric: str, tails: Sequence[Reals], levels: int = 4096) -> Places:
    """The front where a configuration's error is the sum over j of tails[j][r_j - 1], lowest cost first.

    The range of the cost is cut into ``levels``; of each, the least error counts, at its lowest cost. Every
    configuration is visited. Raises ValueError where the lines are of several tensor shapes.
    """
    (part,) = found.lines or (None,)
    if part is None or not len(found.lo):
        return []
    width = max(len(tail) for tail in tails)
    table = np.full((len(tails), width), np.inf)
    for j, tail in enumerate(tails):
        table[j, : len(tail)] = tail
    intercept, slope = (found.coefficients[:, column] for column in METRIC_COLUMNS[metric])
    low, high = int((intercept + slope * found.lo).min()), int((intercept + slope * found.hi).max())
    errors = np.full(levels, np.inf)
    costs = np.zeros(levels, np.int64)
    places = np.full((levels, 2), -1, np.int64)
    _least(
        intercept, slope, found.lo, found.hi, part.ranks[found.row], part.free, part.step, table,
        low, (high - low) // levels + 1, errors, costs, places,
    )  # fmt: skip
    best, front = np.inf, []
    for level in range(levels):
        if errors[level] < best:
            best = errors[level]
            front.append((int(places[level, 0]), int(places[level, 1])))
    return front


@njit(cache=True)  # type: ignore[untyped-decorator]
def _least(
    intercept: Integers, slope: Integers, lo: Integers, hi: Integers, ranks: Integers, free: int, step: int,
    table: Reals, low: int, width: int, errors: Reals, costs: Integers, places: Integers,
) -> None:  # fmt: skip
    """The least error in each level of cost, and where it is."""
    for i in range(len(lo)):
        fixed = 0.0
        for j in range(ranks.shape[1]):
            if j != free:
                fixed += table[j, ranks[i, j] - 1]
        cost = intercept[i] + slope[i] * lo[i]
        for k in range(lo[i], hi[i] + 1):
            error = fixed + table[free, step * k - 1]
            level = (cost - low) // width
            if error < errors[level] or (error == errors[level] and cost < costs[level]):
                errors[level] = error
                costs[level] = cost
                places[level, 0], places[level, 1] = i, k
            cost += slope[i]
