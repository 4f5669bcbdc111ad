"""Models with layers of Rankline's own load in plain Keras after one import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import pytest

from rankline.src.compress.layers.own import own_layers
from rankline.src.compress.model.surgery import factorize
from rankline.src.compress.runs.card import how_to_load
from rankline.src.dse.configuration import Configuration


@pytest.mark.parametrize(("method", "ranks", "shape"), [("t3f", (2,), "4x4:4x4"), ("cp", (2,), None)])
def test_a_model_with_own_layers_loads_after_one_import(
    tmp_path: Path, method: str, ranks: tuple[int, ...], shape: str | None
) -> None:
    layer = keras.layers.Dense(16, name="a") if method == "t3f" else keras.layers.Conv3D(6, 2, name="a")
    model = keras.Sequential([keras.Input((16,) if method == "t3f" else (4, 4, 4, 2)), layer])
    small = factorize(model, {"a": Configuration(method, ranks, shape)})
    small.save(tmp_path / "small.keras")
    own = [layer.name for layer in small.layers if not type(layer).__module__.startswith("keras")]
    assert own_layers(small) == own
    assert own_layers(keras.Sequential([keras.Input(model.input_shape[1:]), small], name="outer")) == [
        f"{small.name}/{name}" for name in own
    ]
    assert all(name in "".join(how_to_load(small)) for name in ("import rankline.layers", *own))
    assert how_to_load(model) == own_layers(model) == []
    script = "import keras, sys, rankline.layers; print(keras.saving.load_model(sys.argv[1]).count_params())"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "small.keras")], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == str(small.count_params()), done.stderr
