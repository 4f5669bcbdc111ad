"""Keras models of chains, made as a factorized model is: from the methods' own layers, with random weights."""

from __future__ import annotations

from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.deploy.chains import Chain
from rankline.src.compress.methods import get
from rankline.src.compress.methods.factor import Factor
from rankline.src.dse.chain import CORE
from rankline.src.dse.layer import Layer

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
POOLINGS = {"maxpooling2d": keras.layers.MaxPooling2D, "averagepooling2d": keras.layers.AveragePooling2D}
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def chain_model(chain: Chain, batch: int, seed: int = 0, turned: bool = False) -> keras.Model:
    """A model of the chain alone, with a bias and a ReLU at its end, for a batch of fixed size.

    turned: its maps come and leave with channels first, and are turned for it, as within a network of a runtime that
    keeps them so.
    """
    rng = np.random.default_rng(seed)
    layer = chain.layer
    size = layer.in_size or ((layer.positions,) if layer.positions > 1 else ())
    axes = len(size)
    shape = (layer.in_channels, *size) if turned else (*size, layer.in_channels)
    given = x = keras.Input(batch_shape=(batch, *shape))
    if turned:
        x = keras.layers.Permute((*range(2, axes + 2), 1), name=f"{layer.name}_last")(x)
    for factor in _factors(chain, x.shape, rng):
        x = factor.layer([x, x] if layer.kind == "add" else x)
        factor.layer.set_weights(factor.weights)
    if turned:
        x = keras.layers.Permute((axes + 1, *range(1, axes + 1)), name=f"{layer.name}_first")(x)
    return keras.Model(given, x)


def _factors(chain: Chain, shape: tuple[int | None, ...], rng: np.random.Generator) -> list[Factor]:
    """The layers of the chain, with random weights of the factors' shapes: their time doesn't depend on the values."""
    original = _keras_layer(chain.layer)
    if chain.configuration is None:
        if chain.layer.kind != "add":
            original.build(shape)
        return [Factor(original, [_random(tuple(weight.shape), rng) for weight in original.weights])]
    original.kernel_initializer = keras.initializers.Zeros()  # which is drawn at once; only its shape matters
    original.build(shape)
    factors = [_random(link.weights, rng) for link in chain.links()]
    if chain.links()[0].kind == CORE:
        factors.reverse()  # the last core is the first that a sample passes through
    return get(chain.configuration.method).factor_layers(original, factors)


def _keras_layer(layer: Layer) -> keras.Layer:
    """The layer as Keras has it, not built."""
    common = {"name": layer.name, "activation": "relu"}
    if layer.kind == "dense":
        return keras.layers.Dense(layer.out_channels, **common)
    moves = {"strides": layer.strides, "padding": layer.padding, **common}
    if layer.kind == "add":
        return keras.layers.Add(name=layer.name)
    if layer.kind in POOLINGS:
        return POOLINGS[layer.kind](layer.kernel, layer.strides, layer.padding, name=layer.name)
    if layer.kept_because:
        return DEPTHWISE[layer.dimensions - 1](layer.kernel, **moves)
    return CONVOLUTIONS[layer.dimensions - 1](layer.out_channels, layer.kernel, **moves)


def _random(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Values that keep maps of one scale, so that none become too small for a processor's quick path."""
    inputs = max(1, prod(shape[:-1]))
    values: NDArray[Any] = rng.standard_normal(shape) / inputs**0.5
    return values.astype("float32")
