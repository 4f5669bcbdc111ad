"""The TT-matrix layer: what it computes, what it costs, and that it can be saved, trained and placed in a model."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress import methods
from rankline.src.compress.layers.tt_matrix import TTMatrix
from rankline.src.compress.model.surgery import factor_chain, factorize
from rankline.src.dse import layer as dse_layer
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.options import Options
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape
from tests.helpers.channels_first import skip_if_refused
from tests.helpers.rounding import rounding_bound

layers = keras.layers
T3F = methods.get("t3f")
SHAPES = {"3x4:4x2": (5,), "2x2x3:2x2x2": (3, 4), "2x3x2:2x2x2": (4, 2), "3x4:2x4": (2,)}

# A layer of 8 inputs and 12 outputs, its input, and its numbers.
PLACES = [
    (layers.Dense(12, name="fc"), (8,), dse_layer.dense("fc", 8, 12)),
    (layers.Dense(12, activation="tanh", name="fc"), (5, 8), dse_layer.dense("fc", 8, 12, positions=5)),
    (layers.Dense(12, use_bias=False, name="fc"), (3, 2, 8), dse_layer.dense("fc", 8, 12, positions=6)),
    (layers.Conv1D(12, 1, strides=3, name="fc"), (8, 8), dse_layer.conv("fc", (1,), 8, 12, (8,), 3, "valid")),
    (
        layers.Conv2D(12, 1, strides=(2, 3), padding="same", activation="relu", name="fc"),
        (6, 7, 8),
        dse_layer.conv("fc", (1, 1), 8, 12, (6, 7), (2, 3)),
    ),
    (
        layers.Conv2D(12, 1, strides=2, data_format="channels_first", name="fc"),
        (8, 6, 7),
        dse_layer.conv("fc", (1, 1), 8, 12, (6, 7), 2, "valid"),
    ),
    (layers.Conv3D(12, 1, name="fc"), (3, 2, 4, 8), dse_layer.conv("fc", (1, 1, 1), 8, 12, (3, 2, 4))),
]


def original(template: keras.Layer, size: tuple[int, ...], rng: np.random.Generator) -> keras.Layer:
    layer = type(template).from_config(template.get_config())
    layer.build((None, *size))
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.weights])
    return layer


def replaced(layer: keras.Layer, size: tuple[int, ...], shape: str, ranks: tuple[int, ...]) -> TTMatrix:
    factors = T3F.decompose(layer.get_weights()[0], ranks, shape)
    (factor,) = T3F.factor_layers(layer, factors)
    factor.layer.build((None, *size))
    factor.layer.set_weights(factor.weights)
    return factor.layer


def with_kernel(layer: keras.Layer, kernel: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    layer.set_weights([kernel, *layer.get_weights()[1:]])
    return keras.ops.convert_to_numpy(layer(x))


@pytest.mark.parametrize(("shape", "ranks"), SHAPES.items())
@pytest.mark.parametrize(("template", "size", "numbers"), PLACES)
def test_layer_computes_the_reconstructed_kernel_at_the_formulas_cost(
    template: keras.Layer,
    size: tuple[int, ...],
    numbers: dse_layer.Layer,
    shape: str,
    ranks: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    layer = original(template, size, rng)
    skip_if_refused(layer)
    tt_matrix = replaced(layer, size, shape, ranks)
    products = []
    times = keras.ops.matmul

    def counted(x: Any, matrix: Any) -> Any:
        products.append((x.shape[0] * matrix.shape[1], matrix.shape[0]))
        return times(x, matrix)

    monkeypatch.setattr(keras.ops, "matmul", counted)
    x = rng.standard_normal((1, *size)).astype("float32")
    output = tt_matrix(x)
    monkeypatch.undo()
    assert tuple(output.shape) == tt_matrix.compute_output_shape(x.shape) == tuple(layer(x).shape)
    branches = Space("t3f", layer_shape(numbers), Options(t3f_order="all")).branches
    (cost,) = (branch.polynomials.cost(ranks) for branch in branches if branch.shape == shape)
    params = sum(prod(core.shape) for core in tt_matrix.cores)
    fm, macs = sum(elements for elements, _ in products), sum(elements * depth for elements, depth in products)
    assert (params, fm, 2 * macs) == (cost.params, cost.fm, cost.flops)
    shapes = x.shape[1:], tuple(output.shape[1:])
    assert (tt_matrix.feature_map_elements(*shapes), tt_matrix.macs(*shapes)) == (fm, macs)
    cores = [core.astype("float64") for core in T3F.decompose(layer.get_weights()[0], ranks, shape)]
    expected = with_kernel(layer, T3F.reconstruct(cores), x)
    allowed = rounding_bound([tt_matrix], x) + rounding_bound([layer], x)
    np.testing.assert_array_less(np.abs(keras.ops.convert_to_numpy(output) - expected), allowed)


@pytest.mark.parametrize(("template", "size", "numbers"), PLACES)
def test_full_rank_gives_the_original_outputs(
    template: keras.Layer, size: tuple[int, ...], numbers: dse_layer.Layer
) -> None:
    rng = np.random.default_rng(0)
    layer = original(template, size, rng)
    skip_if_refused(layer)
    x = rng.standard_normal((3, *size)).astype("float32")
    for shape, ranks in [("3x4:4x2", (8,)), ("2x2x3:2x2x2", (4, 6))]:
        both = replaced(layer, size, shape, ranks), layer
        ours, theirs = (keras.ops.convert_to_numpy(one(x)) for one in both)
        np.testing.assert_array_less(np.abs(ours - theirs), sum(rounding_bound([one], x) for one in both))


def two_places() -> keras.Model:
    """A strided 1x1 convolution and a dense layer on tokens, in a graph with an undefined batch size."""
    inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(8, 1, strides=2, name="conv", activation="relu")(inputs)
    x = layers.Reshape((9, 8))(x)
    x = layers.Dense(12, activation=layers.PReLU(shared_axes=[1]), name="fc", bias_regularizer="l2")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling1D()(x), name="places")
    model(np.zeros((1, 6, 6, 4)))  # makes the PReLU's weights
    rng = np.random.default_rng(0)
    model.set_weights([rng.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


PLAN = {"conv": Configuration("t3f", (3,), "4x2:2x2"), "fc": Configuration("t3f", (3, 4), "3x2x2:2x2x2")}


def test_surgery_puts_one_layer_in_the_place_of_one() -> None:
    model = two_places()
    compressed = factorize(model, PLAN)
    assert [layer.name for layer in factor_chain(compressed, "fc", PLAN["fc"])] == ["fc_t3f_tt"]
    assert [layer.name for layer in compressed.layers][1:4:2] == ["conv_t3f_tt", "fc_t3f_tt"]
    assert compressed.output_shape == model.output_shape
    assert isinstance(compressed.get_layer("fc_t3f_tt").bias_regularizer, keras.regularizers.L2)
    again = factorize(model, PLAN, keep=(compressed, PLAN))
    x = np.random.default_rng(1).standard_normal((2, 6, 6, 4)).astype("float32")
    np.testing.assert_array_equal(compressed.predict(x, verbose=0), again.predict(x, verbose=0))


def test_a_saved_file_gives_the_same_bits(tmp_path: Path) -> None:
    compressed = factorize(two_places(), PLAN)
    compressed.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("conv_t3f_tt")) is TTMatrix
    x = np.random.default_rng(1).standard_normal((5, 6, 6, 4)).astype("float32")
    np.testing.assert_array_equal(compressed.predict(x, verbose=0), loaded.predict(x, verbose=0))


def test_cores_bias_and_activation_are_trained_unless_the_layer_was_frozen() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((64, 6, 6, 4)).astype("float32"), rng.standard_normal((64, 12)).astype("float32")
    model = two_places()
    model.get_layer("conv").trainable = False
    compressed = factorize(model, PLAN)
    names = [layer.name for layer in compressed.layers for _ in layer.weights]
    before = compressed.get_weights()
    compressed.compile("adam", "mse")
    losses = compressed.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    changed = [bool(np.any(old != new)) for old, new in zip(before, compressed.get_weights(), strict=True)]
    assert [name for name, moved in zip(names, changed, strict=True) if moved] == ["fc_t3f_tt"] * 5
    assert [name for name, moved in zip(names, changed, strict=True) if not moved] == ["conv_t3f_tt"] * 3


def test_dtype_policy_is_kept() -> None:
    layer = layers.Dense(12, dtype="mixed_float16", name="fc")
    x = np.ones((2, 8), "float32")
    layer(x)
    tt_matrix = replaced(layer, (8,), "3x4:4x2", (5,))
    assert tt_matrix.dtype_policy.name == "mixed_float16"
    assert keras.backend.standardize_dtype(tt_matrix(x).dtype) == "float16"
    assert {keras.backend.standardize_dtype(core.dtype) for core in tt_matrix.cores} == {"float32"}


def test_wrong_modes_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="d output modes, d input modes and d - 1 ranks"):
        TTMatrix((2, 3), (2, 2), (2, 2))
    with pytest.raises(ValueError, match=r"it can't take an input of shape \(1, 5\)"):
        TTMatrix((2, 3), (2, 2), (2,)).build((1, 5))
    with pytest.raises(ValueError, match=r"strides \(2,\); it can't take"):
        TTMatrix((2, 3), (2, 2), (2,), strides=(2,)).build((1, 4))
