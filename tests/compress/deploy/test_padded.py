"""Ranks in whole blocks of channels: other files with the same outputs."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.conversion import write
from rankline.src.compress.deploy.padded import pad_ranks
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration

pytestmark = pytest.mark.runtimes

layers = keras.layers

PLANS = {
    "tucker": Configuration("tucker", (3, 5)),
    "cp": Configuration("cp", (7,)),
    "tt": Configuration("tt", (2, 6, 5)),
    "spatial_svd": Configuration("spatial_svd", (9,)),
}


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 6))
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="a")(given)
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="b")(x)
    return keras.Model(given, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def written(model: keras.Model, path: Path) -> Path:
    """Without the padding that the runtime does."""
    write(model, path, "onnx", 1)
    return path


def channels(path: Path) -> list[int]:
    """Outputs of every convolution."""
    graph = onnx.load(str(path)).graph
    weights = {one.name: one.dims for one in graph.initializer}
    return [weights[node.input[1]][0] for node in graph.node if node.op_type == "Conv"]


def output(path: Path) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 6)).astype("float32")
    (found,) = runtimes.get("onnx").load(path, 1).run([x])
    return found


@pytest.mark.parametrize("method", PLANS)
def test_ranks_are_padded_and_nothing_else_changes(method: str, tmp_path: Path) -> None:
    model = factorize(network(), {"b": PLANS[method]})
    path = written(model, tmp_path / "model.onnx")
    before, ranks = output(path), channels(path)
    assert pad_ranks(path, 16) > 0
    padded = channels(path)
    assert [(a, b) for a, b in zip(ranks, padded, strict=True) if a != b] == [(rank, 16) for rank in ranks[1:-1]], (
        "the layers' own channels stay"
    )
    # Sums of other zeros in another order: some units in the last place of float32.
    np.testing.assert_allclose(output(path), before, rtol=1e-5, atol=1e-6)
    assert pad_ranks(path, 16) == 0


def test_a_model_without_chains_stays_as_it_is(tmp_path: Path) -> None:
    path = written(network(), tmp_path / "model.onnx")
    content = path.read_bytes()
    assert pad_ranks(path, 16) == 0, "an activation stands between its convolutions"
    assert path.read_bytes() == content


def test_maps_that_others_read_and_shared_weights_are_left_alone(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 6))
    read_twice = layers.Conv2D(5, 1, name="read_twice")(given)
    shared = layers.Conv2D(5, 1, name="shared")
    x = layers.Add()([layers.Conv2D(5, 3, padding="same")(read_twice), read_twice])
    model = keras.Model(given, shared(shared(x)))
    path = written(model, tmp_path / "model.onnx")
    assert pad_ranks(path, 16) == 0


def test_the_runtime_pads_what_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    runtimes.get("onnx").export(factorize(network(), {"b": PLANS["tucker"]}), path)
    assert channels(path) == [16, 16, 16, 12]
