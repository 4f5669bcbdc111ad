"""The error of CP at every rank, from a bound at all ranks and fits at a few.

The bound is that of the slice SVD. How far alternating least squares gets below it depends on what is left to explain:
CP has as many params as the kernel at R = K C F / (C + sum K_j + F), and at rank r the ratio of the squared errors is
close to 1 - r / R. The deviation from that is interpolated between the fitted ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.methods.numerics.als import best_fit
from rankline.src.compress.methods.numerics.slices import NEGLIGIBLE, slice_svd
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.dse.error_table import BOUND, ESTIMATE, ErrorTable

FITTED = np.geomspace(1 / 40, 0.6, 7)[::2]
HELD_OUT = np.geomspace(1 / 40, 0.6, 7)[3::2]
"""Fitted and held-out ranks, as shares of R; at higher ranks a sweep takes too long."""

FEW = 32
"""With at most this many ranks, every one is fitted."""

SWEEPS = 60
"""Limit of sweeps at a fitted rank: further ones would gain about a percent."""


def calibrated(weights: Tensor, most: int) -> ErrorTable:
    """The table of a nonzero kernel (K_1, .., K_d, C, F) without axes of size 1.

    most: R. A kernel that a few terms represent exactly leaves nothing to calibrate on, and gets the bound.
    """
    slices = slice_svd(weights)
    bound = slices.bound()
    all_ranks = np.arange(1, len(bound) + 1)
    fitted = _ranks(all_ranks if len(all_ranks) <= FEW else FITTED * most, bound)
    held_out = np.setdiff1d(_ranks(HELD_OUT * most, bound), fitted)
    if not len(fitted):
        return ErrorTable((bound,), BOUND)
    unexplained = np.maximum(1 - all_ranks / most, 1 / most)
    errors = np.array([best_fit(weights, slices.terms(rank), SWEEPS).error for rank in fitted.tolist()])
    ratios = np.log(np.maximum(errors**2, NEGLIGIBLE) / (bound * unexplained)[fitted - 1])
    estimate = bound * np.minimum(1.0, unexplained * np.exp(np.interp(np.log(all_ranks), np.log(fitted), ratios)))
    estimate = np.minimum.accumulate(estimate)
    checks = [best_fit(weights, slices.terms(rank)).error / estimate[rank - 1] ** 0.5 for rank in held_out.tolist()]
    return ErrorTable((estimate,), ESTIMATE, spread=max((float(abs(1 / ratio - 1)) for ratio in checks), default=0.0))


def _ranks(wanted: NDArray[Any], bound: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ranks near those wanted at which the bound is not zero."""
    ranks = np.unique(np.clip(wanted.round(), 1, len(bound)).astype(np.int64))
    inexact: NDArray[np.int64] = ranks[bound[ranks - 1] > NEGLIGIBLE]
    return inexact
