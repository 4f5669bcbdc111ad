"""Rank lines: all configurations of a space, one row for each combination of the fixed ranks.

Along the free rank step * k, k = 1..cap, each metric is intercept + slope * k with integer coefficients; the latency of
a device also rises with the tiles that the free rank fills. The kernels are static and take numbers, so that numba can
cache them on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rankline.src.dse.devices.latency import TiledPolynomial
from rankline.src.dse.formula import Polynomial
from rankline.src.dse.space import Branch, Space

Integers = NDArray[np.int64]

COEFFICIENTS = ("p0", "p1", "m0", "m1", "f0", "f1")
"""The columns of ``Lines.coefficients``: intercept and slope of params, feature maps and FLOPs."""


@dataclass(frozen=True)
class Lines:
    """The lines of one branch of a space.

    ranks: (lines, ranks), 0 in the free rank's column;
    coefficients: (lines, 6), the intercept and slope of params, fm and FLOPs; of a timed space (lines, 9), also start,
        slope and rise of the latency, start + slope * k + rise * ceil(step * k / tile);
    better: (lines,), the last k whose params and FLOPs are both below the original's (0: none);
    useful: (lines, 2), the first and last useful k (first > last: none);
    step: the rank multiple; cap: the last k; factors: layers in the chain of each configuration; tile: the device's.
    """

    method: str
    shape: str | None
    free: int
    step: int
    cap: int
    ranks: Integers
    coefficients: Integers
    better: Integers
    useful: Integers
    factors: int
    tile: int = 1

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def n_total(self) -> int:
        """Number of configurations on these lines."""
        return len(self) * self.cap

    @property
    def n_better(self) -> int:
        """Number of configurations with params and FLOPs both below the original's."""
        return int(self.better.sum())

    @property
    def n_useful(self) -> int:
        """Number of better configurations in which no rank is larger than its neighbours can feed."""
        return int(np.maximum(self.useful[:, 1] - self.useful[:, 0] + 1, 0).sum())


def lines_of(space: Space) -> Iterator[Lines]:
    """The lines of every non-empty branch of a space, in lexicographic order of the fixed ranks."""
    space.check_size()
    for branch in space.branches:
        if branch.n_lines:
            yield _branch_lines(space, branch)


def _branch_lines(space: Space, branch: Branch) -> Lines:
    polynomials, free = branch.polynomials, branch.free
    masks, coefficients, metrics = _stack((polynomials.params, polynomials.fm, polynomials.flops))
    count, step = branch.n_lines, space.options.rank_multiple
    lines = Lines(
        method=space.method,
        shape=branch.shape,
        free=free,
        step=step,
        cap=branch.steps[free],
        ranks=np.zeros((count, len(branch.steps)), np.int64),
        coefficients=np.zeros((count, 6), np.int64),
        better=np.zeros(count, np.int64),
        useful=np.zeros((count, 2), np.int64),
        factors=polynomials.factors,
    )
    _fill(
        np.array(branch.steps, np.int64),
        np.array(polynomials.modes, np.int64),
        free,
        step,
        masks,
        coefficients,
        metrics,
        space.original.params,
        space.original.flops,
        lines.ranks,
        lines.coefficients,
        lines.better,
        lines.useful,
    )
    return lines if branch.latency is None else _timed(lines, branch.latency)


def _timed(lines: Lines, latency: TiledPolynomial) -> Lines:
    """The lines with their latency. Steps of whole tiles fill as many of them each: it is affine then."""
    start, slope, rise = latency.along(lines.ranks, lines.free, lines.step)
    if lines.step % latency.tile == 0:
        slope, rise = slope + rise * (lines.step // latency.tile), np.zeros_like(rise)
    return replace(lines, coefficients=np.column_stack([lines.coefficients, start, slope, rise]), tile=latency.tile)


def _stack(polynomials: tuple[Polynomial, ...]) -> tuple[Integers, Integers, Integers]:
    """The mask, coefficient and metric index of every monomial, as arrays for the kernel."""
    rows = [
        (mask, coefficient, metric)
        for metric, polynomial in enumerate(polynomials)
        for mask, coefficient in zip(polynomial.masks, polynomial.coefficients, strict=True)
    ]
    masks, coefficients, metrics = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return masks, coefficients, metrics


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    steps: Integers, modes: Integers, free: int, step: int,
    masks: Integers, terms: Integers, metrics: Integers,
    original_params: int, original_flops: int,
    ranks: Integers, coefficients: Integers, better: Integers, useful: Integers,
) -> None:  # fmt: skip
    count, width = ranks.shape
    current = np.ones(width, np.int64)
    current[free] = 0
    for i in range(count):
        for j in range(width):
            ranks[i, j] = current[j] * step
        for t in range(len(masks)):
            value = terms[t]
            slope = 0
            for j in range(width):
                if masks[t] >> j & 1:
                    if j == free:
                        value *= step
                        slope = 1
                    else:
                        value *= ranks[i, j]
            coefficients[i, 2 * metrics[t] + slope] += value
        cap = steps[free]
        p0, p1, f0, f1 = coefficients[i, 0], coefficients[i, 1], coefficients[i, 4], coefficients[i, 5]
        better[i] = max(0, min(cap, (original_params - 1 - p0) // p1, (original_flops - 1 - f0) // f1))
        useful[i, 0], useful[i, 1] = _useful(ranks[i], modes, free, step, better[i])
        for j in range(width - 1, -1, -1):  # the next combination of the fixed ranks, last one fastest
            if j != free:
                current[j] += 1
                if current[j] <= steps[j]:
                    break
                current[j] = 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _useful(ranks: Integers, modes: Integers, free: int, step: int, better: int) -> tuple[int, int]:
    """The first and last k at which each rank is at most its neighbour times the mode between, on both sides.

    The ends of the chain are ranks of 1.
    """
    first, last = 1, better
    width = len(ranks)
    if len(modes) == 0:
        return first, last
    for j in range(width + 1):
        mode = modes[j]
        left = ranks[j - 1] if j > 0 else 1
        right = ranks[j] if j < width else 1
        if j - 1 == free:
            first = max(first, -(-right // (mode * step)))
            last = min(last, right * mode // step)
        elif j == free:
            first = max(first, -(-left // (mode * step)))
            last = min(last, left * mode // step)
        elif left > right * mode or right > left * mode:
            return 1, 0
    return (first, last) if first <= last else (1, 0)
