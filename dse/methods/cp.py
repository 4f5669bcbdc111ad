"""CP: a 1x1 convolution to r channels, one depthwise convolution per spatial axis, a 1x1 to the outputs.

Lebedev et al., "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition", ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from rankline.src.dse.chain import Link, along_axes, depthwise, first_sizes, pointwise
from rankline.src.dse.formula import Formula
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.method import Method, spatial_only
from rankline.src.dse.symbols import axis_symbols, layer_symbols, rank_symbols, sizes_along


class CP(Method):
    name = "cp"
    title = "CP"

    def refuses(self, layer: Layer) -> str | None:
        return spatial_only(self.title, layer)

    def formula(self, axes: int) -> Formula:
        import sympy as sp

        C, F, T = layer_symbols()
        kernel, _, _ = axis_symbols(axes)
        (r,) = ranks = rank_symbols(1)
        x, *after = (T * size for size in sizes_along(axes))
        return Formula(
            params=r * (C + sum(kernel) + F),
            fm=x * r + sum(s * r for s in after) + after[-1] * F,
            macs=x * C * r + sum(s * k * r for s, k in zip(after, kernel, strict=True)) + after[-1] * F * r,
            ranks=ranks,
            caps=(prod(kernel) * sp.Min(C, F),),
        )

    def factors(self, axes: int, shape: str | None = None) -> int:
        return axes + 2

    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        (r,) = ranks
        yield pointwise(layer, layer.in_channels, r, first_sizes(layer))
        for kernel, sizes in along_axes(layer):
            yield depthwise(kernel, r, sizes)
        yield pointwise(layer, r, layer.out_channels, layer.out_size)
