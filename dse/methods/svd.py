"""Truncated SVD of the (K C) x F matrix: the original kernel to r channels, then a 1x1 (dense: two matrices).

Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and Detection", TPAMI 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from rankline.src.dse.chain import Link, convolution, pointwise
from rankline.src.dse.formula import Formula, chain_caps
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.method import Method
from rankline.src.dse.symbols import axis_symbols, layer_symbols, rank_symbols


def matrix_formula(axes: int) -> Formula:
    """Two factors of the (K C) x F matrix with r columns between them."""
    C, F, T = layer_symbols()
    kernel, _, outputs = axis_symbols(axes)
    (r,) = ranks = rank_symbols(1)
    rows = prod(kernel) * C
    out = T * prod(outputs)
    modes = (rows, F)
    return Formula(
        params=r * (rows + F),
        fm=out * r + out * F,
        macs=out * r * (rows + F),
        ranks=ranks,
        caps=chain_caps(modes),
        modes=modes,
    )


def matrix_chain(layer: Layer, rank: int) -> Iterator[Link]:
    """The original kernel to ``rank`` channels, then a matrix to the outputs."""
    yield convolution(layer.kernel, layer.in_channels, rank, layer.out_size)
    yield pointwise(layer, rank, layer.out_channels, layer.out_size)


class SVD(Method):
    name = "svd"
    title = "SVD"

    def refuses(self, layer: Layer) -> str | None:
        return None

    def formula(self, axes: int) -> Formula:
        return matrix_formula(axes)

    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        return matrix_chain(layer, *ranks)
