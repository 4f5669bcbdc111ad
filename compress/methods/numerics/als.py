"""Alternating least squares for CP on convolution kernels: two matrix products with the kernel per sweep.

Kolda and Bader, "Tensor Decompositions and Applications", SIAM Review 51(3), 2009, figure 3.3, in the order of
``sweep``. Each least-squares step is proximal (Navasca, De Lathauwer and Kindermann, "Swamp Reducing Technique for
Tensor Decomposition", EUSIPCO 2008), and sweeps are extrapolated with Nesterov's momentum, restarted when the error
rises (Mitchell, Ye and De Sterck, "Nesterov Acceleration of Alternating Least Squares for Canonical Tensor
Decomposition", Numer. Linear Algebra Appl. 27(4), 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import tensorly as tl
from scipy.linalg import cho_factor, cho_solve

from rankline.src.compress.methods.numerics.sweep import Kernel, balanced, rebuilt
from rankline.src.compress.methods.numerics.tensor import Tensor

SWEEPS = 200
PATIENCE = 10
TOLERANCE = 2e-4
"""Stops when PATIENCE sweeps lower the error by less than this per sweep on average, relative to the error. A single
sweep may: the terms of the slice SVD can be near a saddle point."""

RIDGE = 1e-4
"""Weight of the proximal term in a least-squares problem, relative to the diagonal of its Gram matrix."""

TINY = 1e-20
"""Keeps a Gram matrix regular when a term has vanished."""

FINE = 0.03
"""Relative errors below this are too small for products in float32; the sweeps then use float64."""

SMALL = 5000
RANDOM_STARTS = 3
"""Kernels of at most SMALL weights are cheap to fit, and are also fitted from this many random starts."""


@dataclass(frozen=True)
class Fit:
    """CP factors and how they were reached.

    factors: (C, r), (K_1, r), .., (K_d, r), (F, r), the columns of a term having equal norms;
    error: ||W - W'|| / ||W||;
    sweeps: number of sweeps taken;
    converged: whether the error had stopped falling.
    """

    factors: list[Tensor]
    error: float
    sweeps: int
    converged: bool


def fit(weights: Tensor, start: Sequence[Tensor], sweeps: int = SWEEPS, enough: float = 0.0) -> Fit:
    """CP factors in float64 of a nonzero kernel (K_1, .., K_d, C, F), no worse than the starting factors.

    start: (C, r), (K_1, r), .., (K_d, r), (F, r). enough: an error to stop at. Products are in float32 while the error
    is above ``FINE``.
    """
    norm = float(tl.norm(weights))
    scaled = [*start[:-1], start[-1] / norm]
    found = _improve(Kernel(weights / norm, tl.float32), scaled, sweeps, enough)
    if found.error <= FINE:
        found = _improve(Kernel(weights / norm, tl.float64), found.factors, sweeps, enough)
    left, *spatial, right = [tl.tensor(factor, dtype=tl.float64) for factor in found.factors]
    factors = balanced([left, *spatial, right * norm])
    error = float(tl.norm(weights - rebuilt(factors))) / norm  # the sweeps' own error is in float32
    return Fit(factors, error, found.sweeps, found.converged)


def best_fit(weights: Tensor, start: Sequence[Tensor], sweeps: int = SWEEPS) -> Fit:
    """The best fit from several starts if the kernel is small, since they can end in different minima."""
    starts = [start]
    if prod(tl.shape(weights)) <= SMALL:
        shapes = [tl.shape(factor) for factor in start]
        generators = [np.random.default_rng(seed) for seed in range(RANDOM_STARTS)]
        context = tl.context(weights)
        starts += [[tl.tensor(one.standard_normal(shape), **context) for shape in shapes] for one in generators]
    return min((fit(weights, one, sweeps) for one in starts), key=lambda found: found.error)


def _improve(kernel: Kernel, start: Sequence[Tensor], sweeps: int, enough: float) -> Fit:
    best = ahead = [tl.tensor(factor, dtype=kernel.dtype) for factor in balanced(start)]
    errors, steps = [float("inf")], 0
    for sweep in range(1, sweeps + 1):
        found, reached = kernel.sweep(ahead, _proximal)
        if reached < errors[-1]:
            momentum = steps / (steps + 3)
            ahead = [new + momentum * (new - old) for new, old in zip(found, best, strict=True)]
            best, steps = found, steps + 1
        else:
            ahead, steps = best, 0
        errors.append(min(reached, errors[-1]))
        slow = sweep > PATIENCE and errors[-1] > (1 - TOLERANCE) ** PATIENCE * errors[-1 - PATIENCE]
        if slow or errors[-1] <= enough:
            return Fit(best, errors[-1], sweep, converged=True)
    return Fit(best, errors[-1], sweeps, converged=False)


def _proximal(others: Tensor, products: Tensor, old: Tensor) -> Tensor:
    """The best factor (n, r) of one mode, but for the proximal term; see ``sweep.Solve``."""
    ridge = RIDGE * (others + TINY) * tl.eye(len(others), **tl.context(others))
    return tl.transpose(_cholesky_solve(others + ridge, tl.transpose(products + old * tl.sum(ridge, axis=0))))


def _cholesky_solve(system: Tensor, right: Tensor) -> Tensor:
    """The solution of a positive definite system; TensorLy has no Cholesky, and its LU takes twice as long."""
    if tl.get_backend() != "numpy":
        return tl.solve(system, right)
    return cho_solve(cho_factor(system, lower=True, check_finite=False), right, check_finite=False)
