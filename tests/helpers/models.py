"""Small models of every kind of graph, with plans, and what they compute."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.plan import Plan
from tests.helpers.chains import polynomials

layers = keras.layers

TUCKER, SVD = Configuration("tucker", (2, 3)), Configuration("svd", (2,))
CP, TT, SPATIAL = Configuration("cp", (5,)), Configuration("tt", (2, 3, 2)), Configuration("spatial_svd", (3,))


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with every weight random, BatchNorm statistics included (positive, for variances)."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1.0, weight.shape) for weight in model.get_weights()])
    return model


def sequential() -> keras.Model:
    return randomized(
        keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1"),
                layers.BatchNormalization(name="norm"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(5, activation="softmax", name="predictions"),
            ],
            name="plain",
        )
    )


def residual() -> keras.Model:
    """Two inputs, two outputs, a branch, a residual sum, bare operations and an inner call argument."""
    image, vector = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="vector")
    x = layers.Conv2D(6, 3, padding="same", name="conv1")(image)
    y = layers.Conv2D(6, 3, padding="same", name="conv2")(layers.BatchNormalization(name="norm")(x, training=False))
    x = keras.ops.relu(x + y) * 2.0
    x = layers.Conv2D(4, 1, strides=2, name="shortcut")(x)
    x = keras.ops.reshape(x[:, 1:, :, :], (-1, 3 * 4 * 4))
    x = layers.Concatenate()([x, vector])
    outputs = {"a": layers.Dense(3, name="a")(x), "b": layers.Dense(2, name="b")(layers.Dropout(0.5)(x))}
    return randomized(keras.Model({"image": image, "vector": vector}, outputs, name="branching"))


def nested() -> keras.Model:
    """A functional model in a Sequential one, which is called twice, in a functional one."""
    inner_in = keras.Input((6, 6, 4))
    inner = keras.Model(inner_in, layers.Conv2D(4, 3, padding="same", name="conv1")(inner_in), name="inner")
    norm, conv = layers.BatchNormalization(name="norm"), layers.Conv2D(4, 3, padding="same", name="conv2")
    middle = keras.Sequential([keras.Input((6, 6, 4)), inner, norm, conv], name="middle")
    outer_in = keras.Input((6, 6, 4))
    x = layers.Flatten()(middle(middle(outer_in)))
    return randomized(keras.Model(outer_in, layers.Dense(5, name="head")(x), name="outer"))


def tied() -> keras.Model:
    """A model that is called inside another one and beside it (Keras cannot load such a file)."""
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="fc")], name="inner")
    middle = keras.Sequential([keras.Input((6,)), inner, layers.ReLU()], name="middle")
    outer_in = keras.Input((6,))
    return randomized(keras.Model(outer_in, middle(inner(outer_in)), name="outer"))


def shared() -> keras.Model:
    """One convolution and one dense layer, each called at two places."""
    left, right = keras.Input((8, 8, 4)), keras.Input((8, 8, 4))
    conv, head = layers.Conv2D(4, 3, padding="same", name="conv1"), layers.Dense(5, name="head")
    a, b = conv(conv(left)), conv(right)
    return randomized(keras.Model([left, right], [head(a), head(b)], name="siamese"))


MODELS: dict[str, tuple[Any, Plan]] = {
    "sequential": (sequential, {"conv1": TUCKER, "predictions": SVD}),
    "residual": (residual, {"conv1": SVD, "conv2": TUCKER, "shortcut": TUCKER, "a": SVD}),
    "nested": (nested, {"middle/inner/conv1": TUCKER, "middle/conv2": SVD, "head": SVD}),
    "shared": (shared, {"conv1": TUCKER, "head": SVD}),
    "residual by CP and TT": (residual, {"conv1": CP, "conv2": TT, "a": SVD}),
    "nested by TT and spatial SVD": (nested, {"middle/inner/conv1": TT, "middle/conv2": SPATIAL, "head": SVD}),
    "shared by CP": (shared, {"conv1": CP, "head": SVD}),
}


def inputs_of(model: keras.Model) -> Any:
    rng = np.random.default_rng(1)
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(lambda t: rng.standard_normal((2, *t.shape[1:])).astype("float32"), structure)


def outputs_of(model: keras.Model, x: Any) -> list[NDArray[np.float32]]:
    return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(model(x, training=False))]


def numbers_of(layer: keras.Layer) -> Layer:
    *kernel, inputs, outputs = layer.kernel.shape
    size = tuple(kernel)
    return conv("layer", size, inputs, outputs, in_size=size) if kernel else dense("layer", inputs, outputs)


def full_rank(model: keras.Model, plan: Plan) -> Plan:
    """The same methods at the ranks that lose nothing."""
    full: Plan = {}
    for path, choice in plan.items():
        owner = model
        for name in path.split("/"):
            owner = owner.get_layer(name)
        full[path] = Configuration(choice.method, polynomials(choice.method, numbers_of(owner)).caps)
    return full


def strided() -> keras.Model:
    """Convolutions whose CP takes an own layer: strides, causal padding, three axes."""
    image, sound, volume = keras.Input((9, 8, 3)), keras.Input((12, 4)), keras.Input((6, 5, 4, 2))
    a = layers.Conv2D(6, 3, strides=2, padding="same", name="conv1")(image)
    b = layers.Conv1D(5, 3, padding="causal", name="conv2")(sound)
    c = layers.Conv3D(4, (2, 1, 3), strides=(1, 2, 1), name="conv3")(volume)
    return randomized(keras.Model([image, sound, volume], [a, b, c], name="strided"))


def same(left: list[NDArray[np.float32]], right: list[NDArray[np.float32]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
