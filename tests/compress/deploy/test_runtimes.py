"""The real runtimes compute what Keras computes, and say what they can't."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from rankline.src.compress.deploy import runtime as runtime_file
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.conversion import layer_at
from rankline.src.compress.deploy.runtime import random_input
from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix
from rankline.src.dse.errors import UserError

pytestmark = pytest.mark.runtimes

FILES = ["litert", "onnx"]

# float32 sums of up to a hundred products, in another order than Keras's
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def network() -> keras.Model:
    given = x = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = DepthwiseAlongAxis(0, 3, strides=2, padding="same")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, TTMatrix((2, 2), (2, 3), (3,), activation="tanh")(x))


def suffix(name: str) -> str:
    return runtimes.get(name).suffix


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_written_model_gives_keras_outputs(name: str, batch: int, tmp_path: Path) -> None:
    model, one = network(), runtimes.get(name)
    path = tmp_path / f"net{one.suffix}"
    one.export(model, path, batch)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    x = random_input((batch, 8, 8, 3), "float32", seed=1)
    session = one.load(path, 1)
    session.call()
    (found,) = session.run([x])
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), **CLOSE)


@pytest.mark.parametrize("name", FILES)
def test_inputs_and_outputs_keep_their_order(name: str, tmp_path: Path) -> None:
    inputs = [keras.Input((width,), name=letter) for width, letter in zip(range(2, 14), "zyxwvutsrqpo", strict=True)]
    model = keras.Model(inputs, [keras.layers.Dense(width)(one) for width, one in enumerate(inputs, start=1)])
    one = runtimes.get(name)
    path = tmp_path / f"many{one.suffix}"
    one.export(model, path)
    arrays = [random_input((1, width), "float32", seed=width) for width in range(2, 14)]
    for found, expected in zip(one.load(path, 1).run(arrays), model(arrays), strict=True):
        np.testing.assert_allclose(found, keras.ops.convert_to_numpy(expected), **CLOSE)


@pytest.mark.parametrize("name", [*FILES, "keras"])
def test_models_that_are_written_at_once_run_alone(name: str) -> None:
    one, models = runtimes.get(name), []
    for j in range(12):
        given = keras.Input(batch_shape=(2, 4 + j))
        inner = keras.layers.Dense(3, activation="relu", name=f"{name}_in_{j}")(given)
        models.append(keras.Model(given, keras.layers.Dense(1 + j, name=f"{name}_out_{j}")(inner)))
    parts = one.parts(models, 2)
    for j, (model, part) in enumerate(zip(models, parts, strict=True)):
        x = random_input((2, 4 + j), "float32", seed=j)
        session = one.load(part, 1 if name in FILES else os.cpu_count() or 1)
        session.call()
        (found,) = session.run([x])
        np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), **CLOSE)


def test_onnx_parts_have_no_transpositions_at_their_ends() -> None:
    import onnx

    given = keras.Input(batch_shape=(1, 6, 5, 4))
    model = keras.Model(given, keras.layers.Conv2D(8, 3, activation="relu", name="only")(given))
    (part,) = runtimes.get("onnx").parts([model], 1)
    assert {node.op_type for node in onnx.load_from_string(part).graph.node} == {"Conv", "Relu"}
    x = random_input((1, 6, 5, 4), "float32")
    (found,) = runtimes.get("onnx").load(part, 1).run([x.transpose(0, 3, 1, 2)])
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), keras.ops.convert_to_numpy(model(x)), **CLOSE)


def python_function(x: Any) -> Any:
    return tf.ensure_shape(tf.py_function(lambda a: a, [x], tf.float32), (1, 4))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("call", "operation"), [(python_function, "EagerPyFunc"), (tf.math.erfinv, "Erfinv")])
def test_an_operation_that_a_format_lacks_is_named_with_its_layer(
    name: str, call: Callable[[Any], Any], operation: str, tmp_path: Path
) -> None:
    given = keras.Input(batch_shape=(1, 4))
    odd = keras.layers.Lambda(call, output_shape=(4,), name="odd")
    model = keras.Model(given, odd(keras.layers.Dense(4, name="even")(given)), name="net")
    path = tmp_path / f"net{suffix(name)}"
    path.write_text("as it was")
    with pytest.raises(UserError, match=f"has no operation '{operation}' of layer 'odd', which model 'net' needs"):
        runtimes.get(name).export(model, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "as it was"


def test_operations_of_tensorflow_alone_are_none_of_litert(tmp_path: Path) -> None:
    """The converter takes them, for an interpreter that has all of TensorFlow in it; this one doesn't."""
    given = keras.Input(batch_shape=(1, 4))
    odd = keras.layers.Lambda(lambda x: tf.linalg.det(tf.reshape(x, (1, 2, 2))), output_shape=(1,), name="det")
    with pytest.raises(UserError, match="LiteRT has no operation 'MatrixDeterminant' of layer 'det'"):
        runtimes.get("litert").export(
            keras.Model(given, keras.layers.Dense(3)(odd(given)[:, None])), tmp_path / "net.tflite"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime_file, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=r"is not installed; run: pip install 'rankline\[deploy\]'"):
        runtimes.get(name).export(network(), tmp_path / f"net{suffix(name)}")


@pytest.mark.parametrize("name", FILES)
def test_what_can_not_be_written_or_read_is_refused(name: str, tmp_path: Path) -> None:
    one = runtimes.get(name)
    with pytest.raises(UserError, match=f"is written as a {one.suffix} file; got 'net.keras'"):
        one.export(network(), tmp_path / "net.keras")
    anything = keras.Input((None, 3))
    with pytest.raises(UserError, match="whose size is not fixed"):
        one.export(keras.Model(anything, keras.layers.Dense(2)(anything)), tmp_path / f"net{one.suffix}")
    with pytest.raises(UserError, match="is not built"):
        one.export(keras.Sequential([keras.layers.Dense(2)]), tmp_path / f"net{one.suffix}")
    broken = tmp_path / f"broken{one.suffix}"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=f"{one.title} can't run '.*broken"):
        one.load(broken, 1)


def test_keras_can_not_change_its_threads_while_it_runs() -> None:
    running = os.cpu_count() or 1
    one = runtimes.get("keras")
    keras.ops.convert_to_tensor([1.0])
    one.check_threads(running)
    with pytest.raises(UserError, match=f"with {running} threads in this process; give --threads {running}"):
        one.check_threads(running + 1)


def test_unknown_runtimes_are_told_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown runtime 'lightrt'.*Possible: keras, litert, onnx"):
        runtimes.get("lightrt")


def test_runtimes_tell_version_and_machine() -> None:
    for name in runtimes.CLASSES:
        one = runtimes.get(name)
        assert one.version()[0].isdigit()
        assert "Linux" in one.machine()


def test_the_innermost_layer_of_a_path_is_found() -> None:
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="fc_1")], name="inner")
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(2, name="fc")], name="outer")
    assert layer_at(model, "outer_1/inner_1/fc_1/MatMul") == "fc_1"
    assert layer_at(model, "outer_1/fc_2/MatMul") == "fc"
    assert layer_at(model, "somewhere/else") is None
