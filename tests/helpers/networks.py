"""Tiny functional networks with every way in which layers stand to each other, for fits to data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.plan import Plan

layers = keras.layers

SVD, SPATIAL, TUCKER = Configuration("svd", (3,)), Configuration("spatial_svd", (4,)), Configuration("tucker", (3, 4))


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with weights of the size that training gives, so that maps neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        shape, name = variable.shape, variable.name
        if name == "kernel":
            variable.assign(rng.standard_normal(shape) * (1.5 / np.sqrt(np.prod(shape[:-1]))))
        elif name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif name in ("bias", "beta", "moving_mean"):
            variable.assign(0.3 * rng.standard_normal(shape))
    return model


def conv(x: Any, name: str, filters: int = 6, **more: Any) -> Any:
    return layers.Conv2D(filters, 3, padding="same", name=name, **more)(x)


def normed(x: Any, name: str, filters: int = 6, **more: Any) -> Any:
    """A convolution without bias and its BatchNorm."""
    return layers.BatchNormalization(name=f"{name}_bn", **more)(conv(x, name, filters, use_bias=False))


def sequential() -> keras.Model:
    chain = [
        layers.Conv2D(6, 3, padding="same", activation="relu", name="a"),
        layers.Conv2D(6, 3, strides=2, padding="same", name="b"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(8, activation="tanh", name="c"),
        layers.Dense(5, activation="softmax", name="d"),
    ]
    return keras.Sequential([keras.Input((6, 6, 4)), *chain])


def identity() -> keras.Model:
    """Residual sums with what comes in."""
    x = inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(normed(x, "a"))
    y = normed(layers.ReLU()(normed(x, "b")), "c")
    x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.GlobalAveragePooling2D()(x)))


def projection() -> keras.Model:
    """A residual sum of two layers' outputs."""
    x = inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(normed(x, "a"))
    short = layers.BatchNormalization(name="p_bn")(layers.Conv2D(6, 1, strides=2, use_bias=False, name="p")(x))
    y = layers.BatchNormalization(name="b_bn")(conv(x, "b", strides=2, use_bias=False))
    x = layers.ReLU()(layers.Add()([y, short]))
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x)))


def branches() -> keras.Model:
    """Two branches that are put side by side, and pooled beside them."""
    inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(conv(inputs, "a"))
    left, right = layers.Activation("relu")(conv(x, "b", 4)), layers.Conv2D(4, 1, activation="relu", name="c")(x)
    pooled = layers.AveragePooling2D(2, strides=1, padding="same")(x)
    x = layers.Concatenate()([left, right, pooled])
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(layers.ReLU()(conv(x, "e")))))


def bare() -> keras.Model:
    """Neither biases nor BatchNorm."""
    x = inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(conv(x, "a", use_bias=False))
    x = layers.ReLU()(conv(x, "b", use_bias=False))
    return keras.Model(inputs, layers.Dense(5, use_bias=False, name="d")(layers.Flatten()(x)))


def unscaled() -> keras.Model:
    """BatchNorm without scale, without center, and without both."""
    x = inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(normed(x, "a", scale=False))
    x = layers.ReLU()(normed(x, "b", center=False))
    x = layers.ReLU()(normed(x, "c", center=False, scale=False))
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x)))


def before_the_activation() -> keras.Model:
    """BatchNorm behind an activation, and with a bias in front of it."""
    x = inputs = keras.Input((6, 6, 4))
    x = layers.BatchNormalization(name="n1")(conv(x, "a", activation="relu"))
    x = layers.ReLU()(layers.BatchNormalization(name="n2")(conv(x, "b")))
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x)))


def tokens() -> keras.Model:
    """Dense layers on a token axis, with a residual sum and LayerNorm."""
    inputs = keras.Input((7, 8))
    x = layers.Dense(8, name="a")(inputs)
    y = layers.Dense(8, name="c")(layers.Dense(12, activation="gelu", name="b")(layers.LayerNormalization()(x)))
    x = layers.LayerNormalization()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.GlobalAveragePooling1D()(x)))


def sound() -> keras.Model:
    """One axis: causal, dilated, and strided."""
    x = inputs = keras.Input((16, 4))
    x = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu", name="a")(x)
    x = layers.Conv1D(6, 4, strides=2, padding="causal", activation="relu", name="b")(x)
    x = layers.Conv1D(6, 3, padding="valid", activation="relu", name="c")(x)
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x)))


def volume() -> keras.Model:
    """Three axes."""
    x = inputs = keras.Input((5, 4, 4, 3))
    x = layers.Conv3D(6, (3, 2, 2), padding="same", use_bias=False, name="a")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="a_bn")(x))
    x = layers.Conv3D(6, 2, strides=(2, 1, 1), activation="relu", name="b")(x)
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x)))


def spaced() -> keras.Model:
    """Strides, dilation and no padding in two axes."""
    x = inputs = keras.Input((9, 10, 3))
    x = layers.Conv2D(6, (3, 2), dilation_rate=2, padding="same", activation="relu", name="a")(x)
    x = layers.Conv2D(6, 3, strides=(1, 2), padding="valid", activation="relu", name="b")(x)
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x)))


def inner() -> keras.Model:
    """A nested model."""
    x = inside = keras.Input((6, 6, 4))
    x = layers.ReLU()(normed(x, "a"))
    backbone = keras.Model(inside, layers.ReLU()(normed(x, "b")), name="backbone")
    inputs = keras.Input((6, 6, 4))
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(backbone(inputs))))


def shared() -> keras.Model:
    """Two inputs through one layer, then through layers of their own."""
    left, right = keras.Input((6, 6, 4), name="left"), keras.Input((6, 6, 4), name="right")
    both = layers.Conv2D(6, 3, padding="same", activation="relu", name="s")
    x, y = conv(both(left), "a", activation="relu"), conv(both(right), "b", activation="relu")
    x = layers.Flatten()(layers.Concatenate()([x, y]))
    return keras.Model([left, right], layers.Dense(5, name="d")(x))


def siamese() -> keras.Model:
    """Two inputs through one nested model, with BatchNorm, and compared."""
    left, right = keras.Input((6, 6, 4), name="left"), keras.Input((6, 6, 4), name="right")
    inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(normed(inputs, "a"))
    x = layers.Flatten()(conv(x, "b", strides=2, activation="relu"))
    base = keras.Model(inputs, layers.Dense(8, name="c")(x), name="base")
    return keras.Model([left, right], layers.Dense(5, name="d")(keras.ops.abs(base(left) - base(right))))


def operations() -> keras.Model:
    """Bare operations, one input twice in one sum, and two outputs."""
    inputs = keras.Input((6, 6, 4))
    x = keras.ops.relu(conv(inputs, "a"))
    x = layers.Add()([x, x])
    first, second = keras.ops.split(conv(x, "b"), 2, axis=-1)
    x = layers.Flatten()(keras.ops.relu(second) * 2.0 + first)
    outputs = layers.Dense(5, activation="softmax", name="d")(x), layers.Dense(2, name="e")(x)
    return keras.Model(inputs, list(outputs))


def gated() -> keras.Model:
    """Channels that are told by a small network how much to pass, and one that adds to all positions."""
    inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(conv(inputs, "a"))
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(6, 1, activation="sigmoid", name="g")(pooled)
    x = layers.Multiply()([x, gate])
    x = layers.ReLU()(layers.Add()([conv(x, "b"), layers.Conv2D(6, 1, name="h")(pooled)]))
    return keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x)))


def one_norm_for_two() -> keras.Model:
    """A BatchNorm behind two layers."""
    left, right = keras.Input((6, 6, 4)), keras.Input((6, 6, 4))
    norm = layers.BatchNormalization(name="n")
    x = layers.Concatenate()([norm(conv(left, "a", use_bias=False)), norm(conv(right, "b", use_bias=False))])
    return keras.Model([left, right], layers.Dense(5, name="d")(layers.Flatten()(layers.ReLU()(x))))


NETWORKS: dict[str, tuple[Callable[[], keras.Model], Plan]] = {
    "sequential": (sequential, {"a": SVD, "b": SPATIAL, "c": SVD, "d": SVD}),
    "identity": (identity, {"a": TUCKER, "b": SVD, "c": SPATIAL}),
    "projection": (projection, {"a": SVD, "b": TUCKER, "p": SVD}),
    "branches": (branches, {"a": SVD, "b": TUCKER, "c": SVD, "e": SPATIAL}),
    "bare": (bare, {"a": SVD, "b": TUCKER, "d": SVD}),
    "unscaled": (unscaled, {"a": SVD, "b": SPATIAL, "c": TUCKER}),
    "before the activation": (before_the_activation, {"a": SVD, "b": SPATIAL}),
    "tokens": (tokens, {"a": SVD, "b": SVD, "c": SVD}),
    "sound": (sound, {"a": SVD, "b": TUCKER, "c": SVD}),
    "volume": (volume, {"a": SVD, "b": TUCKER}),
    "spaced": (spaced, {"a": Configuration("spatial_svd", (3,)), "b": TUCKER}),
    "inner": (inner, {"backbone/a": TUCKER, "backbone/b": SVD}),
    "shared": (shared, {"s": SVD, "a": TUCKER, "b": SVD}),
    "siamese": (siamese, {"base/a": SVD, "base/b": TUCKER, "base/c": SVD}),
    "operations": (operations, {"a": SVD, "b": TUCKER, "d": SVD}),
    "gated": (gated, {"a": SVD, "g": SVD, "b": SVD, "h": SVD}),
    "one norm for two": (one_norm_for_two, {"a": SVD, "b": SVD}),
}


def network(kind: str) -> tuple[keras.Model, Plan]:
    build, plan = NETWORKS[kind]
    keras.utils.set_random_seed(0)
    return randomized(build()), plan


def samples_of(model: keras.Model, count: int = 120, seed: int = 1) -> list[NDArray[np.float32]]:
    """Samples whose neighbouring positions and channels are alike, an array for each input."""
    rng = np.random.default_rng(seed)
    found = []
    for tensor in model.inputs:
        *sizes, channels = tensor.shape[1:]
        x = rng.standard_normal((count, *sizes, channels))
        for axis in range(1, len(sizes) + 1):
            x = x.cumsum(axis=axis) / np.sqrt(sizes[axis - 1])
        mix = rng.standard_normal((channels, channels)) * 0.7 ** np.arange(channels)
        found.append((1.5 * x @ mix + 0.3).astype(np.float32))
    return found


def outputs_of(model: keras.Model, samples: Sequence[NDArray[Any]], training: bool = False) -> list[NDArray[Any]]:
    """What the model makes of samples, an array for each of its outputs."""
    given = [keras.ops.convert_to_tensor(one) for one in samples]
    found = model(given if len(given) > 1 else given[0], training=training)
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(found)]


def distance(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> float:
    """The root mean squared difference of outputs, relative to the other's spread over the samples."""
    parts = [float(((a - b) ** 2).mean() / b.var(axis=0).mean()) for a, b in zip(one, other, strict=True)]
    return float(np.sqrt(np.mean(parts)))
