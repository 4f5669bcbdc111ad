"""The operations that a device runs for a layer or its chain of factors, with the ranks left open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from rankline.src.dse import methods
from rankline.src.dse.chain import CORE, DEPTHWISE, Link, whole
from rankline.src.dse.layer import Layer
from rankline.src.dse.symbols import LayerShape

KINDS = (
    "pointwise",
    "convolution",
    "along axis",
    "depthwise",
    "depthwise along axis",
    "own along axis",
    "dense",
    "core",
    "elementwise",
    "max pooling",
    "average pooling",
)
"""What operations are told apart by; on a layer with three spatial axes each is a kind of its own (``3-D ..``)."""


KEPT_KINDS = {
    "depthwise": "depthwise",
    "add": "elementwise",
    "maxpooling": "max pooling",
    "averagepooling": "average pooling",
}
"""The kind of operation of kept layers, by what is in the name of their Keras class."""


@dataclass(frozen=True)
class Channels:
    """A number of channels: ``count`` times the rank of index ``rank``, or ``count`` alone (None)."""

    count: int
    rank: int | None = None

    def __mul__(self, other: int) -> Channels:
        return Channels(self.count * other, self.rank)


@dataclass(frozen=True)
class Operation:
    """One layer of a chain, for one sample.

    - ``kind``: one of KINDS, perhaps after ``3-D``
    - ``taps``: elements of its kernel for one pair of channels
    - ``in_places``, ``out_places``: positions of the feature maps that it reads and makes
    - ``inputs``, ``outputs``: their channels; equal if each channel is convolved by itself
    """

    kind: str
    taps: int
    in_places: int
    out_places: int
    inputs: Channels
    outputs: Channels

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is convolved by itself."""
        return any(word in self.kind for word in ("depthwise", "own", "elementwise", "pooling"))


@lru_cache(maxsize=4096)
def original_operations(shape: LayerShape) -> tuple[Operation, ...]:
    """The operation of the layer as it is."""
    layer = _layer_of(shape)
    return tuple(_operations(layer, [whole(layer)]))


def chain_operations(shape: LayerShape, method: str, n_ranks: int, tensor_shape: str | None) -> tuple[Operation, ...]:
    """The operations of a method's chain. tensor_shape: T3F's, otherwise None."""
    layer = _layer_of(shape)
    ranks: Any = tuple(Channels(1, j) for j in range(n_ranks))
    return tuple(_operations(layer, methods.get(method).chain(layer, ranks, tensor_shape)))


def kept_operation(layer: Layer) -> Operation | None:
    """The operation of a layer that is kept as it is, an addition or a pooling; None where that is none of KINDS."""
    kind = next((kind for name, kind in KEPT_KINDS.items() if name in layer.kind), None)
    if kind is None or not layer.in_size or not layer.out_size:
        return None
    if kind == "depthwise" and len(layer.kernel) > 1 and sum(size > 1 for size in layer.kernel) == 1:
        kind = "depthwise along axis"  # as a factor of a chain
    before, after = (layer.positions * prod(size) for size in (layer.in_size, layer.out_size))
    return plain_operation(kind, prod(layer.kernel), before * (1 + (layer.kind == "add")), after, layer.out_channels)


def plain_operation(kind: str, taps: int, in_places: int, out_places: int, channels: int) -> Operation:
    """An operation that works on each channel by itself, without open ranks."""
    return Operation(kind, taps, in_places, out_places, Channels(channels), Channels(channels))


def _layer_of(shape: LayerShape) -> Layer:
    """A layer of that shape."""
    return Layer(
        name="",
        kind="conv" if shape.axes else "dense",
        in_channels=shape.in_channels,
        out_channels=shape.out_channels,
        kernel=shape.kernel,
        in_size=shape.in_size,
        out_size=shape.out_size,
        positions=shape.positions,
    )


def _operations(layer: Layer, chain: Iterable[Link]) -> Iterator[Operation]:
    sizes = layer.in_size
    for link in chain:
        places = layer.positions * prod(link.sizes)
        if link.kind == CORE:
            left, m, n, right = link.weights
            yield Operation("core", 1, places, places, _channels(right) * n, _channels(left) * m)
            continue
        before = layer.positions * prod(sizes)
        if link.kind == DEPTHWISE:
            *kernel, channels = link.weights
            inputs = outputs = _channels(channels)
            kind = (
                "own along axis" if len(kernel) > 2 or _strided(kernel, sizes, link.sizes) else "depthwise along axis"
            )
        else:
            *kernel, given, made = link.weights
            inputs, outputs = _channels(given), _channels(made)
            kind = _kind(kernel, places)
        yield Operation(_named(kind, layer), prod(kernel), before, places, inputs, outputs)
        sizes = link.sizes


def _channels(number: Any) -> Channels:
    return number if isinstance(number, Channels) else Channels(number)


def _kind(kernel: list[int], places: int) -> str:
    tapped = sum(size > 1 for size in kernel)
    if tapped:
        return "convolution" if tapped > 1 else "along axis"
    return "pointwise" if places > 1 else "dense"


def _strided(kernel: list[int], before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a link has a stride along an axis, in which case Keras has no stock layer for a depthwise one in 2-D."""
    return len(kernel) > 1 and any(2 * b <= a + 1 for a, b in zip(before, after, strict=True))


def _named(kind: str, layer: Layer) -> str:
    return f"3-D {kind}" if layer.dimensions > 2 and kind != "dense" else kind
