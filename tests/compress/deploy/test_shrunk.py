"""Files without what their runtimes don't read."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.runtime import Runtime, random_samples
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from tests.helpers.networks import randomized

pytestmark = pytest.mark.runtimes


def factorized() -> keras.Model:
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 8), name="picture")
    x = layers.ReLU()(layers.Conv2D(16, 3, padding="same", name="a")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, padding="same", activation="relu", name="b")(x))
    model = randomized(keras.Model(inputs, layers.Dense(5, name="head")(x)))
    return factorize(model, {"a": Configuration("cp", (12,)), "b": Configuration("svd", (6,))})


@pytest.mark.parametrize("precision", ["f32", "int8"])
@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_the_file_is_smaller_gives_the_same_bits_and_keeps_the_names_of_its_ends(
    name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, model = runtimes.get(name), factorized()
    small, whole = (tmp_path / f"{size}{runtime.suffix}" for size in ("small", "whole"))
    samples = random_samples([model], 2)
    runtime.export(model, small, 2, precision, samples)
    monkeypatch.setattr(type(runtime), "shrink", Runtime.shrink)
    runtime.export(model, whole, 2, precision, samples)
    assert small.stat().st_size < 0.95 * whole.stat().st_size
    sessions = [runtime.load(path, 1) for path in (small, whole)]
    assert list(sessions[0].inputs) == list(sessions[1].inputs)
    given = [one[:2] for one in samples]
    for ours, theirs in zip(*(session.run(given) for session in sessions), strict=True):
        np.testing.assert_array_equal(ours, theirs)
