"""Truncated SVD of the (K C) x F matrix: the original kernel to r channels, then a 1x1 (dense: two matrices).

Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and Detection", TPAMI 2016,
section 3.1; optimal by Eckart and Young, "The approximation of one matrix by another of lower rank",
Psychometrika 1, 1936.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorly as tl

from compress.methods.factor import Factor, geometry, last_factor, linear_factor
from compress.methods.gram import Tensor, leading_frame
from compress.methods.method import Decomposition

if TYPE_CHECKING:
    import keras


class SVD(Decomposition):
    """Factors: U S^1/2 of shape (K_1, .., K_d, C, r), or (N, r) of a dense layer, and S^1/2 V^T (r, F)."""

    name = "svd"
    suffixes = ("in", "out")

    def factorize(self, weights: Tensor, ranks: tuple[int, ...], shape: str | None) -> list[Tensor]:
        *kernel, columns = tl.shape(weights)
        matrix = tl.reshape(weights, (-1, columns))
        if len(matrix) < columns:
            right, left = (tl.transpose(half) for half in _balanced(tl.transpose(matrix), ranks[0]))
        else:
            left, right = _balanced(matrix, ranks[0])
        return [tl.reshape(left, (*kernel, ranks[0])), right]

    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        left, right = factors
        return tl.matmul(left, right)

    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        left, right = factors
        return [
            linear_factor(layer, self.layer_name(layer.name, "in"), left, geometry(layer)),
            last_factor(layer, self.layer_name(layer.name, "out"), right),
        ]


def _balanced(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """U S^1/2 (m, rank) and S^1/2 V^T (rank, n) of a matrix (m, n) with m >= n.

    U S is the image of V, not a second eigenproblem, so that the product is an exact projection W V V^T
    however small the singular values. Where one is zero, its column of U S is zero and its row is of length 1.
    """
    frame = leading_frame(tl.transpose(matrix), rank)
    image = tl.matmul(matrix, frame)
    scale = tl.sqrt(tl.norm(image, axis=0))
    scale = tl.where(scale > 0, scale, tl.ones(rank, **tl.context(scale)))
    return image / scale, tl.transpose(frame * scale)
