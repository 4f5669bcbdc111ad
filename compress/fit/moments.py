"""First and second moments of a layer's input patches and output targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.fitted_layer import Reals

CHUNK_ELEMENTS = 2**22
"""Elements of patches converted to float64 at once (32 MiB)."""


@dataclass(frozen=True)
class Moments:
    """The means of patches x (n, D) and targets t (n, F), and the covariances of x with x and with t.

    If not centred, the means are zero and the covariances are second moments about zero.
    """

    x_mean: Reals
    t_mean: Reals
    xx: Reals
    xt: Reals


def moments(x: NDArray[Any], t: NDArray[Any], centred: bool, known: Moments | None = None) -> Moments:
    """The moments of x (n, D) and t (n, F), summed in float64; known: moments of the same patches and other targets."""
    dimensions, outputs = x.shape[1], t.shape[1]
    x_sum, t_sum = np.zeros(dimensions), np.zeros(outputs)
    xx, xt = np.zeros((dimensions, dimensions)), np.zeros((dimensions, outputs))
    rows = max(1, CHUNK_ELEMENTS // dimensions)
    for start in range(0, len(x), rows):
        some, targets = (one[start : start + rows].astype(np.float64) for one in (x, t))
        t_sum += targets.sum(axis=0)
        xt += some.T @ targets
        if known is None:
            x_sum += some.sum(axis=0)
            xx += some.T @ some
    n = max(1, len(x))
    if not centred:
        return Moments(np.zeros(dimensions), np.zeros(outputs), known.xx if known else xx / n, xt / n)
    x_mean = known.x_mean if known else x_sum / n
    covariance = known.xx if known else xx / n - np.outer(x_mean, x_mean)
    return Moments(x_mean, t_sum / n, covariance, xt / n - np.outer(x_mean, t_sum / n))


def best_weights(found: Moments, weights: Reals, ridge: float) -> Reals:
    """M (D, F) with the least squared error of x M against t, and a ridge towards ``weights``:
    W + (C_xx + lam I)^-1 (C_xt - C_xx W), with lam = ``ridge`` times the mean variance of a patch dimension."""
    lam = ridge * float(np.trace(found.xx)) / len(found.xx)
    if lam <= 0:
        return weights
    left = found.xx + lam * np.eye(len(found.xx))
    return np.asarray(weights + np.linalg.solve(left, found.xt - found.xx @ weights))
