"""Factors that hand on even ranges."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rankline.src.compress.fit.balanced import balanced
from rankline.src.compress.model.surgery import factor_chain, factorize
from rankline.src.dse.configuration import Configuration
from tests.helpers.networks import NETWORKS, distance, network, outputs_of, randomized, samples_of

layers = keras.layers

CHAINS = {
    "svd": Configuration("svd", (3,)),
    "spatial_svd": Configuration("spatial_svd", (4,)),
    "tucker": Configuration("tucker", (3, 4)),
    "cp": Configuration("cp", (5,)),
    "tt": Configuration("tt", (3, 4, 4)),
}


def chained(choice: Configuration) -> keras.Model:
    x = inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same", name="a")(x))
    model = randomized(keras.Model(inputs, layers.Dense(5, name="d")(layers.Flatten()(x))))
    return factorize(model, {"a": choice})


def maps_between(model: keras.Model, choice: Configuration) -> list[np.ndarray]:
    """What each factor but the last hands on, (n, r)."""
    chain = factor_chain(model, "a", choice)
    inner = keras.Model(model.inputs, [layer.output for layer in chain[:-1]])
    found = outputs_of(inner, samples_of(model))
    return [one.reshape(-1, one.shape[-1]) for one in found]


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_outputs_stay_the_same(kind: str) -> None:
    model, plan = network(kind)
    made = factorize(model, plan)
    samples = samples_of(made)
    wanted = outputs_of(made, samples)
    assert distance(outputs_of(balanced(made, samples), samples), wanted) < 1e-5


@pytest.mark.parametrize("method", CHAINS)
def test_channels_between_factors_have_about_one_range(method: str) -> None:
    made = chained(CHAINS[method])
    before, after = (maps_between(one, CHAINS[method]) for one in (made, balanced(made, samples_of(made))))
    for old, new in zip(before, after, strict=True):
        old_ranges, new_ranges = np.abs(old).max(axis=0), np.abs(new).max(axis=0)
        assert new_ranges.max() / new_ranges.min() <= max(2.5, old_ranges.max() / old_ranges.min())
    # Where each channel has a scale of its own, the ranges are equal to the last digits.
    if method == "cp":
        np.testing.assert_allclose(np.abs(after[0]).max(axis=0), 1, rtol=1e-4)


def test_layers_with_an_activation_between_them_stay_as_they_are() -> None:
    x = inputs = keras.Input((8,))
    x = layers.Dense(6, activation="relu", name="a")(x)
    model = randomized(keras.Model(inputs, layers.Dense(5, name="b")(x)))
    made = balanced(model, samples_of(model))
    for old, new in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_bias_goes_with_its_channels() -> None:
    x = inputs = keras.Input((8,))
    model = randomized(keras.Model(inputs, layers.Dense(5, name="b")(layers.Dense(3, name="a")(x))))
    samples = samples_of(model)
    made = balanced(model, samples)
    assert distance(outputs_of(made, samples), outputs_of(model, samples)) < 1e-5
    assert not np.allclose(made.get_layer("a").get_weights()[0], model.get_layer("a").get_weights()[0])


def test_a_layer_that_two_branches_share_stays_as_it_is() -> None:
    shared = layers.Dense(4, name="a")
    one, two = keras.Input((8,)), keras.Input((8,))
    model = randomized(keras.Model([one, two], layers.Dense(5, name="b")(layers.Add()([shared(one), shared(two)]))))
    made = balanced(model, samples_of(model))
    np.testing.assert_array_equal(made.get_layer("a").get_weights()[0], shared.get_weights()[0])


def test_filters_of_different_groups_are_not_mixed() -> None:
    x = inputs = keras.Input((4, 4, 8))
    x = layers.Conv2D(8, 1, groups=4, name="a")(x)
    model = randomized(keras.Model(inputs, layers.Conv2D(5, 1, name="b")(x)))
    # One channel of each group is large now and then: a rotation would spread it.
    samples = [np.where(np.random.default_rng(0).random((40, 4, 4, 8)) < 0.02, 30.0, 0.01).astype("float32")]
    assert distance(outputs_of(balanced(model, samples), samples), outputs_of(model, samples)) < 1e-5
