"""What a chain that runs alone pays at its ends, and a chain within a network doesn't.

A runtime that works in blocks of channels turns maps into them when they come in, and back when they leave. It is
measured on stacks of equal layers: of one layer and of three, which have the same ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from statistics import median

import keras

from rankline.src.compress.deploy.chains import TILE, Chain
from rankline.src.dse.devices.latency import LatencyModel

SIZES = ((32, 16), (64, 16), (16, 56), (64, 32), (32, 56))
"""Channels, and positions along both axes, of the layers that are stacked."""

ONE, MORE = 1, 3
"""Layers in a stack."""

Stack = tuple[int, int, int]
"""Channels, positions along an axis, and layers."""

STACKS: tuple[Stack, ...] = tuple((*size, layers) for size in SIZES for layers in (ONE, MORE))


def stack_model(stack: Stack, batch: int) -> keras.Model:
    """Pointwise layers one after the other, for a batch of fixed size."""
    channels, size, layers = stack
    given = x = keras.Input(batch_shape=(batch, size, size, channels))
    for number in range(layers):
        name = f"stack_{channels}_{size}_{layers}_{number}"
        x = keras.layers.Conv2D(channels, 1, activation="relu", name=name)(x)
    return keras.Model(given, x)


def cost_at_ends(times: Mapping[Stack, int]) -> float:
    """Picoseconds for an element that comes in or leaves: the slope of what is left of a stack without its layers.

    The median over all pairs of sizes (Theil, "A rank-invariant method of linear and polynomial regression analysis",
    1950), or zero if it is below.
    """
    left = []
    for channels, size in SIZES:
        one, more = times[channels, size, ONE], times[channels, size, MORE]
        left.append((2 * channels * size**2, one - (more - one) / (MORE - ONE)))
    return max(0.0, median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(left, 2)))


def elements_at_ends(chain: Chain) -> int:
    """How many elements of one sample are turned at both ends: those of maps with whole blocks of channels."""
    layer = chain.layer
    if layer.dimensions != 2 or chain.needs_channels_last:
        return 0
    first, last = chain.operations[0], chain.operations[-1]
    kinds = [LatencyModel("", TILE, True, 0, ()).kind_of(one) for one in (first, last)]
    given = 0 if "few" in kinds[0] or "odd" in kinds[0] else first.in_places * layer.in_channels
    return given + (0 if "odd" in kinds[1] else last.out_places * layer.out_channels)
