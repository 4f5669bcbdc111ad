"""The channels of every feature map in a model, and which of them can only be removed together.

Every filter's output is a channel, followed from layer to layer along the last axis: pooling keeps it, a Flatten
repeats it at every position, a concatenation puts channels side by side, and a sum ties the channels it adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rankline.src.dse.keras_model.graph import Call, trace

Channels = NDArray[np.int64]
"""The numbers of the channels along one axis."""

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.SeparableConv1D, layers.SeparableConv2D)


@dataclass(frozen=True)
class ChannelMap:
    """Where the channels of a model are, and which are tied.

    group: of each channel; channels of one group are removed together. kept_because: the reason, for each group that
    must stay. axes: the channels along the axes of each weight, by the weight's id. widths: the channels whose number
    is in a layer's config, by the layer's id. filters: the channels made by a layer's filters or dense units, by path.
    refused: why other layers with filters can't be analysed, by path.
    """

    group: Channels
    kept_because: Mapping[int, str]
    axes: Mapping[int, Mapping[int, Channels]]
    widths: Mapping[int, Channels]
    filters: Mapping[str, Channels]
    refused: Mapping[str, str]


def channel_map(model: keras.Model) -> ChannelMap:
    """The channels of a functional or Sequential model. Raises UserError if its graph isn't known."""
    return _Walk().through(trace(model))


class _RefusedError(Exception):
    """The reason why the channels that go into a layer can't be removed."""


class _Walk:
    """Walks through a model's calls in order and collects the channels."""

    def __init__(self) -> None:
        self.count = 0
        self.frozen: dict[int, str] = {}
        self.ties: list[tuple[Channels, Channels]] = []
        self.axes: dict[int, dict[int, Channels]] = {}
        self.widths: dict[int, Channels] = {}
        self.filters: dict[str, Channels] = {}
        self.refused: dict[str, str] = {}

    def through(self, calls: Sequence[Call]) -> ChannelMap:
        outputs: list[Channels] = []
        for call in calls:
            outputs.append(self._after(call, calls, outputs))
            if call.is_output:
                self.freeze(outputs[-1], "gives an output of the model")
            if getattr(call.layer, "activation", None) not in (None, *ACTIVATIONS):
                self.freeze(outputs[-1], f"goes through the activation of '{call.path}', which may mix channels")
        # A shared layer may be refused at one call and accepted at another.
        for call in (call for call in calls if call.path in self.refused):
            for channels in (one for weight in call.layer.weights for one in self.axes.get(id(weight), {}).values()):
                self.freeze(channels, self.refused[call.path])
        one, other = np.concatenate([np.empty((2, 0), np.int64), *map(np.stack, self.ties)], axis=1)
        graph = coo_array((np.ones(len(one)), (one, other)), shape=(self.count, self.count))
        group = connected_components(graph, directed=False)[1].astype(np.int64)
        kept_because: dict[int, str] = {}
        for channel in sorted(self.frozen):
            kept_because.setdefault(int(group[channel]), self.frozen[channel])
        return ChannelMap(group, kept_because, self.axes, self.widths, self.filters, self.refused)

    def new(self, count: int, kept_because: str | None = None) -> Channels:
        """Channels not seen before."""
        channels = np.arange(self.count, self.count + count)
        self.count += count
        if kept_because:
            self.freeze(channels, kept_because)
        return channels

    def freeze(self, channels: Channels, reason: str) -> None:
        for channel in channels.tolist():
            self.frozen.setdefault(channel, reason)

    def tie(self, one: Channels, other: Channels) -> None:
        self.ties.append((one, other))

    def index(self, weight: Any, axis: int, channels: Channels) -> None:
        """Notes the channels along an axis of a weight; ties them to those of a shared layer's earlier calls."""
        self.tie(channels, self.axes.setdefault(id(weight), {}).setdefault(axis, channels))

    def filter(self, call: Call, kernel: Any) -> Channels:
        """The new channels that the filters of a kernel (.., C, F) make."""
        channels = self.new(kernel.shape[-1])
        self.index(kernel, -1, channels)
        if call.layer.use_bias:
            self.index(call.layer.bias, 0, channels)
        self.widths.setdefault(id(call.layer), channels)
        self.filters.setdefault(call.path, channels)
        return channels

    def _after(self, call: Call, calls: Sequence[Call], outputs: Sequence[Channels]) -> Channels:
        """The channels of a call's output; they and those of its inputs are frozen if the call has no rule."""
        if not call.inputs:
            return self.new(call.out_shapes[0][-1] or 0, f"is tied to the model's input '{call.path}'")
        inputs = [outputs[source] for source in call.inputs]
        try:
            if any(len(calls[source].out_shapes) > 1 for source in call.inputs):
                raise _RefusedError("takes one of several outputs of a layer")
            return _rule(call)(self, call, inputs)
        except _RefusedError as refusal:
            for channels in inputs:
                self.freeze(channels, f"feeds '{call.path}', which {refusal}")
            if type(call.layer) in (*CONVOLUTIONS, layers.Dense):
                self.refused.setdefault(call.path, str(refusal))
            width = call.out_shapes[0][-1] if call.out_shapes[0] else 0
            return self.new(width or 0, f"is tied to what comes from '{call.path}', which {refusal}")


Rule = Callable[[_Walk, Call, Sequence[Channels]], Channels]
"""Follows the channels of a call's inputs; returns those of its output. Raises _RefusedError."""


def _rule(call: Call) -> Rule:
    layer = call.layer
    if "/" in call.path:
        raise _RefusedError("is in a nested model; prune that model by itself")
    if getattr(layer, "data_format", None) == "channels_first":
        raise _RefusedError("has its channels first")
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        raise _RefusedError("is quantized or has LoRA")
    rule = LAYERS.get(type(layer)) if isinstance(layer, keras.Layer) else OPERATIONS.get(type(layer).__name__)
    if rule is None:
        raise _RefusedError(f"is a {type(layer).__name__}, through which channels aren't followed")
    return rule


def _weighted(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    if getattr(call.layer, "groups", 1) > 1:
        raise _RefusedError(f"is a grouped convolution (groups {call.layer.groups})")
    walk.index(call.layer.kernel, -2, inputs[0])
    return walk.filter(call, call.layer.kernel)


def _depthwise(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    walk.index(call.layer.kernel, -2, inputs[0])
    channels = np.repeat(inputs[0], call.layer.depth_multiplier)
    if call.layer.use_bias:
        walk.index(call.layer.bias, 0, channels)
    return channels


def _separable(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    layer = call.layer
    walk.index(layer.depthwise_kernel, -2, inputs[0])
    walk.index(layer.pointwise_kernel, -2, np.repeat(inputs[0], layer.depth_multiplier))
    return walk.filter(call, layer.pointwise_kernel)


def _normalized(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    if call.layer.axis not in (-1, len(call.in_shapes[0])):
        raise _RefusedError("normalizes another axis than the last")
    for weight in call.layer.weights:
        walk.index(weight, 0, inputs[0])
    return inputs[0]


def _sloped(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    """PReLU, whose slopes may be shared along any axis."""
    if call.layer.alpha.shape[-1] == len(inputs[0]):
        walk.index(call.layer.alpha, -1, inputs[0])
    return inputs[0]


def _alone(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    """Layers that act on each channel separately."""
    noise_shape = getattr(call.layer, "noise_shape", None)
    if noise_shape and noise_shape[-1] not in (None, 1):
        raise _RefusedError("has a noise_shape that states the number of channels")
    return inputs[0]


def _merged(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    """Elementwise sums, products and the like; an input of one channel may be broadcast over the others."""
    if len(inputs) < 2:
        raise _RefusedError("merges a constant")
    widest = max(inputs, key=len)
    for channels in inputs:
        if len(channels) == len(widest):
            walk.tie(channels, widest)
        elif len(channels) == 1:
            walk.freeze(channels, f"is broadcast by '{call.path}'")
        else:
            raise _RefusedError("merges inputs of unknown size")
    return widest


def _concatenated(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    if call.layer.axis in (-1, len(call.in_shapes[0])):
        return np.concatenate(inputs)
    return _merged(walk, call, inputs)


def _reshaped(walk: _Walk, call: Call, inputs: Sequence[Channels]) -> Channels:
    """Flatten and Reshape: channels vary fastest in memory, so a last axis of k C elements repeats them k times."""
    width, channels = call.out_shapes[0][-1], inputs[0]
    if not width or not len(channels) or width % len(channels):
        raise _RefusedError("splits the channels or has unknown sizes")
    repeated = np.tile(channels, width // len(channels))
    if isinstance(call.layer, layers.Reshape):
        walk.widths.setdefault(id(call.layer), repeated)
    return repeated


AXES = ("1D", "2D", "3D")
ALONE = (
    "Activation", "ActivityRegularization", "AlphaDropout", "Dropout", "ELU", "GaussianDropout", "GaussianNoise",
    "Identity", "LeakyReLU", "ReLU",
    *(f"SpatialDropout{axes}" for axes in AXES), *(f"ZeroPadding{axes}" for axes in AXES),
    *(f"Cropping{axes}" for axes in AXES), *(f"UpSampling{axes}" for axes in AXES),
    *(f"{kind}{axes}" for kind in ("MaxPooling", "AveragePooling") for axes in AXES),
    *(f"Global{kind}{axes}" for kind in ("MaxPooling", "AveragePooling") for axes in AXES),
)  # fmt: skip

ACTIVATIONS = [
    getattr(keras.activations, name)
    for name in (
        "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
        "linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus",
        "softsign", "tanh", "tanh_shrink",
    )
]  # fmt: skip

LAYERS: dict[type, Rule] = {
    **dict.fromkeys((layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D), _weighted),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    layers.BatchNormalization: _normalized,
    layers.PReLU: _sloped,
    **dict.fromkeys((getattr(layers, name) for name in ALONE), _alone),
    **dict.fromkeys(
        (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum), _merged
    ),
    layers.Concatenate: _concatenated,
    **dict.fromkeys((layers.Flatten, layers.Reshape), _reshaped),
}

OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(("Relu", "Relu6", "Sigmoid", "Silu", "Tanh", "Gelu"), _alone),
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Maximum", "Minimum"), _merged),
    "Concatenate": _concatenated,
}
