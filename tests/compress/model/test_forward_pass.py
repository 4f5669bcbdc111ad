"""Samples on their way through a network, as they are and with a layer's outputs changed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.fit.fitted_layer import fitted_layers_of
from rankline.src.compress.model.forward_pass import ForwardPass, batches_of, unchanged
from rankline.src.dse.keras_model.graph import trace
from tests.helpers.networks import NETWORKS, network, outputs_of, randomized, samples_of
from tests.helpers.rounding import assert_same_up_to_rounding

layers = keras.layers


def passage_of(model: keras.Model) -> ForwardPass:
    calls = trace(model)
    return ForwardPass(calls, fitted_layers_of(calls))


def run(forward: ForwardPass, samples: Any, change: Any = unchanged) -> list[np.ndarray]:
    (batch,) = batches_of(samples, 1000, forward.calls)
    logits = forward.logits(forward.run(forward.start(batch), forward.inner, change))
    return [keras.ops.convert_to_numpy(one) for one in logits]


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in ("sequential", "operations")])
def test_the_logits_are_the_models_outputs(kind: str) -> None:
    model, _ = network(kind)
    samples = samples_of(model, 5)
    for ours, theirs in zip(run(passage_of(model), samples), outputs_of(model, samples), strict=True):
        assert_same_up_to_rounding(ours, theirs)


@pytest.mark.parametrize("last", [layers.Softmax(), layers.Activation("softmax"), layers.Activation("sigmoid"), None])
def test_a_last_softmax_or_sigmoid_is_left_out(last: keras.Layer | None) -> None:
    inputs = keras.Input((8,))
    dense = layers.Dense(4, activation=None if last else "softmax", name="d")
    x = dense(layers.Dense(6, activation="sigmoid", name="a")(inputs))
    model = randomized(keras.Model(inputs, last(x) if last else x))
    samples = samples_of(model, 5)
    (logits,) = run(passage_of(model), samples)
    squash = keras.activations.sigmoid if last is not None and "sigmoid" in str(last.get_config()) else None
    wanted = (squash or keras.activations.softmax)(keras.ops.convert_to_tensor(logits))
    assert_same_up_to_rounding(keras.ops.convert_to_numpy(wanted), outputs_of(model, samples)[0])
    assert np.abs(logits.sum(axis=1) - 1).max() > 0.1


@pytest.mark.parametrize("kind", ["identity", "sequential", "branches", "unscaled"])
def test_a_change_is_made_before_the_activation_and_behind_the_batch_norm(kind: str) -> None:
    model, _ = network(kind)
    forward, samples = passage_of(model), samples_of(model, 5)
    paths = {end: path for path, fitted in forward.fitted_layers.items() for end in fitted.ends}
    seen = {}

    def note(end: int, y: Any) -> Any:
        seen[paths[end]] = keras.ops.convert_to_numpy(y)
        return y

    run(forward, samples, note)
    assert list(seen) == list(forward.fitted_layers)
    fitted = forward.fitted_layers["b"]
    x = keras.Model(model.inputs, fitted.layer.input)(keras.ops.convert_to_tensor(samples[0]), training=False)
    assert_same_up_to_rounding(seen["b"], keras.ops.convert_to_numpy(fitted.whole(x)))
    assert (seen["b"] < 0).any()


@pytest.mark.parametrize("kind", ["identity", "projection", "branches", "shared", "siamese", "gated"])
def test_only_what_depends_on_a_changed_unit_is_run_again(kind: str) -> None:
    model, _ = network(kind)
    forward, samples = passage_of(model), samples_of(model, 5)
    (batch,) = batches_of(samples, 100, forward.calls)
    outputs: dict[int, Any] = {}

    def note(end: int, y: Any) -> Any:
        outputs[end] = y
        return y

    values = forward.run(forward.start(batch), forward.inner, note)
    before = [keras.ops.convert_to_numpy(one) for one in forward.logits(values)]
    for fitted in forward.fitted_layers.values():
        new = forward.changed(values, {end: outputs[end] * 1.5 for end in fitted.ends}, forward.after(fitted.ends))
        wanted = run(forward, samples, lambda end, y, ends=fitted.ends: y * 1.5 if end in ends else y)
        for a, b in zip(forward.logits(new), wanted, strict=True):
            assert_same_up_to_rounding(keras.ops.convert_to_numpy(a), b)
    for a, b in zip(forward.logits(values), before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), b)


def test_batches_hold_all_samples_once_in_the_inputs_types() -> None:
    one, other = keras.Input((2,)), keras.Input((3,), dtype="int32")
    model = keras.Model([one, other], [layers.Dense(1)(one), layers.Embedding(90, 2)(other)])
    samples = [np.arange(14).reshape(7, 2), np.arange(21.0).reshape(7, 3)]
    batches = list(batches_of(samples, 3, trace(model)))
    assert [len(batch[0]) for batch in batches] == [3, 3, 1]
    for place, dtype in enumerate(["float32", "int32"]):
        together = np.concatenate([keras.ops.convert_to_numpy(batch[place]) for batch in batches])
        np.testing.assert_array_equal(together, samples[place])
        assert together.dtype == dtype
