"""The layers of a network that are fitted to data, each with the BatchNorm, residual sum and ReLU that follow it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from rankline.src.compress.fit.covariance import LARGEST_PATCH, patches
from rankline.src.compress.model.duplicate import duplicate
from rankline.src.compress.model.surgery import refusal_of
from rankline.src.dse.keras_model.graph import Call, places_of, users_of

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FittedLayer:
    """A layer whose outputs, before its activation, can be fitted to those of the original.

    calls: its indices among the network's calls; a shared layer has several, and is fitted to all at once;
    normalization: the BatchNorm that is the only user of its outputs at each of them; ends: the calls that give its
    outputs, before its own activation: those of the BatchNorm, or its own; add: the index of the residual sum, of maps
    of equal shape, that is the only user after the end of a layer with one call; relu: whether a ReLU is the only user
    of the result. linear: the layer without its activation.
    """

    path: str
    layer: keras.Layer
    calls: tuple[int, ...]
    ends: tuple[int, ...]
    normalization: keras.Layer | None
    add: int | None
    relu: bool
    linear: keras.Layer

    @property
    def is_centred(self) -> bool:
        """Whether a bias can take up the means, so that the weights needn't fit them."""
        return self.normalization is not None or bool(self.layer.use_bias)

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
    circular = _circular(calls)
    return {call.path: reason for call in calls if (reason := _reason(call.layer, circular)) is not None}


def _reason(layer: keras.Layer, circular: Collection[int]) -> str | None:
    if (refused := refusal_of(layer)) is not None:
        return f"it {refused}"
    if id(layer) in circular:
        return "it is called several times, and one call gets what depends on another"
    if (dimensions := prod(layer.kernel.shape[:-1])) > LARGEST_PATCH:
        return f"its patches have {dimensions:,} dimensions, and layers are fitted up to {LARGEST_PATCH:,}"
    return None


def _circular(calls: Sequence[Call]) -> set[int]:
    """The identities of layers that can't be fitted to all their calls at once, because a call needs the fit.

    They are on a cycle of the graph in which each layer that can be factorized is one node, whatever its calls.
    """
    places = places_of(calls)
    node = [places[id(call.layer)][0] if refusal_of(call.layer) is None else index for index, call in enumerate(calls)]
    edges = [(node[source], node[index]) for index, call in enumerate(calls) for source in call.inputs]
    sources, targets = np.array(edges, int).reshape(-1, 2).T
    graph = csr_array((np.ones(len(edges)), (sources, targets)), shape=(len(calls), len(calls)))
    component = connected_components(graph, connection="strong")[1]
    sizes = np.bincount(component)
    to_itself = {source for source, target in edges if source == target}
    return {id(calls[index].layer) for index in set(node) if sizes[component[index]] > 1 or index in to_itself}


def fitted_layers_of(calls: Sequence[Call]) -> dict[str, FittedLayer]:
    """The fitted layers by path, that of a layer's first call, in the order of ``calls`` (see ``graph.trace``).

    They are all layers that can be factorized, with patches of at most LARGEST_PATCH dimensions, unless one of a
    layer's calls depends on another; ``out_of_reach`` gives the reasons for the others.
    """
    users = users_of(calls)
    places, circular = places_of(calls), _circular(calls)
    return {
        calls[own[0]].path: _fitted_layer(calls, users, places, own)
        for own in places.values()
        if _reason(calls[own[0]].layer, circular) is None
    }


def _fitted_layer(
    calls: Sequence[Call], users: dict[int, list[int]], places: dict[int, list[int]], own: list[int]
) -> FittedLayer:
    layer, ends = calls[own[0]].layer, own
    norm = add = None
    active = layer.activation not in (None, keras.activations.linear)
    relu = layer.activation is keras.activations.relu or is_relu(layer.activation)
    if not active:
        after = [_only_user(calls, users, index) for index in own]
        following = None if after[0] is None else calls[after[0]].layer
        if following is not None and _folds(following, layer) and places[id(following)] == after:
            norm, ends = following, places[id(following)]
            after = [_only_user(calls, users, index) for index in ends]
        if len(own) == 1 and after[0] is not None and _is_sum(calls[after[0]]):
            add = after[0]
            after = [_only_user(calls, users, add)]
        relu = all(index is not None and is_relu(calls[index].layer) for index in after)
    linear = _linear(calls[own[0]]) if active else layer
    return FittedLayer(calls[own[0]].path, layer, tuple(own), tuple(ends), norm, add, relu, linear)


def _is_sum(call: Call) -> bool:
    """Whether a call is a residual sum of maps of equal shape."""
    return type(call.layer) is keras.layers.Add and len(set(call.in_shapes)) == 1


def _only_user(calls: Sequence[Call], users: dict[int, list[int]], index: int) -> int | None:
    return users[index][0] if len(users[index]) == 1 and not calls[index].is_output else None


def _folds(norm: keras.Layer, layer: keras.Layer) -> bool:
    """Whether ``norm`` is a BatchNorm over the channels of the layer's outputs."""
    if type(norm) is not keras.layers.BatchNormalization:
        return False
    if getattr(layer, "data_format", None) == "channels_first":
        return bool(norm.axis == 1)
    return bool(norm.axis == -1 or norm.axis == len(norm.output.shape) - 1)


def is_relu(layer: keras.Layer) -> bool:
    """Whether a layer is a plain ReLU."""
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
