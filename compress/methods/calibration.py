"""The error of CP at every rank, from a bound that holds for all and fits at a few.

The bound is that of the slice SVD. How far alternating least squares gets below it follows from what is left to
explain: r terms take up r of the R = K C F / (C + sum K_j + F) at which CP has as many params as the kernel, and
the ratio of the squares is close to 1 - r / R. What differs from that is interpolated between the fitted ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorly as tl
from numpy.typing import NDArray

from compress.methods.als import best_fit, fit, spatial_columns
from compress.methods.slices import NEGLIGIBLE, slice_svd
from compress.methods.tensor import Tensor
from dse.spectrum import BOUND, ESTIMATE, ErrorTable

FITTED = np.geomspace(1 / 40, 0.6, 7)[::2]
HELD_OUT = np.geomspace(1 / 40, 0.6, 7)[3::2]
"""Where ranks are fitted, and others held out, as shares of R; further up a sweep takes too long for a look."""

SWEEPS = 60
"""Most sweeps at a fitted rank, which starts from the terms of the one before."""


def calibrated(weights: Tensor, most: int) -> ErrorTable:
    """The table of a kernel (K_1, .., K_d, C, F) without axes of size 1, not all zero.

    most: R. A kernel that a few terms give exactly has nothing to calibrate on, and gets the bound.
    """
    slices = slice_svd(weights)
    bound = slices.bound()
    fitted, held_out = (_ranks(shares * most, bound) for shares in (FITTED, HELD_OUT))
    if not len(fitted):
        return ErrorTable((bound,), BOUND)
    every = np.arange(1, len(bound) + 1)
    left = np.maximum(1 - every / most, 1 / most)
    errors = np.array(_warm_fits(weights, slices.terms(int(fitted[0])), fitted.tolist()))
    ratios = np.log(errors**2 / (bound * left)[fitted - 1])
    estimate = bound * np.minimum(1.0, left * np.exp(np.interp(np.log(every), np.log(fitted), ratios)))
    estimate = np.minimum.accumulate(estimate)
    seen = [best_fit(weights, slices.terms(rank)).error / estimate[rank - 1] ** 0.5 for rank in held_out.tolist()]
    return ErrorTable((estimate,), ESTIMATE, spread=max((abs(1 / ratio - 1) for ratio in seen), default=0.0))


def _ranks(wanted: NDArray[np.float64], bound: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ranks near those wanted at which the bound is not zero."""
    ranks = np.unique(np.clip(wanted.round(), 1, len(bound)).astype(np.int64))
    return ranks[bound[ranks - 1] > NEGLIGIBLE]


def _warm_fits(weights: Tensor, factors: Sequence[Tensor], ranks: Sequence[int]) -> list[float]:
    """Relative errors at rising ranks; each fit starts from the one before, and the slice SVD of what that left."""
    errors = []
    for rank in ranks:
        if missing := rank - tl.shape(factors[0])[1]:
            left, *spatial, right = factors
            rebuilt = tl.matmul(_columns(left, spatial), tl.transpose(right))
            more = slice_svd(weights - tl.reshape(rebuilt, tl.shape(weights))).terms(missing)
            factors = [tl.concatenate(pair, axis=1) for pair in zip(factors, more, strict=True)]
        found = fit(weights, factors, SWEEPS)
        factors = found.factors
        errors.append(found.error)
    return errors


def _columns(left: Tensor, spatial: Sequence[Tensor]) -> Tensor:
    """The columns of all modes but the last, multiplied out: (K C, r)."""
    taps = spatial_columns(spatial)
    return tl.reshape(tl.reshape(taps, (-1, 1, tl.shape(taps)[1])) * left, (-1, tl.shape(taps)[1]))
