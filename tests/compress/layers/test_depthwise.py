"""The depthwise convolution along one axis: against grouped stock convolutions, at any size, saved and counted."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.network_cost import network_cost
from tests.helpers.rounding import rounding_bound

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
SIZES = {1: (11,), 2: (8, 9), 3: (5, 6, 7)}


def expected(layer: DepthwiseAlongAxis, x: np.ndarray) -> np.ndarray:
    """What a stock convolution with a kernel that is zero between channels computes."""
    axes, channels = x.ndim - 2, layer.kernel.shape[-1]
    steps = [
        [value if axis == layer.axis else 1 for axis in range(axes)] for value in (layer.strides, layer.dilation_rate)
    ]
    size = [layer.kernel_size if axis == layer.axis else 1 for axis in range(axes)]
    stock = CONVOLUTIONS[axes - 1](
        channels, size, strides=steps[0], dilation_rate=steps[1], padding=layer.padding, use_bias=False
    )
    stock.build((None, *x.shape[1:]))
    taps = keras.ops.convert_to_numpy(layer.kernel)
    stock.set_weights([(taps[:, :, None] * np.eye(channels)).reshape(stock.kernel.shape)])
    return keras.ops.convert_to_numpy(stock(x))


@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize(("axes", "axis"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_it_computes_what_a_stock_convolution_does(
    kernel_size: int, axes: int, axis: int, padding: str, strides: int, dilation: int
) -> None:
    if padding == "causal" and axes > 1:
        return
    x = np.random.default_rng(0).standard_normal((2, *SIZES[axes], 3)).astype("float32")
    layer = DepthwiseAlongAxis(axis, kernel_size, strides, padding, dilation)
    output = layer(x)
    assert tuple(output.shape) == layer.compute_output_shape(x.shape)
    allowed = 2 * rounding_bound([layer], x)  # both round
    np.testing.assert_array_less(np.abs(keras.ops.convert_to_numpy(output) - expected(layer, x)), allowed)
    first = DepthwiseAlongAxis(axis, kernel_size, strides, padding, dilation, "channels_first")
    turned = np.moveaxis(x, -1, 1)
    first.build(turned.shape)
    first.set_weights(layer.get_weights())
    np.testing.assert_array_less(np.abs(np.moveaxis(first(turned), 1, -1) - output), allowed)
    assert first.compute_output_shape(turned.shape) == tuple(first(turned).shape)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_model_of_undefined_size_computes_the_same(padding: str) -> None:
    layer = DepthwiseAlongAxis(0, 3, 2, padding)
    model = keras.Sequential([keras.Input((None, None, 4)), layer])
    assert model.output_shape == (None, None, None, 4)
    for size in (6, 7):
        x = np.random.default_rng(0).standard_normal((2, size, 5, 4)).astype("float32")
        difference = np.abs(model.predict(x, verbose=0) - expected(layer, x))
        np.testing.assert_array_less(difference, 2 * rounding_bound([layer], x))


def test_it_learns_and_is_loaded_bit_equal(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((8, 6, 5)), DepthwiseAlongAxis(1, 3, 2, "same", name="axis", dtype="mixed_bfloat16")]
    )
    assert keras.backend.standardize_dtype(model.outputs[0].dtype) == "bfloat16"
    x = np.random.default_rng(0).standard_normal((4, 8, 6, 5)).astype("float32")
    model.compile(optimizer="sgd", loss="mse")
    before = model.get_weights()[0]
    model.train_on_batch(x, np.zeros((4, 8, 3, 5), "float32"))
    assert (model.get_weights()[0] != before).all()
    model.save(tmp_path / "model.keras")
    loaded = load_model(str(tmp_path / "model.keras"))
    assert loaded.get_layer("axis").get_config() == model.get_layer("axis").get_config()
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_a_new_process_loads_it_by_its_file_alone(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((8, 6, 5)), DepthwiseAlongAxis(1, 3, 2)]).save(tmp_path / "model.keras")
    code = "from rankline.src.dse.keras_model.source import load_model\n"
    code += f"print(load_model({str(tmp_path / 'model.keras')!r}).output_shape)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("(None, 8, 2, 5)")


def test_a_file_cannot_have_any_other_module_imported(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((8, 6, 5)), DepthwiseAlongAxis(1, 3, 2)]).save(file)
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["config.json"] = content["config.json"].replace(
        b'"rankline.src.compress.layers.depthwise"', b'"antigravity"'
    )
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    load_model(str(file))
    assert "antigravity" not in sys.modules


def test_the_reader_counts_it() -> None:
    model = keras.Sequential([keras.Input((8, 6, 5)), DepthwiseAlongAxis(1, 3, 2)])
    shape = describe(model)
    cost = network_cost(shape.params, shape.layers)
    assert (cost.params, cost.fm, cost.flops) == (3 * 5, 8 * 2 * 5, 2 * 3 * 8 * 2 * 5)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="padding must be one of valid, same, causal; got 'full'"):
        DepthwiseAlongAxis(0, 3, padding="full")
    with pytest.raises(ValueError, match="can't take axis 2"):
        DepthwiseAlongAxis(2, 3).build((None, 8, 6, 5))
