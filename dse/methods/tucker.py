"""Tucker-2: a 1x1 convolution to r_1 channels, the core with the original kernel, a 1x1 to the outputs.

Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications",
ICLR 2016, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from rankline.src.dse.chain import Link, convolution, first_sizes, pointwise
from rankline.src.dse.formula import Formula
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.method import Method
from rankline.src.dse.symbols import axis_symbols, layer_symbols, rank_symbols


class Tucker(Method):
    name = "tucker"
    title = "Tucker"

    def refuses(self, layer: Layer) -> str | None:
        return None if layer.kind == "conv" else "Tucker factorizes convolutions; use SVD, QR or T3F"

    def formula(self, axes: int) -> Formula:
        C, F, T = layer_symbols()
        kernel, inputs, outputs = axis_symbols(axes)
        r1, r2 = ranks = rank_symbols(2)
        taps = prod(kernel)
        x, y = T * prod(inputs), T * prod(outputs)
        return Formula(
            params=C * r1 + taps * r1 * r2 + r2 * F,
            fm=x * r1 + y * r2 + y * F,
            macs=x * C * r1 + y * taps * r1 * r2 + y * F * r2,
            ranks=ranks,
            caps=(C, F),
            modes=(C, taps, F),
        )

    def factors(self, axes: int, shape: str | None = None) -> int:
        return 3

    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        r1, r2 = ranks
        yield pointwise(layer, layer.in_channels, r1, first_sizes(layer))
        yield convolution(layer.kernel, r1, r2, layer.out_size)
        yield pointwise(layer, r2, layer.out_channels, layer.out_size)
