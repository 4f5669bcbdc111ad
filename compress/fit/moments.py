"""First and second moments of a layer's input patches and output targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from rankline.src.compress.fit.fitted_layer import Reals
from rankline.src.compress.fit.products import add_products, less_product, with_ridge


@dataclass(frozen=True)
class Moments:
    """The means of patches x (n, D) and targets t (n, F), and the covariances of x with x and with t.

    If not centred, the means are zero and the covariances are second moments about zero.
    """

    x_mean: Reals
    t_mean: Reals
    xx: Reals
    xt: Reals


def moments(
    x: NDArray[Any], t: NDArray[Any], centred: bool, known: Moments | None = None, single: bool = False
) -> Moments:
    """The moments of x (n, D) and t (n, F); known: moments of the same patches and other targets; single: see
    ``products.add_products``."""
    n, dimensions, outputs = max(1, len(x)), x.shape[1], t.shape[1]
    x_mean, t_mean = np.zeros(dimensions), np.zeros(outputs)
    if centred:
        x_mean = known.x_mean if known else x.sum(axis=0, dtype=np.float64) / n
        t_mean = t.sum(axis=0, dtype=np.float64) / n
    # In the data's precision, so that what is constant becomes zero.
    shifts = x_mean.astype(x.dtype), t_mean.astype(t.dtype)
    x_left, t_left = x_mean - shifts[0], t_mean - shifts[1]
    xt = np.zeros((dimensions, outputs))
    add_products(xt, x, t, shifts, single)
    xt = less_product(xt / n, x_left, t_left)
    if known:
        return Moments(x_mean, t_mean, known.xx, xt)
    xx = np.zeros((dimensions, dimensions))
    add_products(xx, x, None, (shifts[0], 0.0), single)
    xx /= n
    return Moments(x_mean, t_mean, less_product(xx, x_left, x_left), xt)


@dataclass(eq=False)
class Regression:
    """The regression of targets on patches with the moments ``xx`` (D, D), drawn to ``weights`` (D, F) by a ridge.

    ridge: in units of the mean variance of a patch dimension. One factorization serves all targets.
    """

    xx: Reals
    weights: Reals
    ridge: float

    @cached_property
    def metric(self) -> NDArray[Any]:
        """C_xx + lam I (D, D): weights M + E do worse than the best M by tr(E^T (C_xx + lam I) E), in the squared error
        of the targets plus the ridge. See ``products.with_ridge`` for its precision."""
        return with_ridge(self.xx, self.ridge)

    @cached_property
    def _solve(self) -> Callable[[Reals], NDArray[Any]]:
        try:
            return partial(cho_solve, cho_factor(self.metric, lower=True, check_finite=False), check_finite=False)
        except LinAlgError:  # no ridge to speak of, and patches that depend on each other
            return partial(np.linalg.solve, self.metric.astype(np.float64))

    @cached_property
    def _explained(self) -> Reals:
        return np.asarray(self.xx @ self.weights)

    def best_weights(self, xt: Reals) -> Reals:
        """M (D, F) with the least squared error of x M against t, and a ridge towards ``weights``:
        W + (C_xx + lam I)^-1 (C_xt - C_xx W); xt: C_xt of the same patches."""
        if self.ridge * np.trace(self.xx) <= 0:
            return self.weights
        left = (xt - self._explained).astype(self.metric.dtype)
        return np.asarray(self.weights + self._solve(left), np.float64)
