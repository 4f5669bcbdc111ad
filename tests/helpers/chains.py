"""Random layers of every kind, the chains that replace them, and what both compute."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress import methods
from rankline.src.compress.methods.factor import Factor
from rankline.src.dse import layer as dse_layer
from rankline.src.dse import methods as dse_methods
from rankline.src.dse.formula import Polynomials
from rankline.src.dse.options import Options
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape

METHODS = [name for name in methods.DECOMPOSITIONS if name != "t3f"]
"""T3F has tensor shapes and a single layer, and tests of its own."""

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)

# Kernel, strides, padding, dilation, input size: every kind of convolution, and strides on axes of size 1.
GEOMETRIES = [
    ((3,), (1,), "same", 1, (9,)),
    ((3,), (2,), "valid", 1, (10,)),
    ((4,), (2,), "causal", 1, (9,)),
    ((1,), (3,), "causal", 1, (8,)),
    ((3, 3), (1, 1), "same", 1, (6, 7)),
    ((3, 3), (2, 2), "same", 1, (7, 8)),
    ((5, 2), (1, 2), "valid", 1, (7, 8)),
    ((3, 3), (1, 1), "same", 2, (8, 7)),
    ((3, 1), (1, 1), "same", 2, (8, 7)),
    ((1, 1), (1, 1), "same", 1, (4, 5)),
    ((1, 1), (2, 2), "valid", 1, (6, 7)),
    ((1, 1), (2, 3), "same", 1, (6, 7)),
    ((3, 1), (2, 2), "same", 1, (6, 7)),
    ((1, 3), (3, 2), "valid", 1, (7, 8)),
    ((2, 3, 2), (1, 1, 1), "same", 1, (4, 5, 4)),
    ((3, 1, 2), (2, 2, 1), "valid", 1, (5, 5, 4)),
]


def random_conv(geometry: tuple, rng: np.random.Generator, **more: object) -> tuple[keras.Layer, dse_layer.Layer]:
    """A built convolution with random weights, and its numbers."""
    kernel, strides, padding, dilation, size = geometry
    inputs, outputs = (int(count) for count in rng.integers(2, 7, size=2))
    options = {"activation": "tanh", **more}
    layer = CONVOLUTIONS[len(kernel) - 1](
        outputs, kernel, strides=strides, padding=padding, dilation_rate=dilation, name="conv1", **options
    )
    layer.build((None, *size, inputs) if layer.data_format == "channels_last" else (None, inputs, *size))
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.weights])
    numbers = dse_layer.conv(
        "conv1", kernel, inputs, outputs, size, strides, padding, dilation=[dilation] * len(kernel)
    )
    return layer, numbers


def random_dense(positions: int, rng: np.random.Generator) -> tuple[keras.Layer, dse_layer.Layer]:
    inputs, outputs = (int(count) for count in rng.integers(2, 9, size=2))
    layer = keras.layers.Dense(outputs, activation="tanh", name="conv1")
    layer.build((None, inputs))
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.weights])
    return layer, dse_layer.dense("conv1", inputs, outputs, positions)


def random_layers(method: str, seed: int) -> list[tuple[keras.Layer, dse_layer.Layer]]:
    """One layer of every kind that the method factorizes."""
    rng = np.random.default_rng(seed)
    layers = [random_conv(geometry, rng) for geometry in GEOMETRIES]
    layers += [random_dense(1, rng), random_dense(5, rng)]
    return [(layer, numbers) for layer, numbers in layers if dse_methods.get(method).refuses(numbers) is None]


def input_of(numbers: dse_layer.Layer, rng: np.random.Generator) -> NDArray[np.float32]:
    size = numbers.in_size or ((numbers.positions,) if numbers.positions > 1 else ())
    return rng.standard_normal((2, *size, numbers.in_channels)).astype("float32")


def polynomials(method: str, numbers: dse_layer.Layer) -> Polynomials:
    return Space(method, layer_shape(numbers), Options()).branches[0].polynomials


def random_ranks(method: str, numbers: dse_layer.Layer, rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(rng.integers(1, cap + 1)) for cap in polynomials(method, numbers).caps)


def run(chain: list[Factor], x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Build the chain on x, put its weights in, and return every factor's output."""
    outputs = [x]
    for factor in chain:
        factor.layer.build(outputs[-1].shape)
        factor.layer.set_weights(factor.weights)
        outputs.append(keras.ops.convert_to_numpy(factor.layer(outputs[-1])))
    return outputs[1:]


def with_kernel(layer: keras.Layer, kernel: NDArray[np.floating], x: NDArray[np.float32]) -> keras.Layer:
    """A layer like this one with another kernel, built for x."""
    other = type(layer).from_config(layer.get_config())
    other.build(x.shape)
    other.set_weights([kernel, *layer.get_weights()[1:]])
    return other
