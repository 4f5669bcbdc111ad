"""Models as Keras 2 wrote them: their configuration is repaired, and their weights stay in their layers."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.keras2.graph import modern_model
from rankline.src.dse.keras_model.source import check_model, load_model, load_network


def outputs(model: keras.Model) -> np.ndarray:
    chance = np.random.default_rng(0)
    given = [chance.standard_normal((2, *one.shape[1:])).astype("float32") for one in model.inputs]
    return np.asarray(model(given if len(given) > 1 else given[0], training=False))


def legacy(config: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The configuration with ``change`` made to each layer in it, in the classes of Keras 2."""
    for one in config["config"]["layers"]:
        if "layers" in one["config"]:
            legacy(one, change)
        inner = one["config"].get("dtype")
        if isinstance(inner, dict):
            one["config"]["dtype"] = {"class_name": "Policy", "config": {"name": inner["config"]["name"]}}
        if "batch_shape" in one["config"]:
            one["config"]["batch_input_shape"] = one["config"].pop("batch_shape")
        change(one)
    return config


def written_by_keras_2(
    model: keras.Model, path: Path, change: Callable[[dict[str, Any]], None], text: Callable[[str], str] = str
) -> Path:
    """The HDF5 file that Keras 2 would have written of a model: ``change`` puts back what its layers had."""
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = legacy(json.loads(file.attrs["model_config"]), change)
        file.attrs["model_config"] = text(json.dumps(config))
        file.attrs["keras_version"] = "2.15.0"
    return path


def randomized(model: keras.Model) -> keras.Model:
    chance = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(np.abs(chance.standard_normal(weight.shape)).astype("float32"))
    return model


def convolutions() -> keras.Model:
    inputs = keras.Input((12, 12, 4))
    x = layers.Conv2D(6, 3, name="c")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.LeakyReLU(negative_slope=0.1, name="leaky")(x)
    x = layers.Conv2DTranspose(4, 3, name="up")(x)
    x = layers.DepthwiseConv2D(3, name="depth")(x)
    x = layers.SeparableConv2D(6, 3, name="split")(x)
    x = layers.SpatialDropout2D(0.1, name="drop")(x)
    return keras.Model(inputs, layers.Dense(3, name="d")(layers.GlobalAveragePooling2D(name="pool")(x)))


def old_convolution(one: dict[str, Any]) -> None:
    config = one["config"]
    match one["class_name"]:
        case "Conv2DTranspose" | "DepthwiseConv2D" | "SeparableConv2D":
            config |= {"groups": 1}
        case "BatchNormalization":
            config |= {"axis": [3], "renorm": False, "fused": True}
        case "LeakyReLU":
            config["alpha"] = config.pop("negative_slope")
        case "SpatialDropout2D":
            config |= {"trainable": True, "noise_shape": None}
    if one["class_name"] in ("DepthwiseConv2D", "SeparableConv2D"):
        config |= {"kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}}}
        config |= {"kernel_regularizer": None, "kernel_constraint": None}


def recurrent() -> keras.Model:
    inputs, state = keras.Input((5, 4)), keras.Input((6,), name="state")
    x = layers.LSTM(6, return_sequences=True, name="lstm")(inputs, initial_state=[state, state])
    x = layers.Bidirectional(layers.GRU(4, name="gru"), name="both")(x)
    return keras.Model([inputs, state], layers.Dense(2, name="d")(x))


def old_recurrent(one: dict[str, Any]) -> None:
    for inner in (one, one["config"].get("layer"), one["config"].get("backward_layer")):
        if inner and inner["class_name"] in ("LSTM", "GRU", "Bidirectional"):
            inner["config"]["time_major"] = False
    if one["name"] == "lstm":
        one["inbound_nodes"] = [[["input_layer", 0, 0, {}], ["state", 0, 0, {}], ["state", 0, 0, {}]]]


@pytest.mark.parametrize(
    ("build", "change"), [(convolutions, old_convolution), (recurrent, old_recurrent)], ids=["conv", "recurrent"]
)
def test_arguments_that_layers_no_longer_have_are_left_out(
    tmp_path: Path, build: Callable[[], keras.Model], change: Callable[[dict[str, Any]], None]
) -> None:
    keras.backend.clear_session()
    model = randomized(build())
    path = written_by_keras_2(model, tmp_path / "net.h5", change)
    assert np.allclose(outputs(load_model(str(path))), outputs(model), atol=1e-5)


def test_a_slash_in_a_name_becomes_an_underscore_and_weights_stay_where_they_were(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 4), name="block.in")
    x = layers.Conv2D(4, 3, name="block_a")(layers.Conv2D(4, 3, padding="same", name="block.b")(inputs))
    x = layers.Conv2D(4, 3, padding="same", name="block.a")(x)
    model = randomized(keras.Model(inputs, x))
    path = written_by_keras_2(
        model, tmp_path / "net.h5", lambda one: None, lambda text: text.replace("block.", "block/")
    )
    loaded = load_model(str(path))
    assert [one.name for one in loaded.layers] == ["block_in", "block_b", "block_a", "block_a_"]
    assert np.allclose(outputs(loaded), outputs(model), atol=1e-5)
    listed = check_model(str(path))
    assert listed is not None
    assert {one.name for one in load_network(str(path)).layers} == {one.path for one in listed}


@pytest.mark.parametrize("is_sequential", [True, False])
def test_nested_models_are_counted_from_their_first_call(tmp_path: Path, is_sequential: bool) -> None:
    inner_input = keras.Input((8,))
    inner = (
        keras.Sequential([keras.Input((8,)), layers.Dense(4, name="a"), layers.Dense(5, name="b")], name="inner")
        if is_sequential
        else keras.Model(inner_input, layers.Dense(5, name="b")(layers.Dense(4, name="a")(inner_input)), name="inner")
    )
    inputs = keras.Input((8,))
    model = randomized(keras.Model(inputs, layers.Dense(2, name="last")(inner(inputs))))

    def old(one: dict[str, Any]) -> None:
        if one.get("name") == "last":
            one["inbound_nodes"] = [[["inner", 1, 0, {}]]]

    path = written_by_keras_2(model, tmp_path / "net.h5", old)
    assert np.allclose(outputs(load_model(str(path))), outputs(model), atol=1e-5)


def test_operations_of_tensorflow_become_those_of_keras(tmp_path: Path) -> None:
    def function(name: str, *node: Any) -> dict[str, Any]:
        layer = {"class_name": "TFOpLambda", "config": {"name": f"tf.{name}", "function": name, "dtype": "float32"}}
        return {**layer, "name": f"tf.{name}", "inbound_nodes": list(node)}

    given = [
        {"class_name": "InputLayer", "name": "i", "config": {"name": "i", "batch_input_shape": [None, 4]},
         "inbound_nodes": []},
        function("math.truediv", ["i", 0, 0, {"y": 127.5, "name": None}]),
        function("math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": ["tf.math.truediv", 0, 0], "name": None}]),
        function("nn.relu6", ["tf.math.subtract", 0, 0, {}]),
        function("concat", [["i", 0, 0, {"axis": -1}], ["tf.nn.relu6", 0, 0, {"axis": -1}]]),
        function("clip_by_value", ["tf.concat", 0, 0, {"clip_value_min": 0.0, "clip_value_max": 0.9}]),
    ]  # fmt: skip
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["tf.clip_by_value", 0, 0]]}
    model = keras.saving.deserialize_keras_object(
        modern_model({"class_name": "Model", "config": {"name": "net", "layers": given, **ends}})
    )
    x = np.array([[0.0, 0.5, 100.0, -30.0]], "float32")
    expected = np.clip(np.concatenate([x, np.clip(1 - x / 127.5, 0, 6)], -1), 0, 0.9)
    assert np.allclose(np.asarray(model(x)), expected, atol=1e-6)
    given[1]["config"]["function"] = "image.resize"
    with pytest.raises(UserError, match="'tf.math.truediv', a function of TensorFlow"):
        modern_model({"class_name": "Model", "config": {"name": "net", "layers": given, **ends}})


def test_mixed_precision_and_a_sequential_of_the_oldest_kind_are_read() -> None:
    policy = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": None}}
    dense = {"name": "d", "units": 3, "batch_input_shape": [None, 5], "dtype": policy, "activation": "linear"}
    old = {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": dense}]}
    model = keras.saving.deserialize_keras_object(modern_model(old))
    assert model.input_shape == (None, 5)
    assert model.layers[0].dtype_policy.name == "mixed_float16"


@pytest.mark.parametrize(
    ("class_name", "config", "reason"),
    [
        ("CuDNNLSTM", {"units": 3}, "it has a CuDNNLSTM, a layer that Keras 3 has no more"),
        ("LSTM", {"units": 3, "time_major": True}, "it has a LSTM with time_major=True"),
        ("LSTM", {"units": 3, "recurrent_activation": "hard_sigmoid"}, "it has a hard_sigmoid, which was 0.2 x"),
        ("Dense", {"units": 3, "depth": 4}, "Keras 3 cannot load it: "),
    ],
)
def test_what_cannot_be_repaired_is_named_with_what_to_do(
    tmp_path: Path, class_name: str, config: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        one = {"class_name": class_name, "config": {"name": "one", "batch_input_shape": [None, 5, 4], **config}}
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "n", "layers": [one]}})
        file.attrs["keras_version"] = "2.3.1"
        file.create_group("model_weights")
    with pytest.raises(UserError) as caught:
        load_model(str(path))
    told = str(caught.value)
    assert reason in told
    assert "was written by Keras 2.3.1, and Keras 3 cannot load it" in told
    assert "package.module:function" in told
    assert "\n" not in told


def test_a_keras_file_of_keras_2_and_one_that_is_hdf5_are_read(tmp_path: Path) -> None:
    keras.backend.clear_session()
    model = randomized(convolutions())
    hdf5 = written_by_keras_2(model, tmp_path / "net.h5", old_convolution)
    named = tmp_path / "net.keras"
    named.write_bytes(hdf5.read_bytes())
    assert np.allclose(outputs(load_model(str(named))), outputs(model), atol=1e-5)
    new = tmp_path / "new.keras"
    model.save(new)
    with zipfile.ZipFile(new) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with h5py.File(hdf5) as file:
        config = json.loads(file.attrs["model_config"])
    config |= {"module": "keras.src.engine.functional", "registered_name": "Functional"}
    parts |= {"config.json": json.dumps(config).encode(), "metadata.json": b'{"keras_version": "2.15.0"}'}
    with zipfile.ZipFile(named, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert np.allclose(outputs(load_model(str(named))), outputs(model), atol=1e-5)


class TestFilesThatAreNoModels:
    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "net.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", b'{"class_name": "Sequential"}')
            with archive.open("model.weights.h5", "w") as entry:
                entry.write(bytes(2**24))
        monkeypatch.setattr("rankline.src.dse.keras_model.saved.MOST_BYTES", 2**20)
        with pytest.raises(UserError, match="unpacks to more than 20 times its size"):
            load_model(str(path))

    def test_files_of_other_programs_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "saved").mkdir()
        (tmp_path / "saved" / "saved_model.pb").touch()
        for name, what in {
            "net.tflite": "a LiteRT", "net.onnx": "an ONNX model", "net.pt": "a PyTorch file", "net.pkl": "a pickle",
            "net.PTH": "a PyTorch file", "net.safetensors": "weights alone", "saved": "a SavedModel folder",
        }.items():  # fmt: skip
            with pytest.raises(UserError, match=rf"is .*{what}.*MODEL may be a .keras or .h5 file"):
                load_network(str(tmp_path / name))

    def test_an_architecture_alone_is_no_layers_file(self, tmp_path: Path) -> None:
        path = tmp_path / "net.json"
        path.write_text(json.dumps({"class_name": "Sequential", "config": {}, "keras_version": "2.15.0"}))
        with pytest.raises(UserError, match="the architecture of a Keras model, not a layers file"):
            load_network(str(path))
