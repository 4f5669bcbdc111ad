"""The operations that a device runs for layers of Rankline's own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import keras

from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix
from rankline.src.dse.devices.operations import Channels, Operation, plain_operation


def own_operations(layer: keras.Layer, entries: int, given: Sequence[int], made: Sequence[int]) -> list[Operation]:
    """Those of a layer of Rankline, as of the link that it stands for; none for any other layer.

    entries: how many entries of the batch one sample makes; given, made: the shapes of one entry that goes in and that
    comes out, without the batch axis.
    """
    if isinstance(layer, DepthwiseAlongAxis):
        taps, channels = layer.kernel.shape
        kind = "3-D own along axis" if len(given) > 3 else "own along axis"
        before, after = (entries * prod(shape) // channels for shape in (given, made))
        return [plain_operation(kind, taps, before, after, channels)]
    if isinstance(layer, TTMatrix):
        return list(_cores(layer, entries * prod(made) // layer.units))
    return []


def _cores(layer: TTMatrix, positions: int) -> Sequence[Operation]:
    """The last core first."""
    found, outputs, inputs = [], 1, prod(layer.input_modes)
    for core in reversed(layer.cores):
        left, m, n, right = core.shape
        inputs //= n
        places = positions * inputs * outputs
        found.append(Operation("core", 1, places, places, Channels(right * n), Channels(left * m)))
        outputs *= m
    return found
