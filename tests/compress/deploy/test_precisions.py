"""Files at every precision: they stay near what Keras computes, and say what they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.deploy import runtime as runtime_file
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.runtime import random_input
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import PRECISIONS
from tests.helpers.models import strided

pytestmark = pytest.mark.runtimes

FILES = ["litert", "onnx"]

EQUAL = 1e-4
"""In float, relative to the largest output: the same sums in another order."""

NEAR = {"f32": EQUAL, "f16": 2e-3, "int8": 0.1, "int8-dynamic": 0.05, "int8-weights": 0.03}
"""Relative to the largest output. A number loses 2**-11 of itself in f16, and 1/254 of the largest of its channel or
map in 8 bits; a dozen layers in a row, each with a rounding of weights and of maps, add up to a few percent."""

CP = {"f32": EQUAL, "f16": 1e-2}
"""The terms of CP are larger than their sum, and annul each other: it loses more in f16, and too much in 8 bits to
claim anything."""

layers = keras.layers


def network() -> keras.Model:
    """Convolutions of all kinds and dense layers, with weights that keep the scale of maps."""
    keras.utils.set_random_seed(3)
    given = x = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="first")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(20, 3, strides=2, padding="same", activation="relu", name="second")(x)
    x = layers.Conv2D(24, 1, activation="relu", name="pointwise")(x)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    x = layers.Dense(24, activation="relu", name="hidden")(x)
    return keras.Model(given, layers.Dense(6, name="last")(x), name="net")


PLANS: dict[str, dict[str, Configuration]] = {
    "as it is": {},
    "svd": {"second": Configuration("svd", (9,)), "hidden": Configuration("svd", (7,))},
    "qr": {"hidden": Configuration("qr", (8,)), "pointwise": Configuration("qr", (6,))},
    "tucker": {"first": Configuration("tucker", (2, 7)), "second": Configuration("tucker", (6, 5))},
    "tt": {"second": Configuration("tt", (6, 9, 7))},
    "cp": {"second": Configuration("cp", (20,)), "first": Configuration("cp", (9,))},
    "spatial svd": {"second": Configuration("spatial_svd", (11,))},
    "t3f": {
        "hidden": Configuration("t3f", (4,), "6x4:12x18"),
        "pointwise": Configuration("t3f", (3,), "6x4:4x5"),
    },
}


def largest_difference(found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", FILES)
def test_files_of_every_method_and_precision_give_keras_outputs(name: str, plan: str, tmp_path: Path) -> None:
    """Own layers and ranks that are padded with zeros among them."""
    model, one = factorize(network(), PLANS[plan]), runtimes.get(name)
    samples, x = (random_input((count, 12, 12, 3), "float32", seed) for count, seed in ((32, 1), (4, 2)))
    expected = [keras.ops.convert_to_numpy(model(x))]
    sizes = {}
    for precision, near in (CP if plan == "cp" else NEAR).items():
        path = tmp_path / f"{precision}{one.suffix}"
        one.export(model, path, 4, precision, [samples])
        found = one.load(path, 1).run([x])
        assert found[0].dtype == np.float32
        assert largest_difference(found, expected) < near, precision
        sizes[precision] = path.stat().st_size
    assert sizes["f32"] > sizes["f16"]


@pytest.mark.parametrize("name", FILES)
def test_own_layers_along_one_to_three_axes_give_keras_outputs(name: str, tmp_path: Path) -> None:
    """CP of strided, causal and 3-D convolutions, whose depthwise factors are layers of our own."""
    plan = {path: Configuration("cp", (5,)) for path in ("conv1", "conv2", "conv3")}
    model, one = factorize(strided(), plan), runtimes.get(name)
    arrays = [random_input((2, *shape.shape[1:]), "float32", seed) for seed, shape in enumerate(model.inputs)]
    expected = [keras.ops.convert_to_numpy(made) for made in model(arrays)]
    for precision in ("f32", "f16", "int8-weights"):
        path = tmp_path / f"{precision}{one.suffix}"
        one.export(model, path, 2, precision)
        assert largest_difference(one.load(path, 1).run(arrays), expected) < NEAR[precision]


@pytest.mark.parametrize("name", FILES)
def test_gelu_is_converted(name: str, tmp_path: Path) -> None:
    """Keras computes it by erfc, which ONNX lacks."""
    given = keras.Input((6,))
    model, one = keras.Model(given, layers.Dense(5, activation="gelu", name="dense")(given)), runtimes.get(name)
    path, x = tmp_path / f"net{one.suffix}", random_input((1, 6), "float32")
    one.export(model, path)
    assert largest_difference(one.load(path, 1).run([x]), [keras.ops.convert_to_numpy(model(x))]) < EQUAL


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", FILES)
def test_parts_at_every_precision_run_alone(name: str, precision: str) -> None:
    one, models = runtimes.get(name), []
    for j, turned in enumerate((8, 12, 16)):
        given = keras.Input(batch_shape=(1, 6, 6, turned))
        inner = layers.Conv2D(16, 3, activation="relu", name=f"{name}_{precision}_in_{j}")(given)
        models.append(keras.Model(given, layers.Conv2D(8, 1, name=f"{name}_{precision}_out_{j}")(inner)))
    for part in one.parts(models, 1, precision):
        session = one.load(part, 1)
        session.call()
        (shape,) = session.inputs.values()
        (found,) = session.run([random_input(shape, "float32")])
        assert np.ptp(found.astype("float32")) > 0


@pytest.mark.parametrize("name", FILES)
def test_parts_of_integers_have_no_floats_at_their_ends(name: str) -> None:
    one = runtimes.get(name)
    given = keras.Input(batch_shape=(1, 6, 6, 8))
    (part,) = one.parts([keras.Model(given, layers.Conv2D(16, 3, name=f"{name}_only")(given))], 1, "int8")
    if name == "onnx":
        import onnx

        graph = onnx.load_from_string(part).graph
        assert {end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)} == {onnx.TensorProto.UINT8}
    else:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=part)
        ends = (*interpreter.get_input_details(), *interpreter.get_output_details())
        assert {end["dtype"] for end in ends} == {np.int8}


@pytest.mark.parametrize("name", FILES)
def test_ranges_are_those_of_all_samples(name: str, tmp_path: Path) -> None:
    """A single large sample among many small ones, and the first of them at that, is not forgotten."""
    given = keras.Input((4,))
    model, one = (
        keras.Model(given, layers.Dense(4, kernel_initializer="identity", name="same")(given)),
        runtimes.get(name),
    )
    samples = np.full((100, 4), 0.01, "float32")
    samples[0] = [-8, 8, 4, -4]
    path = tmp_path / f"net{one.suffix}"
    one.export(model, path, 1, "int8", [samples])
    (found,) = one.load(path, 1).run([samples[:1]])
    np.testing.assert_allclose(found, samples[:1], atol=16 / 255)


@pytest.mark.parametrize("name", FILES)
def test_what_a_precision_needs_is_told(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = runtimes.get(name)
    path = tmp_path / f"net{one.suffix}"
    with pytest.raises(UserError, match="int8 takes the ranges of maps from samples; give some hundreds"):
        one.export(network(), path, 1, "int8")
    with pytest.raises(UserError, match=r"samples are of shape \(12, 12, 1\); model 'net' takes \(12, 12, 3\)"):
        one.export(network(), path, 1, "int8", [np.zeros((2, 12, 12, 1), "float32")])
    with pytest.raises(UserError, match=r"unknown precision 'int7'; did you mean 'int8'\? Possible: f16, f32"):
        one.export(network(), path, 1, "int7")
    with pytest.raises(UserError, match="Keras can't write int8; it writes f32"):
        runtimes.get("keras").check("int8")
    if one.quantizers:
        missing = runtime_file.find_spec
        monkeypatch.setattr(runtime_file, "find_spec", lambda name: None if name in one.quantizers else missing(name))
        with pytest.raises(UserError, match=r"'litert_quantizer', which is not installed; run: pip install 'rankline"):
            one.export(network(), path, 1, "f16")
    assert list(tmp_path.iterdir()) == []
