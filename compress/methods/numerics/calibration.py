"""The error of CP at every rank, from fits at a few, between bounds.

No fit is worse than the slice SVD, nor, but for local minima, worse than a fit of a lower rank or better than one of a
higher rank: between two fitted ranks the error lies between theirs. What is interpolated is the ratio to the bound of
the slice SVD times sqrt(1 - r / R), where R is the rank at which CP has as many degrees of freedom as the kernel has
weights: for kernels like those of trained layers it hardly changes. Where it does, as in pruned kernels, whose error
falls all at once, more ranks are fitted: in the middle of the two whose errors differ most, until they differ little or
a fit is as it was foretold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

import numpy as np
import tensorly as tl
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from rankline.src.compress.methods.numerics.als import best_fit
from rankline.src.compress.methods.numerics.slices import NEGLIGIBLE, slice_svd
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.dse.error_table import BOUND, ESTIMATE, ErrorTable

FEW = 32
"""With at most this many ranks, every one that saves params is fitted."""

MOST_FITS = 12

TOP = 0.85
"""The highest fitted rank, as a share of that with as many params as the kernel: beyond it, sweeps are slow and the
error is small."""

CLOSE = 2.25
"""Neighbours whose errors differ by less than this factor need no rank in between: its error is known within 1.5."""

FORETOLD, CLOSER = 0.1, 3.0
"""A fit that differs by less from what was foretold makes this factor enough on both its sides."""

MARGIN = 4
"""Times as far from the estimate as that fit was, and FORETOLD more, the true error may lie on both its sides."""

VISIBLE = 1e-3
"""Errors are compared as if they were larger by this: below it they don't matter."""

Reals = NDArray[np.float64]


def calibrated(weights: Tensor, most: int) -> ErrorTable:
    """The table of a nonzero kernel (K_1, .., K_d, C, F) without axes of size 1.

    most: the rank with as many params as the kernel. A kernel that a single term represents exactly leaves nothing to
    estimate, and gets the bound. The table's limits are those between which the error of a fit lies.
    """
    slices = slice_svd(weights)
    bound = np.sqrt(slices.bound())
    last = min(most, int((bound**2 > NEGLIGIBLE).sum()))
    if last < 1:
        return ErrorTable((bound**2,), BOUND)
    shape = tl.shape(weights)
    free = prod(shape) / (sum(shape) - len(shape) + 1)
    unexplained = np.sqrt(np.maximum(1 - np.arange(1, len(bound) + 1) / free, 0.5 / free))
    curve = _Curve(lambda rank: best_fit(weights, slices.terms(rank)).error, bound, bound * unexplained)
    if len(bound) <= FEW:
        for rank in range(1, last + 1):
            curve.fit(rank)
    else:
        curve.fit(1)
        curve.fit(min(last, max(1, round(TOP * most))))
        while len(curve.errors) < MOST_FITS and (least_known := curve.least_known()) is not None:
            curve.fit_and_compare(least_known)
    estimate, low, high = curve.estimate(), *curve.limits()
    fitted = slice(0, max(curve.errors))
    seen = estimate[fitted] > VISIBLE
    away = np.maximum(high[fitted] / estimate[fitted].clip(VISIBLE), 2 - low[fitted] / estimate[fitted].clip(VISIBLE))
    spread = float(away[seen].max(initial=1.0)) - 1
    return ErrorTable((estimate**2,), ESTIMATE, spread, (low**2, high**2))


@dataclass
class _Curve:
    """Errors at some ranks, by rank, and what follows for the others; arrays are over the ranks 1, 2, ..

    fitted: the error of a fit; bound: at most that; shape: what the errors are about proportional to;
    foretold: by pairs of neighbours, how far off (in logarithms) the estimate was at the one of them fitted last.
    """

    fitted: Callable[[int], float]
    bound: Reals
    shape: Reals
    errors: dict[int, float] = field(default_factory=dict)
    foretold: dict[tuple[int, int], float] = field(default_factory=dict)

    def fit(self, rank: int) -> None:
        """Fits a rank."""
        self.errors[rank] = min(self.fitted(rank), float(self.bound[rank - 1]))

    def fit_and_compare(self, rank: int) -> None:
        """Fits a rank, and notes on both its sides if it was as foretold."""
        told = self.estimate()[rank - 1]
        known = sorted(self.errors)
        place = int(np.searchsorted(known, rank))
        self.fit(rank)
        off = abs(float(np.log((told + VISIBLE) / (self.errors[rank] + VISIBLE))))
        if off <= FORETOLD:
            self.foretold[known[place - 1], rank] = self.foretold[rank, known[place]] = off

    def least_known(self) -> int | None:
        """The rank to fit next; None where the errors of all are known well enough."""
        ranks, errors = self._known()
        gaps = np.log((errors[:-1] + VISIBLE) / (errors[1:] + VISIBLE))
        pairs: list[tuple[int, int]] = list(pairwise(ranks.tolist()))
        enough = np.log([CLOSER if pair in self.foretold else CLOSE for pair in pairs])
        gaps[(gaps <= enough) | (np.diff(ranks) == 1)] = 0
        if not gaps.any():
            return None
        below, above = pairs[int(gaps.argmax())]
        return (below + above) // 2

    def estimate(self) -> Reals:
        """The error at every rank, which falls with the rank."""
        ranks, errors = self._known()
        every = np.arange(1, len(self.bound) + 1)
        ratios = np.log(errors.clip(NEGLIGIBLE**0.5) / self.shape[ranks - 1].clip(NEGLIGIBLE**0.5))
        if len(ranks) > 1:
            ratios = PchipInterpolator(ranks, ratios)(every.clip(max=ranks[-1]))
        low, high = self._between()
        return np.asarray(np.minimum.accumulate((self.shape * np.exp(ratios)).clip(low, high)))

    def limits(self) -> tuple[Reals, Reals]:
        """The lowest and highest error possible at every rank, as far as fits don't end in other minima."""
        low, high = self._between()
        estimate = self.estimate()
        for (before, after), off in self.foretold.items():
            if not any(before < rank < after for rank in self.errors):
                inside, factor = slice(before, after - 1), 1 + FORETOLD + MARGIN * off
                low[inside] = np.maximum(low[inside], estimate[inside] / factor)
                high[inside] = np.minimum(high[inside], estimate[inside] * factor)
        return low, high

    def _between(self) -> tuple[Reals, Reals]:
        """The errors of the nearest fitted ranks: of the one above, and of the one below or the bound."""
        ranks, errors = self._known()
        every = np.arange(1, len(self.bound) + 1)
        high = np.minimum(errors[np.searchsorted(ranks, every, side="right") - 1], self.bound)
        low = np.append(errors, 0.0)[np.searchsorted(ranks, every)]
        return np.minimum(low, high), high

    def _known(self) -> tuple[NDArray[np.int64], Reals]:
        """The fitted ranks and their errors, which fall: a fit that is worse than one of a lower rank is not needed."""
        ranks = sorted(self.errors)
        return np.array(ranks), np.minimum.accumulate([self.errors[rank] for rank in ranks])
