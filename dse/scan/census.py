"""The census of a space: every configuration visited and counted, none skipped.

The walk is independent of ``dse.lines``: along the free rank each metric advances by the difference of two full
evaluations, one addition per configuration, and each configuration's sets are decided on the spot. So it checks the
lines, whose claims ``census_of_lines`` computes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from rankline.src.dse.formula import Polynomial
from rankline.src.dse.lines import Integers, Lines
from rankline.src.dse.space import Branch, Space

INT64_MAX = np.iinfo(np.int64).max

CHUNKS = 64
"""Number of parts in which the lines are walked; the cores share them."""


@dataclass(frozen=True)
class Census:
    """The result of a walk over all configurations, for the sets all, better and useful.

    counts: (3,);
    lows, highs: (3, 3), the extremes of params, fm and FLOPs in each set (0 if it is empty);
    sums: (3, 3), their sums modulo 2^64, a fingerprint of every value.
    """

    counts: Integers
    lows: Integers
    highs: Integers
    sums: NDArray[np.uint64]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Census):
            return NotImplemented
        return all(np.array_equal(value, vars(other)[name]) for name, value in vars(self).items())

    __hash__ = None  # type: ignore[assignment]


def census(space: Space) -> Census:
    """Counts, extremes and sums over all configurations of a space, found by visiting each of them."""
    return merged([_branch_census(space, branch) for branch in space.branches if branch.n_lines])


def census_of_lines(lines: Iterable[Lines]) -> Census:
    """The same, computed from rank lines without a walk: what ``census`` must find."""
    return merged(
        [
            census_of_intervals(np.full(len(part), part.cap), part.better, part.useful, part.coefficients)
            for part in lines
        ]
    )


def census_of_intervals(caps: Integers, better: Integers, useful: Integers, coefficients: Integers) -> Census:
    """The census that the lines claim. caps, better: (lines,); useful: (lines, 2); coefficients: (lines, 6)."""
    ones = np.ones(len(caps), np.int64)
    counts = np.zeros(3, np.int64)
    lows, highs = np.zeros((3, 3), np.int64), np.zeros((3, 3), np.int64)
    sums = np.zeros((3, 3), np.uint64)
    for one, (first, last) in enumerate(((ones, caps), (ones, better), (useful[:, 0], useful[:, 1]))):
        here = first <= last
        lo, hi = first[here], last[here]
        counts[one] = (hi - lo + 1).sum()
        for metric in range(3 if len(lo) else 0):
            start, slope = coefficients[here, 2 * metric], coefficients[here, 2 * metric + 1]
            lows[one, metric], highs[one, metric] = (start + slope * lo).min(), (start + slope * hi).max()
            count, ks = (hi - lo + 1).astype(np.uint64), ((lo + hi) * (hi - lo + 1) // 2).astype(np.uint64)
            sums[one, metric] = (start.astype(np.uint64) * count + slope.astype(np.uint64) * ks).sum()
    return Census(counts, lows, highs, sums)


def merged(parts: list[Census]) -> Census:
    """The combined census of several disjoint parts."""
    counts = np.zeros(3, np.int64)
    lows, highs = np.zeros((3, 3), np.int64), np.zeros((3, 3), np.int64)
    sums = np.zeros((3, 3), np.uint64)
    for part in parts:
        for one in range(3):
            if part.counts[one]:
                lows[one] = np.minimum(lows[one], part.lows[one]) if counts[one] else part.lows[one]
                highs[one] = np.maximum(highs[one], part.highs[one])
        counts += part.counts
        sums += part.sums
    return Census(counts, lows, highs, sums)


_alone = threading.Lock()
"""Not every threading layer of numba bears two threads that call a parallel kernel."""


def _branch_census(space: Space, branch: Branch) -> Census:
    numbers = _numbers(space, branch)
    with _alone:
        counts, lows, highs, sums = _census(*numbers)
    filled = counts > 0
    return Census(counts, np.where(filled[:, None], lows, 0), np.where(filled[:, None], highs, 0), sums.view(np.uint64))


Numbers = tuple[Integers, Integers, int, int, Integers, Integers, Integers, int, int]


def _numbers(space: Space, branch: Branch) -> Numbers:
    """A branch as the kernels' arguments: steps, modes, free, step, masks, coefficients, starts of the metrics' terms,
    and the original's params and FLOPs."""
    polynomials: tuple[Polynomial, ...] = (
        branch.polynomials.params,
        branch.polynomials.fm,
        branch.polynomials.flops,
    )
    return (
        np.array(branch.steps, np.int64),
        np.array(branch.polynomials.modes, np.int64),
        branch.free,
        space.options.rank_multiple,
        np.array([mask for polynomial in polynomials for mask in polynomial.masks], np.int64),
        np.array([number for polynomial in polynomials for number in polynomial.coefficients], np.int64),
        np.cumsum([0, *(len(polynomial.masks) for polynomial in polynomials)]).astype(np.int64),
        space.original.params,
        space.original.flops,
    )


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _value(ranks: Integers, masks: Integers, terms: Integers, start: int, end: int) -> int:
    """The value of one metric at the ranks: the sum of its terms."""
    total = 0
    for t in range(start, end):
        value = terms[t]
        for j in range(len(ranks)):
            if masks[t] >> j & 1:
                value *= ranks[j]
        total += value
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fixed_ranks(line: int, steps: Integers, free: int, step: int) -> Integers:
    """The ranks of a line from its number, with 0 for the free rank."""
    ranks = np.zeros(len(steps), np.int64)
    rest = line
    for j in range(len(steps) - 1, -1, -1):
        if j != free:
            ranks[j] = (rest % steps[j] + 1) * step
            rest //= steps[j]
    return ranks


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fixed_fed(ranks: Integers, modes: Integers, free: int) -> bool:
    """Whether the fixed ranks can feed each other; the chain's ends are ranks of 1."""
    for j in range(len(modes)):
        left = ranks[j - 1] if j > 0 else 1
        right = ranks[j] if j < len(ranks) else 1
        if j not in (free, free + 1) and (left > right * modes[j] or right > left * modes[j]):
            return False
    return True


@njit(cache=True, parallel=True, nogil=True)  # type: ignore[untyped-decorator]
def _census(
    steps: Integers, modes: Integers, free: int, step: int,
    masks: Integers, terms: Integers, starts: Integers,
    original_params: int, original_flops: int,
) -> tuple[Integers, Integers, Integers, Integers]:  # fmt: skip
    lines = 1
    for j in range(len(steps)):
        if j != free:
            lines *= steps[j]
    chunks = min(lines, CHUNKS)
    counts = np.zeros((chunks, 3), np.int64)
    lows = np.full((chunks, 3, 3), INT64_MAX)
    highs = np.zeros((chunks, 3, 3), np.int64)
    sums = np.zeros((chunks, 3, 3), np.int64)
    for chunk in prange(chunks):
        for line in range(lines * chunk // chunks, lines * (chunk + 1) // chunks):
            ranks = _fixed_ranks(line, steps, free, step)
            left = right = left_mode = right_mode = 1
            chained = len(modes) > 0
            fed = False
            if chained:
                left = ranks[free - 1] if free > 0 else 1
                right = ranks[free + 1] if free + 1 < len(ranks) else 1
                left_mode, right_mode = modes[free], modes[free + 1]
                fed = _fixed_fed(ranks, modes, free)
            for metric in range(3):
                start, end = starts[metric], starts[metric + 1]
                ranks[free] = step
                first = _value(ranks, masks, terms, start, end)
                ranks[free] = 2 * step
                slope = _value(ranks, masks, terms, start, end) - first
                if metric == 0:
                    p, p1 = first, slope
                elif metric == 1:
                    m, m1 = first, slope
                else:
                    f, f1 = first, slope
            _walk(
                0, p, p1, m, m1, f, f1, steps[free], step, original_params, original_flops,
                chained, fed, left, left_mode, right, right_mode,
                counts[chunk], lows[chunk, 0], highs[chunk, 0], sums[chunk, 0],
            )  # fmt: skip
            _walk(
                1, p, p1, m, m1, f, f1, steps[free], step, original_params, original_flops,
                chained, fed, left, left_mode, right, right_mode,
                counts[chunk], lows[chunk, 1], highs[chunk, 1], sums[chunk, 1],
            )  # fmt: skip
            _walk(
                2, p, p1, m, m1, f, f1, steps[free], step, original_params, original_flops,
                chained, fed, left, left_mode, right, right_mode,
                counts[chunk], lows[chunk, 2], highs[chunk, 2], sums[chunk, 2],
            )  # fmt: skip
    for chunk in range(1, chunks):
        counts[0] += counts[chunk]
        lows[0] = np.minimum(lows[0], lows[chunk])
        highs[0] = np.maximum(highs[0], highs[chunk])
        sums[0] += sums[chunk]
    return counts[0], lows[0], highs[0], sums[0]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(
    one: int, p: int, p1: int, m: int, m1: int, f: int, f1: int, cap: int, step: int,
    original_params: int, original_flops: int,
    chained: bool, fed: bool, left: int, left_mode: int, right: int, right_mode: int,
    counts: Integers, lows: Integers, highs: Integers, sums: Integers,
) -> None:  # fmt: skip
    """Visits k = 1..cap of a line and adds the configurations of a set (0 all, 1 better, 2 useful).

    Without branches, so that the compiler can vectorize it.
    """
    count = 0
    p_low = m_low = f_low = INT64_MAX
    p_high = m_high = f_high = 0
    p_sum = m_sum = f_sum = 0
    for k in range(cap):
        r = (k + 1) * step
        better = (p < original_params) & (f < original_flops)
        within = (r <= left * left_mode) & (left <= r * left_mode)
        within &= (r <= right * right_mode) & (right <= r * right_mode)
        useful = better & ((not chained) | (fed & within))
        member = (one == 0) | ((one == 1) & better) | ((one == 2) & useful)
        count += member
        p_low, m_low, f_low = (
            min(p_low, p if member else INT64_MAX),
            min(m_low, m if member else INT64_MAX),
            min(f_low, f if member else INT64_MAX),
        )
        p_high, m_high, f_high = (
            max(p_high, p if member else 0),
            max(m_high, m if member else 0),
            max(f_high, f if member else 0),
        )
        p_sum += p if member else 0
        m_sum += m if member else 0
        f_sum += f if member else 0
        p += p1
        m += m1
        f += f1
    counts[one] += count
    lows[0], lows[1], lows[2] = min(lows[0], p_low), min(lows[1], m_low), min(lows[2], f_low)
    highs[0], highs[1], highs[2] = max(highs[0], p_high), max(highs[1], m_high), max(highs[2], f_high)
    sums[0] += p_sum
    sums[1] += m_sum
    sums[2] += f_sum
