"""Spatial SVD: a K_1 x 1 convolution to r channels, then 1 x K_2 to the outputs.

Jaderberg, Vedaldi and Zisserman, "Speeding up Convolutional Neural Networks with Low Rank Expansions", BMVC 2014,
scheme 2; by the SVD of the kernel as a matrix (K_1 C) x (K_2 F): Tai et al., "Convolutional Neural Networks with
Low-Rank Regularization", ICLR 2016, theorem 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorly as tl

from rankline.src.compress.methods.factor import Factor, geometry, last_factor, linear_factor, placed, spatial_axes
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.methods.numerics.gram import tail_of
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.methods.numerics.whitened import Whitened
from rankline.src.compress.methods.svd import SVD
from rankline.src.dse.error_table import EXACT, ErrorTable
from rankline.src.dse.space import Branch

if TYPE_CHECKING:
    import keras


class SpatialSVD(Decomposition):
    """Factors: A (.., K_1, .., C, r) and B (.., K_2, .., r, F), of size 1 along all other axes; W = A B at each tap.

    With the input covariance, A spans the leading singular vectors of the whitened matrix, and B is the best second
    factor for the layer's outputs.
    """

    name = "spatial_svd"
    suffixes = ("in", "out")
    uses_covariance = True

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        *kernel, inputs, outputs = tl.shape(weights)
        first, second = _axes(kernel)
        if covariance is not None:
            (rank,) = ranks
            whitened = _whitened(weights, covariance, rank)
            halves = whitened.first(rank)[0], whitened.second(rank).reshape(rank, -1)
            left, right = (tl.tensor(half, **tl.context(weights)) for half in halves)
        else:
            left, right = SVD().factorize(_matrix(weights), ranks, None, None)
        return [
            placed(tl.reshape(left, (kernel[first], inputs, *ranks)), first, len(kernel)),
            placed(tl.transpose(tl.reshape(right, (*ranks, kernel[second], outputs)), [1, 0, 2]), second, len(kernel)),
        ]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        if covariance is not None:
            (branch,) = branches
            (cap,) = branch.caps
            energy = _whitened(weights, covariance, cap).energy().sum(axis=1)
            return {None: ErrorTable((tail_of(energy)[:cap],), EXACT)}
        return SVD().tables(_matrix(weights), branches, None)

    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        left, right = factors
        return tl.matmul(left, right)

    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        left, right = factors
        (first, second), without = spatial_axes(layer)
        return [
            linear_factor(layer, self.layer_name(layer.name, "in"), left, geometry(layer, [first, *without])),
            last_factor(layer, self.layer_name(layer.name, "out"), right, geometry(layer, [second])),
        ]


def _whitened(weights: Tensor, covariance: Tensor, count: int) -> Whitened:
    """The kernel with K_1 and C as its group, and K_2 as the rest."""
    kernel = tl.shape(weights)[:-2]
    second = _axes(kernel)[1]
    return Whitened(tl.to_numpy(weights), tl.to_numpy(covariance), [second], count)


def _axes(kernel: Sequence[int]) -> list[int]:
    """The two spatial axes with a size above 1."""
    return [axis for axis, size in enumerate(kernel) if size > 1]


def _matrix(weights: Tensor) -> Tensor:
    """The kernel as a matrix (K_1 C, K_2 F)."""
    *kernel, inputs, outputs = tl.shape(weights)
    k1, k2 = (kernel[axis] for axis in _axes(kernel))
    tensor = tl.transpose(tl.reshape(weights, (k1, k2, inputs, outputs)), [0, 2, 1, 3])
    return tl.reshape(tensor, (k1 * inputs, k2 * outputs))
