"""TT: a tensor train over the modes (C, K_1..K_d, F), each spatial core a convolution along one axis.

Oseledets, "Tensor-Train Decomposition", SIAM J. Sci. Comput. 33(5), 2011, for the format.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rankline.src.dse.chain import Link, along_axes, convolution, first_sizes, pointwise
from rankline.src.dse.formula import Formula, chain_caps
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.method import Method, spatial_only
from rankline.src.dse.symbols import axis_symbols, layer_symbols, rank_symbols, sizes_along


class TT(Method):
    name = "tt"
    title = "TT"

    def refuses(self, layer: Layer) -> str | None:
        return spatial_only(self.title, layer)

    def formula(self, axes: int) -> Formula:
        C, F, T = layer_symbols()
        kernel, _, _ = axis_symbols(axes)
        ranks = rank_symbols(axes + 1)
        x, *after = (T * size for size in sizes_along(axes))
        cores = [k * left * right for k, left, right in zip(kernel, ranks, ranks[1:], strict=False)]
        modes = (C, *kernel, F)
        return Formula(
            params=C * ranks[0] + sum(cores) + ranks[-1] * F,
            fm=x * ranks[0] + sum(s * r for s, r in zip(after, ranks[1:], strict=True)) + after[-1] * F,
            macs=x * C * ranks[0]
            + sum(s * core for s, core in zip(after, cores, strict=True))
            + after[-1] * F * ranks[-1],
            ranks=ranks,
            caps=chain_caps(modes),
            modes=modes,
        )

    def factors(self, axes: int, shape: str | None = None) -> int:
        return axes + 2

    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        yield pointwise(layer, layer.in_channels, ranks[0], first_sizes(layer))
        for (kernel, sizes), (left, right) in zip(along_axes(layer), pairwise(ranks), strict=True):
            yield convolution(kernel, left, right, sizes)
        yield pointwise(layer, ranks[-1], layer.out_channels, layer.out_size)
