"""Spatial SVD: a K_1 x 1 convolution to r channels, then 1 x K_2 to the outputs.

Jaderberg et al., "Speeding up Convolutional Neural Networks with Low Rank Expansions", BMVC 2014, scheme 2.
"""

from __future__ import annotations

from collections.abc import Iterator

from rankline.src.dse.chain import Link, along_axes, convolution
from rankline.src.dse.formula import Formula, chain_caps
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.method import Method
from rankline.src.dse.symbols import axis_symbols, layer_symbols, rank_symbols, sizes_along


class SpatialSVD(Method):
    name = "spatial_svd"
    title = "Spatial SVD"

    def refuses(self, layer: Layer) -> str | None:
        if layer.kind == "conv" and sum(size > 1 for size in layer.kernel) == 2:
            return None
        return "spatial SVD needs a convolution with exactly two kernel sizes above 1; use SVD"

    def formula(self, axes: int) -> Formula:
        C, F, T = layer_symbols()
        (k1, k2), _, _ = axis_symbols(axes)
        (r,) = ranks = rank_symbols(1)
        _, middle, out = (T * size for size in sizes_along(axes))
        modes = (k1 * C, k2 * F)
        return Formula(
            params=r * (k1 * C + k2 * F),
            fm=middle * r + out * F,
            macs=middle * k1 * C * r + out * k2 * F * r,
            ranks=ranks,
            caps=chain_caps(modes),
            modes=modes,
        )

    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        channels = (layer.in_channels, *ranks, layer.out_channels)
        for j, (kernel, sizes) in enumerate(along_axes(layer)):
            yield convolution(kernel, channels[j], channels[j + 1], sizes)
