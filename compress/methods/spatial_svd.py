"""Spatial SVD: a K_1 x 1 convolution to r channels, then 1 x K_2 to the outputs.

Jaderberg, Vedaldi and Zisserman, "Speeding up Convolutional Neural Networks with Low Rank Expansions", BMVC 2014,
scheme 2; by the SVD of the kernel as a matrix (K_1 C) x (K_2 F): Tai et al., "Convolutional Neural Networks with
Low-Rank Regularization", ICLR 2016, theorem 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorly as tl

from compress.methods.factor import Factor, geometry, last_factor, linear_factor, placed, spatial_axes
from compress.methods.method import Decomposition
from compress.methods.svd import SVD
from compress.methods.tensor import Tensor
from dse.space import Branch
from dse.spectrum import ErrorTable

if TYPE_CHECKING:
    import keras


class SpatialSVD(Decomposition):
    """Factors: A (.., K_1, .., C, r) and B (.., K_2, .., r, F), of size 1 along all other axes; W = A B at each tap."""

    name = "spatial_svd"
    suffixes = ("in", "out")

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        left, right = SVD().factorize(_matrix(weights), ranks, None, None)
        *kernel, inputs, outputs = tl.shape(weights)
        first, second = _axes(kernel)
        return [
            placed(tl.reshape(left, (kernel[first], inputs, *ranks)), first, len(kernel)),
            placed(tl.transpose(tl.reshape(right, (*ranks, kernel[second], outputs)), [1, 0, 2]), second, len(kernel)),
        ]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
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


def _axes(kernel: Sequence[int]) -> list[int]:
    """The two spatial axes of a size above 1."""
    return [axis for axis, size in enumerate(kernel) if size > 1]


def _matrix(weights: Tensor) -> Tensor:
    """The kernel as a matrix (K_1 C, K_2 F)."""
    *kernel, inputs, outputs = tl.shape(weights)
    k1, k2 = (kernel[axis] for axis in _axes(kernel))
    tensor = tl.transpose(tl.reshape(weights, (k1, k2, inputs, outputs)), [0, 2, 1, 3])
    return tl.reshape(tensor, (k1 * inputs, k2 * outputs))
