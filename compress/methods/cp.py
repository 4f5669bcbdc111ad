"""CP: a 1x1 convolution to r channels, one depthwise convolution per spatial axis, a 1x1 to the outputs.

Lebedev et al., "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition", ICLR 2015, equations
(5) to (8). Fitted by alternating least squares from the terms of the slice SVD, and then corrected: to the smallest
terms at nearly the same error.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import mul
from typing import TYPE_CHECKING

import tensorly as tl

from rankline.src.compress.methods.factor import (
    Factor,
    depthwise_factor,
    geometry,
    is_stock_depthwise,
    last_factor,
    linear_factor,
    placed,
    spatial_axes,
)
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.methods.numerics.als import SWEEPS, Fit, best_fit
from rankline.src.compress.methods.numerics.calibration import calibrated
from rankline.src.compress.methods.numerics.slices import slice_svd
from rankline.src.compress.methods.numerics.stable import corrected
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.dse.error_table import ErrorTable
from rankline.src.dse.space import Branch

if TYPE_CHECKING:
    import keras


ROUGH_FROM = 2**18
"""Weights of a kernel that is fitted in seconds, not at once."""

ROUGH_SWEEPS = 40
"""On kernels of VGG-11, the error is then at most 2 % above that of the last sweep up to 0.4 of the kernel's params."""

FIT_SWEEPS = 5
"""For so many sweeps of the fit, the correction may take one, which costs about twice as much."""


class ConvergenceWarning(UserWarning):
    """Alternating least squares reached its last sweep while the error was still falling."""


class CP(Decomposition):
    """Factors: U (C, r), B_j (1, .., K_j, .., 1, r) for each spatial axis with K_j > 1, V^T (r, F).

    W[k_1, .., k_d, c, f] = sum over r of B_1[k_1, r] .. B_d[k_d, r] U[c, r] V[f, r]; the columns of a term have equal
    norms. The terms are as small as they can be at 1 + ``stable.SLACK`` times the error of alternating least squares;
    terms of the slice SVD that give the kernel exactly are orthogonal, and stay. Warns with ConvergenceWarning if the
    error was still falling at the last sweep.
    """

    name = "cp"
    suffixes = ("in", "axis1", "axis2", "axis3", "out")

    def __init__(self, sweeps: int = SWEEPS, stable: bool = True) -> None:
        """stable: whether the factors are corrected (see ``numerics.stable``), or as least squares leave them."""
        self.sweeps = sweeps
        self.stable = stable

    def rough(self, size: int) -> CP:
        """Not corrected, which would hardly change the error; with ROUGH_SWEEPS sweeps from ROUGH_FROM weights on."""
        return CP(self.sweeps if size < ROUGH_FROM else ROUGH_SWEEPS, stable=False)

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        squeezed, axes = _squeezed(weights)
        slices = slice_svd(squeezed)
        left, *spatial, right = slices.terms(*ranks)
        if not slices.is_exact(*ranks):
            found = best_fit(squeezed, [left, *spatial, right], self.sweeps)
            factors = corrected(squeezed, found.factors, self.sweeps // FIT_SWEEPS) if self.stable else found.factors
            left, *spatial, right = factors
            if not found.converged:
                warnings.warn(_still_falling(tuple(tl.shape(weights)), ranks, found), ConvergenceWarning, stacklevel=3)
        count = tl.ndim(weights) - 2
        return [left, *(placed(one, axis, count) for axis, one in zip(axes, spatial, strict=True)), tl.transpose(right)]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        squeezed, _ = _squeezed(weights)
        (branch,) = branches
        slope = branch.polynomials.params.at((1,))
        return {None: calibrated(squeezed, min(prod(tl.shape(weights)) // slope, branch.polynomials.caps[0]))}

    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        left, *spatial, right = factors
        columns = reduce(mul, spatial)
        return tl.matmul(tl.reshape(columns, (*tl.shape(columns)[:-1], 1, -1)) * left, right)

    def needs_own_layers(self, layer: keras.Layer) -> bool:
        return not all(is_stock_depthwise(layer, axis) for axis in spatial_axes(layer)[0])

    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        left, *spatial, right = factors
        with_factor, without = spatial_axes(layer)
        return [
            linear_factor(layer, self.layer_name(layer.name, "in"), left, geometry(layer, without)),
            *(
                depthwise_factor(layer, self.layer_name(layer.name, f"axis{axis + 1}"), factor, axis)
                for axis, factor in zip(with_factor, spatial, strict=True)
            ),
            last_factor(layer, self.layer_name(layer.name, "out"), right),
        ]


def _squeezed(weights: Tensor) -> tuple[Tensor, list[int]]:
    """The kernel without its spatial axes of size 1, and the remaining axes."""
    *kernel, inputs, outputs = tl.shape(weights)
    axes = [axis for axis, size in enumerate(kernel) if size > 1]
    return tl.reshape(weights, (*(kernel[axis] for axis in axes), inputs, outputs)), axes


def _still_falling(shape: tuple[int, ...], ranks: tuple[int, ...], found: Fit) -> str:
    return (
        f"CP of rank {ranks[0]} on a kernel of shape {shape} was still improving after {found.sweeps} sweeps; "
        f"its relative error is {found.error:.4f}"
    )
