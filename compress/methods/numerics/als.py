"""Alternating least squares for CP on convolution kernels: two matrix products with the kernel per sweep.

Kolda and Bader, "Tensor Decompositions and Applications", SIAM Review 51(3), 2009, figure 3.3, on the modes (C, K_1,
.., K_d, F). The kernel is contracted with one factor by a matrix product, once with that of F and once with that of C;
the spatial modes are so small that the rest is cheap, and no Khatri-Rao product with a large mode is formed. Each
least-squares step is proximal (Navasca, De Lathauwer and Kindermann, "Swamp Reducing Technique for Tensor
Decomposition", EUSIPCO 2008), and sweeps are extrapolated with Nesterov's momentum, restarted when the error rises
(Mitchell, Ye and De Sterck, "Nesterov Acceleration of Alternating Least Squares for Canonical Tensor Decomposition",
Numer. Linear Algebra Appl. 27(4), 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import mul

import numpy as np
import tensorly as tl
from scipy.linalg import cho_factor, cho_solve

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

AXES = "xyz"


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
    found = _improve(_Kernel(weights / norm, tl.float32), scaled, sweeps, enough)
    if found.error <= FINE:
        found = _improve(_Kernel(weights / norm, tl.float64), found.factors, sweeps, enough)
    left, *spatial, right = [tl.tensor(factor, dtype=tl.float64) for factor in found.factors]
    factors = _balanced([left, *spatial, right * norm])
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


def rebuilt(factors: Sequence[Tensor]) -> Tensor:
    """The kernel (K_1, .., K_d, C, F) that the factors (C, r), (K_1, r), .., (K_d, r), (F, r) represent."""
    left, *spatial, right = factors
    taps = _spatial_columns(spatial)
    columns = tl.reshape(tl.reshape(taps, (len(taps), 1, -1)) * left, (len(taps) * len(left), -1))
    sizes = [len(factor) for factor in (*spatial, left, right)]
    return tl.reshape(tl.matmul(columns, tl.transpose(right)), sizes)


def _spatial_columns(factors: Sequence[Tensor]) -> Tensor:
    """The Khatri-Rao product of the spatial factors (K_j, r): (K, r)."""
    axes = AXES[: len(factors)]
    columns = tl.einsum(",".join(f"{axis}r" for axis in axes) + f"->{axes}r", *factors)
    return tl.reshape(columns, (-1, tl.shape(factors[0])[1]))


class _Kernel:
    """A kernel of norm 1, with the ALS sweep over its CP factors."""

    def __init__(self, weights: Tensor, dtype: Tensor) -> None:
        *self.sizes, self.inputs, self.outputs = tl.shape(weights)
        self.taps = prod(self.sizes)
        self.dtype = dtype
        self.stacked = tl.reshape(tl.tensor(weights, dtype=dtype), (self.taps, self.inputs, self.outputs))
        self.turned = tl.transpose(self.stacked, [0, 2, 1])

    def sweep(self, factors: Sequence[Tensor]) -> tuple[list[Tensor], float]:
        """Solves for each factor in turn, with the others fixed; returns the factors and their relative error."""
        left, *spatial, right = factors
        grams = [tl.matmul(tl.transpose(factor), factor) for factor in factors]
        rank = tl.shape(left)[1]

        image = tl.matmul(self.stacked, right)
        left = _solved(grams, 0, tl.einsum("tcr,tr->cr", image, _spatial_columns(spatial)), left)
        inner = tl.reshape(tl.einsum("tcr,cr->tr", image, left), (*self.sizes, rank))
        for j in range(len(spatial)):
            spatial[j] = _solved(grams, j + 1, _contracted(inner, spatial, j), spatial[j])
        image = tl.einsum("tfr,tr->fr", tl.matmul(self.turned, left), _spatial_columns(spatial))
        right = _solved(grams, len(grams) - 1, image, right)

        overlap = float(tl.sum(tl.tensor(image, dtype=tl.float64) * tl.tensor(right, dtype=tl.float64)))
        energy = float(tl.sum(tl.tensor(reduce(mul, grams), dtype=tl.float64)))
        return _balanced([left, *spatial, right]), max(0.0, 1 - 2 * overlap + energy) ** 0.5


def _improve(kernel: _Kernel, start: Sequence[Tensor], sweeps: int, enough: float) -> Fit:
    best = ahead = [tl.tensor(factor, dtype=kernel.dtype) for factor in _balanced(start)]
    errors, steps = [float("inf")], 0
    for sweep in range(1, sweeps + 1):
        found, reached = kernel.sweep(ahead)
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


def _solved(grams: list[Tensor], mode: int, products: Tensor, old: Tensor) -> Tensor:
    """The best factor (n, r) of one mode, given W contracted with all others (n, r); updates ``grams``."""
    others = reduce(mul, (gram for j, gram in enumerate(grams) if j != mode))
    ridge = RIDGE * (others + TINY) * tl.eye(len(others), **tl.context(others))
    new = tl.transpose(_cholesky_solve(others + ridge, tl.transpose(products + old * tl.sum(ridge, axis=0))))
    grams[mode] = tl.matmul(tl.transpose(new), new)
    return new


def _cholesky_solve(system: Tensor, right: Tensor) -> Tensor:
    """The solution of a positive definite system; TensorLy has no Cholesky, and its LU takes twice as long."""
    if tl.get_backend() != "numpy":
        return tl.solve(system, right)
    return cho_solve(cho_factor(system, lower=True, check_finite=False), right, check_finite=False)


def _contracted(inner: Tensor, spatial: Sequence[Tensor], mode: int) -> Tensor:
    """(K_1, .., K_d, r) contracted with the columns of all spatial factors but one: (K_mode, r)."""
    axes = AXES[: len(spatial)]
    others = [(axis, factor) for j, (axis, factor) in enumerate(zip(axes, spatial, strict=True)) if j != mode]
    terms = ",".join([f"{axes}r", *(f"{axis}r" for axis, _ in others)])
    return tl.einsum(f"{terms}->{axes[mode]}r", inner, *(factor for _, factor in others))


def _balanced(factors: Sequence[Tensor]) -> list[Tensor]:
    """The same terms, with the norm of each split evenly between its columns; zero columns are left unchanged."""
    lengths = [tl.norm(factor, axis=0) for factor in factors]
    lengths = [tl.where(length > 0, length, tl.ones(len(length), **tl.context(length))) for length in lengths]
    mean = reduce(mul, (length ** (1 / len(factors)) for length in lengths))
    return [factor * (mean / length) for factor, length in zip(factors, lengths, strict=True)]
