"""One layer of the chain that replaces a factorized layer, and its weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorly as tl
from numpy.typing import NDArray

from rankline.src.compress.methods.numerics.tensor import Tensor

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Factor:
    """A new Keras layer, and its weights in the order of ``layer.get_weights()``.

    The layer is not built yet: call it on its input, then ``layer.set_weights(weights)``.
    """

    layer: keras.Layer
    weights: list[NDArray[Any]]


def geometry(layer: keras.Layer, axes: Collection[int] | None = None) -> dict[str, Any]:
    """A layer's strides, padding and dilation if it is a convolution; {} for a dense layer.

    axes: the spatial axes that keep their strides and dilation (default: all); the others get 1. Padding acts on each
    axis separately, so that factors along single axes see the same borders.
    """
    names = ("strides", "padding", "dilation_rate")
    moves = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    for name in ("strides", "dilation_rate"):
        if axes is not None and name in moves:
            moves[name] = tuple(step if axis in axes else 1 for axis, step in enumerate(moves[name]))
    return moves


def spatial_axes(layer: keras.Layer) -> tuple[list[int], list[int]]:
    """The spatial axes of a convolution that have a factor, and those without one (kernel size 1).

    A stride on the latter is taken by the first factor: the input is subsampled before anything is computed. Padding
    never adds positions there, so they are those of the original layer.
    """
    sizes = list(enumerate(layer.kernel_size))
    return [axis for axis, size in sizes if size > 1], [axis for axis, size in sizes if size == 1]


def placed(core: Tensor, axis: int, axes: int) -> Tensor:
    """A core (K_j, ..) as the kernel (1, .., K_j, .., 1, ..) of a convolution along one of ``axes`` spatial axes."""
    size, *rest = tl.shape(core)
    return tl.reshape(core, (*(size if j == axis else 1 for j in range(axes)), *rest))


def linear_factor(original: keras.Layer, name: str, kernel: Tensor, moves: Mapping[str, Any] | None = None) -> Factor:
    """An inner factor of the chain, without bias and activation.

    original: the Conv1D/2D/3D or Dense that is replaced; the factor has its class, data format, dtype policy and
        trainability.
    kernel: (K_1, .., K_d, in, out), or a matrix (in, out), which becomes a 1x1 convolution if the original is one.
    moves: strides, padding and dilation as ``geometry`` returns them (default: strides and dilation 1).
    """
    return _factor(original, name, kernel, {**(moves or {}), "use_bias": False})


def is_stock_depthwise(original: keras.Layer, axis: int) -> bool:
    """Whether a stock Keras layer can convolve each channel along one axis of the original on all backends.

    There is none in 3-D or with causal padding, and TensorFlow's kernels refuse unequal strides in 2-D (only oneDNN's,
    on some processors, take them).
    """
    moves, axes = geometry(original, [axis]), len(original.kernel_size)
    return axes < 3 and moves["padding"] != "causal" and (axes == 1 or moves["strides"] == (1, 1))


def depthwise_factor(original: keras.Layer, name: str, kernel: Tensor, axis: int) -> Factor:
    """An inner factor that convolves each channel by itself along one spatial axis of the original.

    kernel: (1, .., K_j, .., 1, channels). A stock Keras layer where ``is_stock_depthwise``.
    """
    import keras

    array = np.asarray(tl.to_numpy(kernel))
    *sizes, channels = array.shape
    moves = geometry(original, [axis])
    common = {
        "name": name,
        "dtype": original.dtype_policy,
        "trainable": original.trainable,
        "data_format": original.data_format,
    }
    if not is_stock_depthwise(original, axis):
        from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis

        steps = {key: moves[key][axis] for key in ("strides", "dilation_rate")}
        own = DepthwiseAlongAxis(axis, sizes[axis], padding=moves["padding"], **steps, **common)
        return Factor(own, [array.reshape(sizes[axis], channels)])
    stock = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)[len(sizes) - 1]
    return Factor(stock(tuple(sizes), use_bias=False, **moves, **common), [array[..., None]])


def last_factor(original: keras.Layer, name: str, kernel: Tensor, moves: Mapping[str, Any] | None = None) -> Factor:
    """The last factor of the chain: like ``linear_factor``, with the original's bias and activation.

    Whatever acts on the output or the bias is kept. The kernel's regularizer and constraint are dropped, here and in
    every factor: they were set for the entries of the whole kernel, and mean something else for factors.
    """
    settings, weights = ending(original)
    factor = _factor(original, name, kernel, {**(moves or {}), **settings})
    return Factor(factor.layer, [*factor.weights, *weights])


def ending(original: keras.Layer) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """The bias and activation settings that the last factor takes over, and their weights."""
    import keras

    activation, inner = original.activation, []
    if isinstance(original.activation, keras.Layer):
        activation = type(original.activation).from_config(original.activation.get_config())
        if inner := original.activation.get_weights():
            # The graph does not build it, since a layer's build ignores its activation.
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
