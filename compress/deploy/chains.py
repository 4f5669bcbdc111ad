"""The layers and chains that a device is measured on: random ones, of the sizes that networks have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod

import numpy as np

from rankline.src.compress.methods import get
from rankline.src.dse import methods
from rankline.src.dse.chain import Link, whole
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.device import Measured
from rankline.src.dse.devices.operations import Operation
from rankline.src.dse.layer import Layer, conv, conv_out_size, dense, layer_from
from rankline.src.dse.methods.t3f import shape_text, tensor_shapes
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import layer_shape

FULL, QUICK = 360, 80
"""Numbers of chains."""

TILE = 16
"""Ranks are multiples of it for runtimes that pad."""

MOST_RANK, MOST_T3F_RANK = 256, 32

MOST_MACS = 6e7
MOST_ELEMENTS = 1e6
MOST_WEIGHTS = 1.2e6
"""Of one chain, for one sample."""

Random = np.random.Generator


@dataclass(frozen=True)
class Chain:
    """A layer, or the chain that replaces it (with a configuration)."""

    layer: Layer
    configuration: Configuration | None = None

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """What a device runs."""
        return self.timed(1).operations

    @property
    def form(self) -> str:
        """What kind of chain it is, for people: ``tucker of a 2-D convolution``."""
        axes = f"{self.layer.dimensions}-D "
        what = {"conv": f"{axes}convolution", "dense": "dense layer"}.get(self.layer.kind, self.layer.kind)
        if self.layer.kernel and self.layer.is_pointwise:
            what = f"{axes}1x1 convolution"
        if self.configuration and "own along axis" in " ".join(one.kind for one in self.operations):
            what += " with a layer of Rankline's own"
        return f"{self.configuration.method} of a {what}" if self.configuration else what

    @property
    def needs_channels_last(self) -> bool:
        """Whether it multiplies maps by matrices, for which a runtime that keeps channels first turns them around."""
        return self.layer.dimensions > 0 and any(one.kind == "core" for one in self.operations)

    def timed(self, picoseconds: int) -> Measured:
        """The chain and its time."""
        return Measured(self.layer, self.configuration, picoseconds)

    def links(self) -> list[Link]:
        """The factors; the layer itself as the only one where it is not factorized."""
        one = self.configuration
        if one is None:
            return [whole(self.layer)]
        return list(methods.get(one.method).chain(self.layer, one.ranks, one.shape))

    @property
    def fits(self) -> bool:
        """Whether it is small enough to be measured beside hundreds of others."""
        links, layer = self.links(), self.layer
        if layer.kept_because:
            places, weights = prod(layer.out_size), layer.kernel_elements * layer.in_channels
            return places * weights <= MOST_MACS and prod(layer.in_size) * layer.in_channels <= MOST_ELEMENTS
        maps = [prod(link.sizes) * link.channels for link in links]
        given = layer.positions * prod(layer.in_size) * layer.in_channels
        macs = sum(layer.positions * prod(link.sizes) * link.params for link in links)
        weights = sum(link.params for link in links)
        return macs <= MOST_MACS and max(given, *maps) <= MOST_ELEMENTS and weights <= MOST_WEIGHTS


@dataclass(frozen=True)
class Form:
    """How often a form of chain is among all, relative to the others, and how its layer is drawn."""

    share: float
    method: str | None
    layer: Callable[[Random, Channels], Layer]


Channels = tuple[int, int]


def chains(number: int, pads: bool, seed: int = 0) -> list[Chain]:
    """About ``number`` different chains of every form, some of each at least, in a fixed order for a seed.

    pads: ranks are multiples of TILE, as they are in models that were written for such a runtime.
    """
    rng = np.random.default_rng(seed)
    total = sum(form.share for form in FORMS)
    found: dict[Chain, Chain] = {}
    for form in FORMS:
        least = LEAST - (form.method is not None)
        for j in range(max(least, round(number * form.share / total))):
            style = STYLES[j % len(STYLES)]
            drawn = next(one for one in _drawn(rng, form, style, pads) if one not in found)
            found[drawn] = replace(drawn, layer=replace(drawn.layer, name=f"c{len(found)}"))
    return list(found.values())


STYLES = ("whole", "few", "odd", "few odd", "whole", "eights", "whole", "whole", "few", "eights", "whole")
"""How channels are counted, in turn: in whole tiles mostly. The first LEAST are those that a runtime may tell apart."""

LEAST = 4
"""The fewest layers of a form; of a chain, whose factors other forms have too, one less is enough."""


def _drawn(rng: Random, form: Form, style: str, pads: bool) -> Iterator[Chain]:
    """Chains of a form that are not too large, without end."""
    while True:
        layer = form.layer(rng, _channels(rng, style))
        if form.method is None:
            chain = Chain(layer)
        elif methods.get(form.method).refuses(layer):
            continue
        else:
            chain = Chain(layer, _configuration(rng, layer, form.method, pads))
        if chain.fits:
            yield chain


def _channels(rng: Random, style: str) -> Channels:
    """Inputs and outputs of a style."""

    def whole() -> int:
        return 16 * round(2 ** rng.uniform(0, 5))

    outputs = whole() if "odd" not in style else 4 * _between(rng, 4, 40) + int(rng.integers(1, 4))
    if style == "eights":
        return 8 * _between(rng, 2, 40), 8 * _between(rng, 2, 40)
    if "few" in style:
        return int(rng.choice([1, 2, 3, 3, 3, 4, 6, 8, 12])), outputs
    inputs = whole() if style == "whole" or rng.random() < 0.5 else _between(rng, 17, 200)
    return inputs, outputs


def _between(rng: Random, low: int, high: int) -> int:
    """A whole number whose logarithm is uniform."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _configuration(rng: Random, layer: Layer, method: str, pads: bool) -> Configuration:
    """Ranks with uniform logarithms, within the layer's caps; the next multiples of TILE for a runtime that pads."""
    shape, most = None, MOST_RANK
    if method == "t3f":
        shapes = list(tensor_shapes(layer.out_channels, layer.in_channels, Options()))
        shape, most, pads = shape_text(*shapes[int(rng.integers(len(shapes)))]), MOST_T3F_RANK, False
    caps = get(method).caps(layer_shape(layer), shape)
    ranks = tuple(min(cap, _between(rng, 1, most)) for cap in caps)
    return Configuration(method, tuple(-(-rank // TILE) * TILE for rank in ranks) if pads else ranks, shape)


NAME = "layer"


def _conv2(rng: Random, channels: Channels, stride: float = 0.15) -> Layer:
    size = int(rng.choice([4, 7, 8, 8, 14, 16, 16, 28, 32, 32, 56]))
    kernel = (int(rng.choice([3, 3, 3, 3, 5, 7])),) * 2
    return conv(NAME, kernel, *channels, (size, size), 2 if rng.random() < stride else 1)


def _strided2(rng: Random, channels: Channels) -> Layer:
    return _conv2(rng, channels, stride=1.0)


def _point2(rng: Random, channels: Channels) -> Layer:
    size = int(rng.choice([4, 7, 8, 14, 16, 28, 32, 56]))
    return conv(NAME, (1, 1), *channels, (size, size), 2 if rng.random() < 0.15 else 1)


def _conv1(rng: Random, channels: Channels) -> Layer:
    kernel, stride = int(rng.choice([3, 3, 5, 9])), 2 if rng.random() < 0.15 else 1
    return conv(NAME, (kernel,), *channels, (_between(rng, 16, 2048),), stride)


def _conv3(rng: Random, channels: Channels) -> Layer:
    size = int(rng.choice([4, 6, 8, 12, 16, 24]))
    return conv(NAME, (3, 3, 3), *channels, (size,) * 3, 2 if rng.random() < 0.15 else 1)


def _dense(rng: Random, channels: Channels) -> Layer:
    _, outputs = channels
    return dense(NAME, _between(rng, 16, 2048), outputs)


def _tokens(rng: Random, channels: Channels) -> Layer:
    return dense(NAME, *channels, positions=_between(rng, 16, 256))


def _depthwise2(rng: Random, channels: Channels) -> Layer:
    size, kernel = int(rng.choice([4, 7, 8, 14, 16, 28, 32, 56])), int(rng.choice([3, 3, 3, 5]))
    return _kept((kernel, kernel), channels[1], (size, size), 2 if rng.random() < 0.25 else 1)


def _depthwise1(rng: Random, channels: Channels) -> Layer:
    return _kept((int(rng.choice([3, 5])),), channels[1], (_between(rng, 16, 1024),), 1)


def _add(rng: Random, channels: Channels) -> Layer:
    size = int(rng.choice([4, 8, 14, 16, 28, 32, 56]))
    return _kept((1, 1), channels[1], (size, size), 1, "add")


def _pooling(rng: Random, channels: Channels, kind: str) -> Layer:
    size, pool = int(rng.choice([4, 8, 14, 16, 28, 32, 56])), int(rng.choice([2, 2, 2, 3]))
    return _kept((pool, pool), channels[1], (size, size), 2, kind)


def _kept(kernel: tuple[int, ...], channels: int, size: tuple[int, ...], stride: int, kind: str = "") -> Layer:
    """A layer that works on each channel by itself, by default a depthwise convolution, as a network's kept ones."""
    entry = {
        "name": NAME,
        "kind": kind or f"depthwiseconv{len(kernel)}d",
        "kernel": kernel,
        "in_channels": channels,
        "out_channels": channels,
        "in_size": size,
        "out_size": [conv_out_size(x, k, stride, "same") for x, k in zip(size, kernel, strict=True)],
        "strides": [stride] * len(kernel),
        "padding": "same",
        "groups": channels,
        "kept_because": "it works on each channel by itself",
    }
    return layer_from(entry)


FORMS = (
    Form(12, None, _conv2),
    Form(10, None, _point2),
    Form(7, None, _depthwise2),
    Form(12, "tucker", _conv2),
    Form(10, "cp", _conv2),
    Form(4, "cp", _strided2),
    Form(8, "tt", _conv2),
    Form(8, "svd", _conv2),
    Form(12, "spatial_svd", _conv2),
    Form(7, "svd", _point2),
    Form(2, "t3f", _point2),
    Form(6, None, _dense),
    Form(4, "svd", _dense),
    Form(2, "t3f", _dense),
    Form(1, None, _tokens),
    Form(1, "svd", _tokens),
    Form(2, None, _conv1),
    Form(1, "tucker", _conv1),
    Form(1, "cp", _conv1),
    Form(1, None, _depthwise1),
    Form(4, None, _add),
    Form(3, None, partial(_pooling, kind="maxpooling2d")),
    Form(2, None, partial(_pooling, kind="averagepooling2d")),
    Form(3, None, _conv3),
    Form(1.5, "tucker", _conv3),
    Form(2, "cp", _conv3),
    Form(2, "tt", _conv3),
)
"""Mostly 2-D convolutions and their chains, which most networks are made of."""
