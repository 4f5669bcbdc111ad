"""The factors that a factorized layer is a chain of: the shapes of their weights and of their feature maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

from rankline.src.dse.cost import Cost, total
from rankline.src.dse.layer import Layer


@dataclass(frozen=True)
class Link:
    """One factor: what it does, the shape of its ``weights``, and its feature map of ``sizes`` and ``channels``."""

    operation: str
    weights: tuple[int, ...]
    sizes: tuple[int, ...]
    channels: int

    @property
    def params(self) -> int:
        """Its weights, without biases."""
        return prod(self.weights)

    def cost(self, positions: int = 1) -> Cost:
        """Its params, feature-map elements and FLOPs of one sample that passes ``positions`` times."""
        places = positions * prod(self.sizes)
        return Cost(self.params, places * self.channels, 2 * places * self.params)


def cost_of(chain: Iterable[Link], positions: int = 1) -> Cost:
    """The cost of all factors together."""
    return total(link.cost(positions) for link in chain)


def whole(layer: Layer) -> Link:
    """The layer as it is."""
    return convolution(layer.kernel, layer.in_channels, layer.out_channels, layer.out_size)


def convolution(kernel: tuple[int, ...], inputs: int, outputs: int, sizes: tuple[int, ...]) -> Link:
    """A convolution, or where the kernel has no axis a dense layer."""
    name = f"{'×'.join(map(str, kernel))} convolution" if kernel else "dense"
    return Link(name, (*kernel, inputs, outputs), sizes, outputs)


def pointwise(layer: Layer, inputs: int, outputs: int, sizes: tuple[int, ...]) -> Link:
    """A factor that mixes channels alone: a convolution of kernel 1 in every axis, or a dense layer."""
    return convolution((1,) * layer.dimensions, inputs, outputs, sizes)


def depthwise(kernel: tuple[int, ...], channels: int, sizes: tuple[int, ...]) -> Link:
    """A convolution of each channel by its own."""
    return Link(f"depthwise {'×'.join(map(str, kernel))}", (*kernel, channels), sizes, channels)


def first_sizes(layer: Layer) -> tuple[int, ...]:
    """The feature map's sizes after a factor that mixes channels alone: it takes the strides of the axes that have no
    factor of their own."""
    pairs = zip(layer.kernel, layer.in_size, layer.out_size, strict=True)
    return tuple(after if taps == 1 else before for taps, before, after in pairs)


def along_axes(layer: Layer) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each axis whose kernel is larger than 1: a kernel along it alone, and the sizes of the feature map after
    it."""
    sizes = list(first_sizes(layer))
    for axis, taps in enumerate(layer.kernel):
        if taps > 1:
            sizes[axis] = layer.out_size[axis]
            yield tuple(taps if j == axis else 1 for j in range(layer.dimensions)), tuple(sizes)
