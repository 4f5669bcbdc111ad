"""Fits to what is left of a network once its runtime rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.deploy import runtimes
from rankline.src.compress.fit.fitted_layer import fitted_layers_of
from rankline.src.compress.fit.rounded_refit import refit_rounded, rounded_outputs
from rankline.src.compress.fit.rounding import ROUNDINGS, STEPS, eight_bits
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import trace
from tests.helpers.networks import NETWORKS, distance, network, outputs_of, randomized, samples_of


def kernels_of(model: keras.Model) -> dict[str, NDArray[Any]]:
    return {path: fitted.kernel() for path, fitted in fitted_layers_of(trace(model)).items()}


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_are_those_that_the_runtime_will_store(kind: str) -> None:
    model, plan = network(kind)
    made = refit_rounded(factorize(model, plan), samples_of(model))
    for path, kernel in kernels_of(made).items():
        # Weights are kept in single precision, and a BatchNorm's factor is folded in: 1e-6 of a scale of 1/127.
        np.testing.assert_allclose(eight_bits(kernel), kernel, atol=1e-5 * np.abs(kernel).max(), err_msg=path)


@pytest.mark.parametrize("kind", ["identity", "branches", "sequential"])
@pytest.mark.parametrize("precision", ROUNDINGS)
def test_the_outputs_stay_near_at_every_precision(kind: str, precision: str) -> None:
    model, _ = network(kind)
    samples = samples_of(model)
    wanted = outputs_of(model, samples)
    made = outputs_of(refit_rounded(model, samples, precision), samples)
    # Eight bits are 0.4 % of a range; several maps of a tiny network one after the other make a few percent.
    assert distance(made, wanted) < 0.05


def test_layers_that_stay_in_floats_keep_digits_that_eight_bits_lack() -> None:
    model, _ = network("sequential")
    samples = samples_of(model)
    made = kernels_of(refit_rounded(model, samples, floats=["c"]))
    assert not np.allclose(eight_bits(made["c"]), made["c"], atol=1e-5 * np.abs(made["c"]).max())
    np.testing.assert_allclose(eight_bits(made["b"]), made["b"], atol=1e-5 * np.abs(made["b"]).max())


def test_the_model_that_is_given_stays_as_it_is() -> None:
    model, _ = network("identity")
    before = [one.copy() for one in model.get_weights()]
    refit_rounded(model, samples_of(model))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    model, _ = network("identity")
    with pytest.raises(UserError, match="int4.*int8, int8-dynamic, int8-weights"):
        refit_rounded(model, samples_of(model), "int4")


def one_layer() -> keras.Model:
    inputs = keras.Input((6, 6, 4))
    return randomized(keras.Model(inputs, keras.layers.Conv2D(8, 3, name="a")(inputs)))


@pytest.mark.parametrize("name", ["litert", "onnx"])
@pytest.mark.parametrize("kind", ["one layer", "identity"])
def test_the_simulation_gives_what_the_runtime_s_own_integers_give(kind: str, name: str, tmp_path: Path) -> None:
    model, plan = (one_layer(), {}) if kind == "one layer" else network(kind)
    samples = samples_of(model)
    made = refit_rounded(factorize(model, plan), samples)
    runtime = runtimes.get(name)
    path = tmp_path / f"model{runtime.suffix}"
    runtime.export(made, path, len(samples[0]), "int8", samples)
    (found,) = runtime.load(path, 1).run(samples)
    (simulated,) = rounded_outputs(made, samples)
    steps = np.abs(found - simulated) / (np.ptp(found) / STEPS)
    # The runtime takes its ranges from maps in floats, which shifts the steps by less than one. A layer's integers are
    # the same but for values at the edge of a step; six maps one after the other add up to some.
    assert steps.max() < (1.1 if kind == "one layer" else 4)
    assert steps.mean() < (0.3 if kind == "one layer" else 0.8)


def test_what_a_runtime_folds_or_fuses_is_rounded_only_after_it() -> None:
    x = inputs = keras.Input((6, 6, 4))
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name="a")(x)
    x = keras.layers.BatchNormalization(name="n")(x)
    model = randomized(keras.Model(inputs, keras.layers.ReLU(6.0, name="r")(x)))
    # Channels of very different sizes before the BatchNorm, of one size after it.
    scales = np.array([1, 10, 100, 1000], np.float32)
    (kernel,) = model.get_layer("a").get_weights()
    model.get_layer("a").set_weights([kernel * scales[:, None]])
    gamma, beta, mean, _ = model.get_layer("n").get_weights()
    model.get_layer("n").set_weights([gamma, beta, mean * scales, np.square(scales)])
    samples = samples_of(model)
    (found,), (floats,) = rounded_outputs(model, samples), outputs_of(model, samples)
    # The input's step, and that of the range from 0 to 6, times some weights.
    assert np.abs(found - floats).mean() < 4 * 6 / STEPS


def test_an_output_that_also_feeds_a_layer_is_given() -> None:
    inputs = keras.Input((8,))
    x = keras.layers.Dense(6, name="a")(inputs)
    model = randomized(keras.Model(inputs, [x, keras.layers.Dense(3, name="b")(x)]))
    assert [one.shape[1] for one in rounded_outputs(model, samples_of(model))] == [6, 3]
