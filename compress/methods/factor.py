"""One layer of the chain that replaces a factorized layer, and the weights it gets once it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorly as tl
from numpy.typing import NDArray

from compress.methods.tensor import Tensor

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Factor:
    """A new Keras layer, and its weights in the order of ``layer.get_weights()``.

    The layer is not built yet: call it on its input, then ``layer.set_weights(weights)``.
    """

    layer: keras.Layer
    weights: list[NDArray[Any]]


def geometry(layer: keras.Layer) -> dict[str, Any]:
    """How a layer moves over its input: strides, padding and dilation of a convolution, {} of a dense layer."""
    names = ("strides", "padding", "dilation_rate")
    return {name: getattr(layer, name) for name in names if hasattr(layer, name)}


def linear_factor(original: keras.Layer, name: str, kernel: Tensor, moves: Mapping[str, Any] | None = None) -> Factor:
    """A factor inside the chain: no bias, no activation.

    original: the Conv1D/2D/3D or Dense that is replaced; the factor is of the same class, data format, dtype
    policy and trainability. kernel: (K_1, .., K_d, in, out), or a matrix (in, out), which on a convolution is a
    1x1. moves: strides, padding and dilation as ``geometry`` gives them (default: one position at a time).
    """
    return _factor(original, name, kernel, {**(moves or {}), "use_bias": False})


def last_factor(original: keras.Layer, name: str, kernel: Tensor, moves: Mapping[str, Any] | None = None) -> Factor:
    """The factor that ends the chain: as ``linear_factor``, with the original's bias and activation.

    What acts on the output or the bias stays. The kernel's regularizer and constraint are dropped, here and in
    every factor: they were set for the entries of the whole kernel, and say something else about factors.
    """
    settings, weights = ending(original)
    factor = _factor(original, name, kernel, {**(moves or {}), **settings})
    return Factor(factor.layer, [*factor.weights, *weights])


def ending(original: keras.Layer) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """The settings of bias and activation that the last factor takes over, and the weights that go with them."""
    import keras

    activation, inner = original.activation, []
    if isinstance(original.activation, keras.Layer):
        activation = type(original.activation).from_config(original.activation.get_config())
        if inner := original.activation.get_weights():
            # A graph doesn't build it: the layer's own build ignores its activation.
            activation.build_from_config(original.activation.get_build_config())
    settings = {
        "use_bias": original.use_bias,
        "activation": activation,
        "bias_initializer": original.bias_initializer,
        "bias_regularizer": original.bias_regularizer,
        "bias_constraint": original.bias_constraint,
        "activity_regularizer": original.activity_regularizer,
    }
    bias = [keras.ops.convert_to_numpy(original.bias)] if original.use_bias else []
    return settings, [*bias, *inner]


def _factor(original: keras.Layer, name: str, kernel: Tensor, config: dict[str, Any]) -> Factor:
    import keras

    array = np.asarray(tl.to_numpy(kernel))
    common = {"name": name, "dtype": original.dtype_policy, "trainable": original.trainable, **config}
    if isinstance(original, keras.layers.Dense):
        return Factor(keras.layers.Dense(array.shape[-1], **common), [array])
    axes = len(original.kernel_size)
    if array.ndim == 2:
        array = array.reshape((1,) * axes + array.shape)
    convolution = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)[axes - 1]
    layer = convolution(array.shape[-1], array.shape[:-2], data_format=original.data_format, **common)
    return Factor(layer, [array])
