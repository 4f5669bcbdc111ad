"""The layers of a network that are fitted to data, each with the BatchNorm, residual sum and ReLU that follow it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.covariance import LARGEST_PATCH, patches
from rankline.src.compress.model.duplicate import duplicate
from rankline.src.compress.model.surgery import refusal_of
from rankline.src.dse.keras_model.graph import Call

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FittedLayer:
    """A layer whose outputs, before its activation, can be fitted to those of the original.

    call: its index among the network's calls; norm: the index of the BatchNorm that is the only user of its outputs;
    add: that of the residual sum, of maps of equal shape, that is the only user after that; relu: whether a ReLU is
    the only user of the result. linear: the layer without its activation.
    """

    path: str
    layer: keras.Layer
    call: int
    norm: int | None
    normalization: keras.Layer | None
    add: int | None
    relu: bool
    linear: keras.Layer

    @property
    def end(self) -> int:
        """The call that gives the layer's outputs, before its own activation."""
        return self.call if self.norm is None else self.norm

    @property
    def is_centred(self) -> bool:
        """Whether a bias can take up the means, so that the weights needn't fit them."""
        return self.norm is not None or bool(self.layer.use_bias)

    @property
    def first_channels(self) -> bool:
        """Whether the layer's maps have their channels first."""
        return getattr(self.layer, "data_format", None) == "channels_first"

    @property
    def weights_shape(self) -> tuple[int, int]:
        """(K C, F): the dimensions of a patch, and the outputs."""
        *inputs, outputs = self.layer.kernel.shape
        return prod(inputs), int(outputs)

    def scale(self) -> Reals:
        """(F,): the BatchNorm's factor for each output; ones without a BatchNorm."""
        norm = self.normalization
        outputs = self.layer.kernel.shape[-1]
        if norm is None:
            return np.ones(outputs)
        variance = np.asarray(keras.ops.convert_to_numpy(norm.moving_variance), np.float64)
        gamma = np.asarray(keras.ops.convert_to_numpy(norm.gamma), np.float64) if norm.scale else np.ones(outputs)
        return np.asarray(gamma / np.sqrt(variance + norm.epsilon))

    def kernel(self) -> Reals:
        """(K C, F): the weights, with the BatchNorm's scale folded in."""
        return self.raw_kernel() * self.scale()

    def raw_kernel(self) -> Reals:
        """(K C, F): the layer's own weights."""
        kernel = np.asarray(keras.ops.convert_to_numpy(self.layer.kernel), np.float64)
        return kernel.reshape(-1, kernel.shape[-1])

    def whole(self, x: Any) -> Any:
        """The outputs for an input map, after the BatchNorm and before any activation."""
        y = self.linear(x)
        return y if self.normalization is None else self.normalization(y, training=False)

    def positions(self, shape: Sequence[int]) -> int:
        """The number of positions in a map of this shape, over the whole batch."""
        return prod(shape) // int(self.layer.kernel.shape[-1])

    def inputs(self, x: NDArray[Any]) -> NDArray[Any]:
        """A view of an input map (batch, ..) as its patches (batch, positions .., K_1, .., K_d, C)."""
        return patches(self.layer, _floats(x))

    def outputs(self, y: NDArray[Any]) -> NDArray[Any]:
        """An output map (batch, ..) with its channels last."""
        return np.moveaxis(_floats(y), 1, -1) if self.first_channels else _floats(y)

    def map_of(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """The output map in the layer's data format, from ``outputs`` with channels last."""
        return np.moveaxis(outputs, -1, 1) if self.first_channels else outputs


def _floats(x: NDArray[Any]) -> NDArray[Any]:
    """As float32 or better: sums in half precision would lose digits."""
    return x if x.dtype == np.float64 else np.asarray(x, np.float32)


def out_of_reach(calls: Sequence[Call]) -> dict[str, str]:
    """Why layers cannot be fitted, by path."""
    uses = Counter(id(call.layer) for call in calls)
    return {call.path: reason for call in calls if (reason := _reason(call.layer, uses)) is not None}


def _reason(layer: keras.Layer, uses: Counter[int]) -> str | None:
    if (refused := refusal_of(layer)) is not None:
        return f"it {refused}"
    if uses[id(layer)] > 1:
        return f"it is called at {uses[id(layer)]} places, and only layers that are called once are fitted"
    if (dimensions := prod(layer.kernel.shape[:-1])) > LARGEST_PATCH:
        return f"its patches have {dimensions:,} dimensions, and layers are fitted up to {LARGEST_PATCH:,}"
    return None


def fitted_layers_of(calls: Sequence[Call]) -> dict[str, FittedLayer]:
    """The fitted layers by path, in the order of ``calls`` (see ``graph.trace``): every layer that can be factorized
    and is called once, with patches of at most LARGEST_PATCH dimensions; ``out_of_reach`` gives the reasons for the
    others."""
    users: dict[int, list[int]] = {index: [] for index in range(len(calls))}
    for index, call in enumerate(calls):
        for source in call.inputs:
            users[source].append(index)
    uses = Counter(id(call.layer) for call in calls)
    found = {}
    for index, call in enumerate(calls):
        if _reason(call.layer, uses) is None:
            found[call.path] = _fitted_layer(calls, users, uses, index)
    return found


def _fitted_layer(calls: Sequence[Call], users: dict[int, list[int]], uses: Counter[int], index: int) -> FittedLayer:
    layer = calls[index].layer
    own = layer.activation not in (None, keras.activations.linear)
    norm = add = None
    relu = layer.activation is keras.activations.relu or _is_relu(layer.activation)
    if not own:
        after = _only_user(calls, users, index)
        if after is not None and _folds(calls[after].layer, layer) and uses[id(calls[after].layer)] == 1:
            norm = after
            after = _only_user(calls, users, norm)
        if after is not None and type(calls[after].layer) is keras.layers.Add and len(set(calls[after].in_shapes)) == 1:
            add = after
            after = _only_user(calls, users, add)
        relu = after is not None and _is_relu(calls[after].layer)
    normalization = None if norm is None else calls[norm].layer
    return FittedLayer(
        calls[index].path, layer, index, norm, normalization, add, relu, _linear(calls[index]) if own else layer
    )


def _only_user(calls: Sequence[Call], users: dict[int, list[int]], index: int) -> int | None:
    return users[index][0] if len(users[index]) == 1 and not calls[index].is_output else None


def _folds(norm: keras.Layer, layer: keras.Layer) -> bool:
    """Whether ``norm`` is a BatchNorm over the channels of the layer's outputs."""
    if type(norm) is not keras.layers.BatchNormalization:
        return False
    if getattr(layer, "data_format", None) == "channels_first":
        return bool(norm.axis == 1)
    return bool(norm.axis == -1 or norm.axis == len(norm.output.shape) - 1)


def _is_relu(layer: keras.Layer) -> bool:
    if type(layer) is keras.layers.ReLU:
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return type(layer) is keras.layers.Activation and layer.activation is keras.activations.relu


def _linear(call: Call) -> keras.Layer:
    """A copy of a call's layer with its weights, but without its activation."""
    layer = call.layer
    copy = duplicate(layer)
    copy.activation = keras.activations.linear
    copy.build((None, *call.in_shapes[0]))
    copy.set_weights(layer.get_weights()[: 1 + bool(layer.use_bias)])
    return copy
