"""Configurations picked from a space: uniform samples, and the best within limits."""

from __future__ import annotations

import random

import numpy as np
from numba import njit

from rankline.src.dse.lines import Integers
from rankline.src.dse.metric import FM, PARAMS, Metric
from rankline.src.dse.scan.along import Along, value_at
from rankline.src.dse.scan.intervals import Narrowed

Places = list[tuple[int, int]]
"""Pairs of line and k (see ``Narrowed.configuration``)."""


def sample(found: Narrowed, n: int, seed: int) -> Places:
    """A uniform sample of up to n distinct configurations, in random order."""
    ends = np.concatenate([[0], np.cumsum(found.hi - found.lo + 1)])
    total = int(ends[-1])
    numbers = np.array(random.Random(seed).sample(range(total), min(n, total)), np.int64)
    line = np.searchsorted(ends, numbers, side="right") - 1
    k = found.lo[line] + numbers - ends[line]
    return list(zip(line.tolist(), k.tolist(), strict=True))


def top(found: Narrowed, metric: Metric, n: int) -> Places:
    """The n configurations with the lowest metric, lowest first; ties by fewer params, then fewer FM, then line."""
    keys = np.full((n, 3), np.iinfo(np.int64).max)
    places = np.full((n, 2), -1, np.int64)
    _lowest(found.along(metric), found.along(PARAMS), found.along(FM), found.lo, found.hi, keys, places)
    return [(int(line), int(k)) for line, k in places if line >= 0]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _before(a0: int, a1: int, a2: int, keys: Integers, j: int) -> bool:
    """Whether the first key comes before the j-th one in lexicographic order."""
    if a0 != keys[j, 0]:
        return bool(a0 < keys[j, 0])
    return bool(a1 < keys[j, 1] if a1 != keys[j, 1] else a2 < keys[j, 2])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _lowest(of: Along, params: Along, fm: Along, lo: Integers, hi: Integers, keys: Integers, places: Integers) -> None:
    """Inserts into a sorted list; since params rise and no metric falls, a line is done at its first configuration that
    is too high."""
    n = len(keys)
    for i in range(len(lo)):
        for k in range(lo[i], hi[i] + 1):
            a0, a1, a2 = value_at(of, i, k), value_at(params, i, k), value_at(fm, i, k)
            if not _before(a0, a1, a2, keys, n - 1):
                break
            j = n - 1
            while j > 0 and _before(a0, a1, a2, keys, j - 1):
                keys[j] = keys[j - 1]
                places[j] = places[j - 1]
                j -= 1
            keys[j, 0], keys[j, 1], keys[j, 2] = a0, a1, a2
            places[j, 0], places[j, 1] = i, k
