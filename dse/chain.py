"""The chain of factors that replaces a layer: the shapes of the factors' weights and feature maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

from rankline.src.dse.cost import Cost, total
from rankline.src.dse.layer import Layer

CONVOLUTION, DEPTHWISE, CORE = "convolution", "depthwise", "core"
"""The kinds of links: channels mixed under a kernel, each channel by itself, and a core of a TT-matrix."""


@dataclass(frozen=True)
class Link:
    """One factor: its operation and kind, the shape of its ``weights``, and its feature map's ``sizes`` and
    ``channels``.

    weights: (*kernel, inputs, outputs), (*kernel, channels) of a depthwise link, (left rank, m, n, right rank) of a
    core.
    """

    operation: str
    kind: str
    weights: tuple[int, ...]
    sizes: tuple[int, ...]
    channels: int

    @property
    def params(self) -> int:
        """Number of weights, without biases."""
        return prod(self.weights)

    def cost(self, positions: int = 1) -> Cost:
        """Params, feature-map elements and FLOPs of one sample that passes through it ``positions`` times."""
        places = positions * prod(self.sizes)
        return Cost(self.params, places * self.channels, 2 * places * self.params)


def cost_of(chain: Iterable[Link], positions: int = 1) -> Cost:
    """The total cost of all factors."""
    return total(link.cost(positions) for link in chain)


def whole(layer: Layer) -> Link:
    """The original layer as a single link."""
    return convolution(layer.kernel, layer.in_channels, layer.out_channels, layer.out_size)


def convolution(kernel: tuple[int, ...], inputs: int, outputs: int, sizes: tuple[int, ...]) -> Link:
    """A convolution, or a dense layer if the kernel has no axes."""
    name = f"{'×'.join(map(str, kernel))} convolution" if kernel else "dense"
    return Link(name, CONVOLUTION, (*kernel, inputs, outputs), sizes, outputs)


def pointwise(layer: Layer, inputs: int, outputs: int, sizes: tuple[int, ...]) -> Link:
    """A factor that only mixes channels: a convolution of kernel size 1 along every axis, or a dense layer."""
    return convolution((1,) * layer.dimensions, inputs, outputs, sizes)


def depthwise(kernel: tuple[int, ...], channels: int, sizes: tuple[int, ...]) -> Link:
    """A convolution of each channel with its own kernel."""
    return Link(f"depthwise {'×'.join(map(str, kernel))}", DEPTHWISE, (*kernel, channels), sizes, channels)


def first_sizes(layer: Layer) -> tuple[int, ...]:
    """The feature map's sizes after a factor that only mixes channels.

    This factor takes the strides of the axes that have no factor of their own.
    """
    pairs = zip(layer.kernel, layer.in_size, layer.out_size, strict=True)
    return tuple(after if taps == 1 else before for taps, before, after in pairs)


def along_axes(layer: Layer) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each axis with a kernel size above 1: a kernel along it alone, and the feature map's sizes after it."""
    sizes = list(first_sizes(layer))
    for axis, taps in enumerate(layer.kernel):
        if taps > 1:
            sizes[axis] = layer.out_size[axis]
            yield tuple(taps if j == axis else 1 for j in range(layer.dimensions)), tuple(sizes)
