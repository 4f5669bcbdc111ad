"""What an error of a layer's outputs does to the logits, against the network itself."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.fit import output_metric as sensitivity
from rankline.src.compress.fit.fitted_layer import fitted_layers_of
from rankline.src.compress.fit.output_metric import MIXED, logit_errors, output_metrics
from rankline.src.compress.model.forward_pass import ForwardPass, batches_of
from rankline.src.dse.keras_model.graph import trace
from tests.helpers.networks import network, outputs_of, randomized, samples_of

layers = keras.layers


def passage_of(model: keras.Model) -> ForwardPass:
    calls = trace(model)
    return ForwardPass(calls, fitted_layers_of(calls))


def logits_with(forward: ForwardPass, samples: Any, path: str, added: np.ndarray) -> list[np.ndarray]:
    """The logits when something is added to one layer's outputs."""
    (batch,) = batches_of(samples, 1000, forward.calls)
    ends = forward.fitted_layers[path].ends

    def change(end: int, y: Any) -> Any:
        return y + keras.ops.convert_to_tensor(added.astype("float32")) if end in ends else y

    logits = forward.logits(forward.run(forward.start(batch), forward.inner, change))
    return [keras.ops.convert_to_numpy(one).astype(np.float64) for one in logits]


def smooth() -> keras.Model:
    """A network without kinks, so that differences are gradients; two outputs."""
    inputs = keras.Input((3, 2))
    x = layers.Conv1D(3, 2, activation="tanh", name="a")(inputs)
    x = layers.BatchNormalization(name="n")(layers.Dense(2, use_bias=False, name="b")(x))
    x = layers.Flatten()(keras.ops.tanh(x))
    outputs = [layers.Dense(3, activation="softmax", name="c")(x), layers.Dense(2, name="d")(x)]
    return randomized(keras.Model(inputs, outputs))


def test_the_metric_is_that_of_numeric_gradients() -> None:
    forward, samples = passage_of(smooth()), samples_of(smooth(), 4)
    found = output_metrics(forward, samples, seed=5)
    rng = np.random.default_rng(5)
    vs = [rng.normal(size=(4, size)) for size in (3, 2)]
    for path, fitted in forward.fitted_layers.items():
        shape = (4, *forward.calls[fitted.ends[0]].out_shapes[0])
        gradient = np.zeros(shape)
        for place in np.ndindex(*shape[1:]):
            step = np.zeros(shape)
            step[(slice(None), *place)] = 1e-2
            ends = [logits_with(forward, samples, path, sign * step) for sign in (1, -1)]
            change = [(a - b) / 2e-2 for a, b in zip(*ends, strict=True)]
            gradient[(slice(None), *place)] = sum((v * one).sum(axis=1) for v, one in zip(vs, change, strict=True))
        rows = gradient.reshape(-1, shape[-1])
        wanted = rows.T @ rows / 4
        wanted += MIXED * np.trace(wanted) / len(wanted) * np.eye(len(wanted))
        np.testing.assert_allclose(found[path], wanted, rtol=2e-2, atol=2e-2 * np.abs(wanted).max())


def test_the_batch_size_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = network("tokens")
    forward, samples = passage_of(model), samples_of(model)
    whole = output_metrics(forward, samples)
    monkeypatch.setattr(sensitivity, "fitting_batch", lambda calls: 14)
    again = output_metrics(forward, samples)
    for path, metric in whole.items():
        np.testing.assert_allclose(again[path], metric, rtol=1e-3, atol=1e-3 * np.abs(metric).max())


def test_what_the_logits_are_made_by_has_the_identity_in_expectation() -> None:
    model, _ = network("sequential")
    found = output_metrics(passage_of(model), samples_of(model, 4000))["d"]
    np.testing.assert_allclose(found, (1 + MIXED) * np.eye(5), atol=0.12)


def test_the_seed_decides() -> None:
    model, _ = network("sequential")
    forward, samples = passage_of(model), samples_of(model, 20)
    one, again, other = (output_metrics(forward, samples, seed)["a"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.any(one != other)


def test_an_output_that_reaches_nothing_has_no_metric() -> None:
    inputs = keras.Input((4,))
    x = layers.Dense(3, name="a")(inputs)
    model = randomized(keras.Model(inputs, layers.Dense(2, name="b")(keras.ops.relu(x * 0.0))))
    assert not output_metrics(passage_of(model), samples_of(model, 5))["a"].any()


@pytest.mark.parametrize(
    "kind", ["identity", "projection", "branches", "tokens", "sound", "inner", "shared", "siamese"]
)
def test_logit_errors_are_those_of_the_changed_model(kind: str) -> None:
    model, _ = network(kind)
    for place in model._flatten_layers():
        if getattr(place, "activation", None) is keras.activations.softmax:
            place.activation = keras.activations.linear
    forward, samples, rng = passage_of(model), samples_of(model, 20), np.random.default_rng(0)
    changes = {}
    for path, fitted in forward.fitted_layers.items():
        size = fitted.kernel().std()
        changes[path] = [
            (0.3 * size * rng.standard_normal(fitted.weights_shape), 0.1 * rng.standard_normal(fitted.weights_shape[1]))
            for _ in range(2)
        ]
    found = logit_errors(forward, samples, changes)
    before = outputs_of(model, samples)
    for path, some in changes.items():
        fitted = forward.fitted_layers[path]
        kernel = fitted.layer.kernel
        offset = fitted.layer.bias if fitted.normalization is None else fitted.normalization.beta
        kept = [keras.ops.convert_to_numpy(one).copy() for one in (kernel, offset)]
        for (weights, bias), measured in zip(some, found[path], strict=True):
            kernel.assign((fitted.raw_kernel() + weights / fitted.scale()).reshape(kernel.shape))
            offset.assign(kept[1] + bias)
            after = outputs_of(model, samples)
            kernel.assign(kept[0])
            offset.assign(kept[1])
            wanted = sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True)) / len(samples[0])
            assert measured == pytest.approx(wanted, rel=1e-3)


def test_a_small_error_costs_what_the_metric_says() -> None:
    """Without kinks, alpha is 1: the prediction is the expectation of the measured error."""
    model = smooth()
    forward, samples = passage_of(model), samples_of(model, 400)
    metrics = output_metrics(forward, samples)
    rng = np.random.default_rng(0)
    change = 1e-3 * rng.standard_normal(2)
    fitted = forward.fitted_layers["b"]
    (measured,) = logit_errors(forward, samples, {"b": [(np.zeros(fitted.weights_shape), change)]})["b"]
    metric = metrics["b"] - MIXED / (1 + MIXED) * np.trace(metrics["b"]) / 2 * np.eye(2)
    # The same error at both positions adds up, so that the sum over positions is a bound of half of it at worst.
    assert 0.3 * measured < change @ metric @ change < 3 * measured


def test_the_probe_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "_holding", lambda calls: 3)
    forward, samples = passage_of(smooth()), samples_of(smooth(), 4)
    told: list[tuple[str, int, int]] = []
    changes = {
        path: [
            (
                np.zeros(forward.fitted_layers[path].weights_shape),
                np.zeros(forward.fitted_layers[path].weights_shape[1]),
            )
        ]
        for path in ("a", "b")
    }
    logit_errors(forward, samples, changes, lambda *one: told.append(one))
    assert told == [("samples probed", done, 8) for done in (3, 6, 7, 8)]
