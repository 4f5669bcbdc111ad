"""One factor of CP after the other: the sweep over the factors of a convolution kernel, and what it is made of.

The modes are (C, K_1, .., K_d, F). The kernel is contracted with one factor by a matrix product, once with that of F
and once with that of C; the spatial modes are so small that the rest is cheap, and no Khatri-Rao product with a large
mode is formed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from operator import mul

import tensorly as tl

from rankline.src.compress.methods.numerics.tensor import Tensor

AXES = "xyz"

Solve = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The new factor (n, r) of one mode, given the Gram matrix (r, r) of the Khatri-Rao product of all others, the kernel
contracted with them (n, r), and the old factor (n, r)."""


class Kernel:
    """A kernel of norm 1, with the sweep over its CP factors, in one dtype."""

    def __init__(self, weights: Tensor, dtype: Tensor) -> None:
        *self.sizes, self.inputs, self.outputs = tl.shape(weights)
        self.taps = prod(self.sizes)
        self.dtype = dtype
        self.stacked = tl.reshape(tl.tensor(weights, dtype=dtype), (self.taps, self.inputs, self.outputs))
        self.turned = tl.transpose(self.stacked, [0, 2, 1])

    def sweep(self, factors: Sequence[Tensor], solve: Solve) -> tuple[list[Tensor], float]:
        """Solves for each factor in turn, with the others fixed; returns the factors, balanced, and their relative
        error."""
        left, *spatial, right = factors
        grams = [tl.matmul(tl.transpose(factor), factor) for factor in factors]
        rank = tl.shape(left)[1]

        def solved(mode: int, products: Tensor, old: Tensor) -> Tensor:
            new = solve(reduce(mul, (gram for j, gram in enumerate(grams) if j != mode)), products, old)
            grams[mode] = tl.matmul(tl.transpose(new), new)
            return new

        image = tl.matmul(self.stacked, right)
        left = solved(0, tl.einsum("tcr,tr->cr", image, _spatial_columns(spatial)), left)
        inner = tl.reshape(tl.einsum("tcr,cr->tr", image, left), (*self.sizes, rank))
        for j in range(len(spatial)):
            spatial[j] = solved(j + 1, _contracted(inner, spatial, j), spatial[j])
        image = tl.einsum("tfr,tr->fr", tl.matmul(self.turned, left), _spatial_columns(spatial))
        right = solved(len(grams) - 1, image, right)

        overlap = float(tl.sum(tl.tensor(image, dtype=tl.float64) * tl.tensor(right, dtype=tl.float64)))
        energy = float(tl.sum(tl.tensor(reduce(mul, grams), dtype=tl.float64)))
        return balanced([left, *spatial, right]), max(0.0, 1 - 2 * overlap + energy) ** 0.5


def rebuilt(factors: Sequence[Tensor]) -> Tensor:
    """The kernel (K_1, .., K_d, C, F) that the factors (C, r), (K_1, r), .., (K_d, r), (F, r) represent."""
    left, *spatial, right = factors
    taps = _spatial_columns(spatial)
    columns = tl.reshape(tl.reshape(taps, (len(taps), 1, -1)) * left, (len(taps) * len(left), -1))
    sizes = [len(factor) for factor in (*spatial, left, right)]
    return tl.reshape(tl.matmul(columns, tl.transpose(right)), sizes)


def balanced(factors: Sequence[Tensor]) -> list[Tensor]:
    """The same terms, with the norm of each split evenly between its columns; zero columns are left unchanged."""
    lengths = [tl.norm(factor, axis=0) for factor in factors]
    lengths = [tl.where(length > 0, length, tl.ones(len(length), **tl.context(length))) for length in lengths]
    mean = reduce(mul, (length ** (1 / len(factors)) for length in lengths))
    return [factor * (mean / length) for factor, length in zip(factors, lengths, strict=True)]


def _contracted(inner: Tensor, spatial: Sequence[Tensor], mode: int) -> Tensor:
    """(K_1, .., K_d, r) contracted with the columns of all spatial factors but one: (K_mode, r)."""
    axes = AXES[: len(spatial)]
    others = [(axis, factor) for j, (axis, factor) in enumerate(zip(axes, spatial, strict=True)) if j != mode]
    terms = ",".join([f"{axes}r", *(f"{axis}r" for axis, _ in others)])
    return tl.einsum(f"{terms}->{axes[mode]}r", inner, *(factor for _, factor in others))


def _spatial_columns(factors: Sequence[Tensor]) -> Tensor:
    """The Khatri-Rao product of the spatial factors (K_j, r): (K, r)."""
    axes = AXES[: len(factors)]
    columns = tl.einsum(",".join(f"{axis}r" for axis in axes) + f"->{axes}r", *factors)
    return tl.reshape(columns, (-1, tl.shape(factors[0])[1]))
