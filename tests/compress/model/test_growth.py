"""The growth of CP's terms in a factorized model is that of the factors that it was made of."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rankline.src.compress.methods.cp import CP
from rankline.src.compress.methods.numerics.stable import growth
from rankline.src.compress.model.by_hand import factorize_by_hand
from rankline.src.compress.model.growth import growths
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from tests.compress.methods.test_stable import columns

LAYERS = {
    "1-D": ((16, 6), keras.layers.Conv1D(8, 5)),
    "2-D": ((8, 8, 6), keras.layers.Conv2D(8, (3, 5))),
    "2-D along one axis": ((8, 8, 6), keras.layers.Conv2D(8, (1, 3))),
    "2-D with a layer of our own": ((8, 8, 6), keras.layers.Conv2D(8, 3, strides=(1, 2))),
    "3-D": ((4, 5, 6, 6), keras.layers.Conv3D(8, (2, 3, 3))),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_growth_is_that_of_the_factors(kind: str) -> None:
    shape, like = LAYERS[kind]
    layer = like.from_config({**like.get_config(), "name": "conv"})
    model = keras.Sequential([keras.Input(shape), layer])
    layer.kernel.assign(np.random.default_rng(0).standard_normal(layer.kernel.shape))
    plan = {"conv": Configuration("cp", (5,))}
    factors = CP().decompose(keras.ops.convert_to_numpy(layer.kernel), (5,))
    found = growths(factorize(model, plan), plan)
    assert found == {"conv": pytest.approx(growth([one.astype("float64") for one in columns(factors)]))}


def test_only_layers_by_cp_have_one() -> None:
    layers = [keras.layers.Conv2D(8, 3, name="a"), keras.layers.Flatten(), keras.layers.Dense(10, name="b")]
    model = keras.Sequential([keras.Input((8, 8, 6)), *layers])
    by_cp, by_svd = factorize_by_hand(model, {"a": Configuration("cp", (4,)), "b": Configuration("svd", (3,))}).layers
    assert by_cp.growth is not None
    assert by_cp.growth > 0.25, "four equal terms have a quarter"
    assert by_svd.growth is None
