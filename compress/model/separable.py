"""Separable convolutions as the two layers that they consist of, so that the pointwise one can be factorized.

``sep`` becomes a nested model of that name, with the layers that a reader lists: ``sep/depthwise``, ``sep/pointwise``.
"""

from __future__ import annotations

from collections.abc import Collection

import keras

from rankline.src.compress.methods.factor import Factor, geometry, last_factor
from rankline.src.compress.model.rebuild import copied, leaves, rebuilt
from rankline.src.dse.keras_model.reader import has_other_weights, has_own_call


def split(model: keras.Model, parts: Collection[str] | None = None) -> keras.Model:
    """The model with separable convolutions split into two layers each; outputs and costs are the same.

    parts: the paths of parts, such as "outer/sep/pointwise", whose convolutions are split; by default, all are. Returns
    the model itself if there is nothing to split, otherwise a new one that is not compiled. Raises UserError for a
    model that is not a graph or not built.
    """
    layers = dict(leaves(model))
    owners = set(layers) if parts is None else {part.rpartition("/")[0] for part in parts}
    found = [layer for path, layer in layers.items() if path in owners and _is_separable(layer)]
    if not found:
        return model
    chains = {id(layer): [copied(layer)] for layer in layers.values() if layer not in found}
    return rebuilt(model, chains | {id(layer): [_split(layer)] for layer in found})


def _is_separable(layer: keras.Layer) -> bool:
    kinds = keras.layers.SeparableConv1D | keras.layers.SeparableConv2D
    return isinstance(layer, kinds) and not has_own_call(layer) and not has_other_weights(layer)


def _split(layer: keras.Layer) -> Factor:
    """A separable convolution as a model of two layers."""
    depthwise, pointwise = (keras.ops.convert_to_numpy(one) for one in (layer.depthwise_kernel, layer.pointwise_kernel))
    axes, channels = len(layer.kernel_size), depthwise.shape[-2]
    first = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)[axes - 1](
        layer.kernel_size,
        depth_multiplier=layer.depth_multiplier,
        data_format=layer.data_format,
        use_bias=False,
        depthwise_initializer=layer.depthwise_initializer,
        depthwise_regularizer=layer.depthwise_regularizer,
        depthwise_constraint=layer.depthwise_constraint,
        name="depthwise",
        dtype=layer.dtype_policy,
        trainable=layer.trainable,
        **geometry(layer),
    )
    settings = {
        f"kernel_{what}": getattr(layer, f"pointwise_{what}") for what in ("initializer", "regularizer", "constraint")
    }
    second = last_factor(layer, "pointwise", pointwise, settings)
    any_size = (None,) * axes
    shape = (channels, *any_size) if layer.data_format == "channels_first" else (*any_size, channels)
    start = keras.Input(shape, dtype=layer.compute_dtype)
    model = keras.Sequential([start, first, second.layer], name=layer.name)
    return Factor(model, [depthwise, *second.weights])
