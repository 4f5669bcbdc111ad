"""Models with layers of Rankline's own load in plain Keras after one import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras

from rankline.src.compress.layers.own import own_layers
from rankline.src.compress.model.surgery import factorize
from rankline.src.compress.runs.card import how_to_load
from rankline.src.dse.configuration import Configuration


def test_models_with_own_layers_load_after_one_import(tmp_path: Path) -> None:
    layers = keras.layers
    given = (
        (layers.Dense(16, name="a"), (16,), Configuration("t3f", (2,), "4x4:4x4")),
        (layers.Conv3D(6, 2, name="a"), (4, 4, 4, 2), Configuration("cp", (2,))),
    )
    counts = {}
    for layer, size, choice in given:
        model = keras.Sequential([keras.Input(size), layer])
        small = factorize(model, {"a": choice})
        path = tmp_path / f"{choice.method}.keras"
        small.save(path)
        counts[str(path)] = small.count_params()
        own = [layer.name for layer in small.layers if not type(layer).__module__.startswith("keras")]
        assert own_layers(small) == own
        assert own_layers(keras.Sequential([keras.Input(model.input_shape[1:]), small], name="outer")) == [
            f"{small.name}/{name}" for name in own
        ]
        assert all(name in "".join(how_to_load(small)) for name in ("import rankline.layers", *own))
        assert how_to_load(model) == own_layers(model) == []
    script = (
        "import keras, sys, rankline.layers\n"
        "print(*(keras.saving.load_model(path).count_params() for path in sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", script, *counts], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [str(count) for count in counts.values()], done.stderr
