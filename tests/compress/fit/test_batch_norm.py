"""Moments of BatchNorm in a network that has changed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.data.sets import Data
from rankline.src.compress.fit.batch_norm import reestimate, reestimate_all, reestimate_if_better, set_moments
from rankline.src.compress.model.surgery import factorize
from rankline.src.compress.training.fine_tuning import evaluate, fine_tune
from rankline.src.compress.training.settings import FineTuning
from tests.helpers.networks import distance, network, outputs_of, samples_of
from tests.helpers.rounding import assert_same_up_to_rounding

MAP = 6 * 4 * 5
"""The values of a channel of ``maps``: what a mean sums."""


def norm_of(scale: bool = True, center: bool = True, axis: int = -1) -> keras.Layer:
    norm = keras.layers.BatchNormalization(axis=axis, scale=scale, center=center)
    norm.build((None, 4, 5, 3) if axis == -1 else (None, 3, 4, 5))
    rng = np.random.default_rng(0)
    norm.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in norm.get_weights()])
    return norm


def maps() -> Any:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 4, 5, 3)) * [1.0, 3.0, 0.2] + [2.0, -1.0, 0.0]
    return keras.ops.convert_to_tensor(x.astype("float32"))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_set_moments_move_the_mean_and_nothing_else(scale: bool, center: bool) -> None:
    norm, x = norm_of(scale, center), maps()
    values = keras.ops.convert_to_numpy(x)
    mean, variance = values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))
    wanted = np.array([5.0, 6.0, -7.0])
    set_moments(norm, mean, variance, wanted)
    for training in (False, True) if scale and center else (False,):
        outputs = keras.ops.convert_to_numpy(norm(x, training=training))
        assert_same_up_to_rounding(outputs, values - mean + wanted, MAP)


@pytest.mark.parametrize("axis", [-1, 1])
def test_reestimated_moments_are_those_of_the_maps(axis: int) -> None:
    norm, x = norm_of(axis=axis), maps()
    given = x if axis == -1 else keras.ops.moveaxis(x, -1, 1)
    reestimate(norm, [given[:1], given[1:4], given[4:]])
    values = keras.ops.convert_to_numpy(x)
    assert_same_up_to_rounding(keras.ops.convert_to_numpy(norm.moving_mean), values.mean(axis=(0, 1, 2)), MAP)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_variance), values.var(axis=(0, 1, 2)), rtol=1e-4)


def test_moments_are_only_moved_by_what_changed() -> None:
    norm, x = norm_of(), maps()
    mean, variance = (keras.ops.convert_to_numpy(one) for one in (norm.moving_mean, norm.moving_variance))
    reestimate(norm, [x], norm, [x])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_mean), mean, rtol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_variance), variance, rtol=1e-6)
    reestimate(norm, [2 * x + 1], norm, [x])
    moved = keras.ops.convert_to_numpy(norm.moving_mean) - mean
    assert_same_up_to_rounding(moved, keras.ops.convert_to_numpy(x).mean(axis=(0, 1, 2)) + 1, MAP)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_variance), 4 * variance, rtol=0.1)


@pytest.mark.parametrize("kind", ["identity", "projection", "inner", "unscaled", "before the activation", "volume"])
def test_all_norms_then_do_in_inference_what_they_do_in_training(kind: str) -> None:
    model, plan = network(kind)
    samples = samples_of(model)
    made = factorize(model, plan)
    assert distance(outputs_of(made, samples), outputs_of(made, samples, training=True)) > 0.1
    reestimate_all(made, samples)
    assert distance(outputs_of(made, samples), outputs_of(made, samples, training=True)) < 1e-3


def test_nothing_but_moments_changes() -> None:
    model, _ = network("projection")
    before = {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.variables}
    reestimate_all(model, samples_of(model, 20))
    for variable in model.variables:
        same = np.array_equal(before[variable.path], keras.ops.convert_to_numpy(variable))
        assert same != variable.name.startswith("moving")


@pytest.mark.parametrize("losses", [(0.4, 0.3), (0.4, 0.4), (0.4, float("nan"))])
def test_moments_are_taken_anew_only_where_that_lowers_the_loss(losses: tuple[float, float]) -> None:
    model, _ = network("projection")
    before, told = model.get_weights(), iter(losses)
    reestimate_if_better(model, lambda: samples_of(model, 20), lambda: next(told))
    same = all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    assert same != (losses[1] < losses[0])


def test_frozen_moments_stay() -> None:
    model, _ = network("projection")
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    norms[0].trainable = False
    before = [layer.get_weights() for layer in norms]
    reestimate_all(model, samples_of(model, 20))
    same = [np.array_equal(one, layer.get_weights()) for one, layer in zip(before, norms, strict=True)]
    assert same == [True, *[False] * (len(norms) - 1)]
    for layer in norms:
        layer.trainable = False
    reestimate_if_better(model, lambda: samples_of(model, 20), lambda: pytest.fail("there is nothing to compare"))


def test_a_training_too_short_for_its_moving_averages_still_gives_good_outputs(few: Data) -> None:
    """A momentum of 0.999 leaves most of the first moments after six steps."""
    keras.utils.set_random_seed(0)
    chain = [
        keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization(momentum=0.999), keras.layers.ReLU(),
        keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax"),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input((8, 8, 1)), *chain])
    model.layers[1].moving_mean.assign(np.full(8, 30.0))
    validation = few.x_validation, few.y_validation
    fine_tune(model, (few.x_train, few.y_train), validation, FineTuning(1, 1e-2, 64), seed=0)
    assert evaluate(model, *validation).accuracy > 0.5
    model.layers[1].moving_mean.assign(np.full(8, 30.0))
    assert evaluate(model, *validation).accuracy < 0.5
