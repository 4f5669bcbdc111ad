"""The common part of the methods with two factors: the chain of layers, and the product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorly as tl

from rankline.src.compress.methods.factor import Factor, geometry, last_factor, linear_factor
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.methods.numerics.tensor import Tensor

if TYPE_CHECKING:
    import keras


class TwoFactors(Decomposition):
    """Factors: the original kernel's shape with r outputs, (K_1, .., K_d, C, r) or (N, r), and a matrix (r, F)."""

    suffixes = ("in", "out")

    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        left, right = factors
        return tl.matmul(left, right)

    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        left, right = factors
        return [
            linear_factor(layer, self.layer_name(layer.name, "in"), left, geometry(layer)),
            last_factor(layer, self.layer_name(layer.name, "out"), right),
        ]
