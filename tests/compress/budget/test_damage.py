"""What errors are worth under each value function."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.budget.damage import VALUES, Damage, damages_of
from rankline.src.compress.fit.covariance import covariances
from rankline.src.compress.fit.fitted_layer import fitted_layers_of
from rankline.src.compress.fit.output_metric import logit_errors, output_metrics
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import trace
from tests.helpers.networks import network, samples_of

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.fit.covariance.CalibrationWarning")


def damages(kind: str, value: str, count: int = 120, **more: Any) -> tuple[keras.Model, ForwardPass, dict[str, Damage]]:
    model, _ = network(kind)
    calls = trace(model)
    forward = ForwardPass(calls, fitted_layers_of(calls))
    samples = samples_of(model, count)
    metrics = output_metrics(forward, samples) if value == "damage" else None
    return model, forward, damages_of(model, forward, list(forward.fitted_layers), samples, value, metrics, **more)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", ["identity", "bare", "tokens"])
def test_the_weights_themselves_do_no_damage_and_none_does_some(kind: str, value: str) -> None:
    _, _, found = damages(kind, value)
    for damage in found.values():
        assert damage.scale > 0
        assert damage.of(damage.weights) == 0
        lost = damage.of(np.zeros_like(damage.weights))
        assert lost > 0
        if value != "damage":
            assert lost == pytest.approx(1.0)


@pytest.mark.parametrize("value", VALUES)
def test_damage_falls_with_the_rank(value: str) -> None:
    _, _, found = damages("identity", value)
    for damage in found.values():
        cap = min(damage.weights.shape)
        lost = [damage.of(damage.factors(Configuration("svd", (rank,)))[1]) for rank in range(1, cap + 1)]
        assert all(b < a for a, b in pairwise(lost))
        assert lost[-1] == pytest.approx(0, abs=1e-9 * lost[0])


def test_uniform_looks_at_the_weights_alone() -> None:
    model, forward, found = damages("identity", "uniform", count=1)
    for path, damage in found.items():
        kernel = damage.fitted.raw_kernel()
        np.testing.assert_array_equal(damage.weights, kernel)
        assert damage.of(0.5 * kernel) == pytest.approx(0.25)
        assert damage.covariance is None
        assert damage.output_metric is None
        assert damages_of(model, forward, [path], value="uniform")[path].scale == damage.scale


def test_energy_is_the_share_of_the_layers_own_outputs() -> None:
    model, _, found = damages("bare", "energy", count=300)
    damage = found["b"]
    inputs = keras.Model(model.inputs, model.get_layer("b").input)
    x = keras.ops.convert_to_numpy(inputs(keras.ops.convert_to_tensor(samples_of(model, 300)[0])))
    rows = damage.fitted.inputs(x).reshape(-1, len(damage.weights)).astype(np.float64)
    product = damage.factors(Configuration("svd", (2,)))[1]
    lost = ((rows @ (damage.weights - product)) ** 2).sum() / ((rows @ damage.weights) ** 2).sum()
    assert damage.of(product) == pytest.approx(lost, rel=1e-5)


def over_frames(folded: bool) -> keras.Model:
    """Two layers applied to five frames: along an axis of their own, or folded into the batch."""
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((5, 6))
    if folded:
        x = keras.ops.reshape(x, (-1, 6))
    x = keras.layers.Dense(8, activation="relu", name="a")(x)
    x = keras.layers.Dense(4, name="b")(x)
    return keras.Model(inputs, keras.ops.mean(keras.ops.reshape(x, (-1, 5, 4)), axis=1))


def test_the_damage_is_the_same_where_frames_are_folded_into_the_batch() -> None:
    found = []
    for folded in (True, False):
        model = over_frames(folded)
        calls = trace(model)
        forward = ForwardPass(calls, fitted_layers_of(calls))
        samples = samples_of(model, 60)
        metrics = output_metrics(forward, samples)
        damages = damages_of(model, forward, ["a", "b"], samples, output_metrics=metrics)
        found.append([damages[path].of(0.7 * damages[path].weights) for path in ("a", "b")])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("kind", ["identity", "sequential", "tokens"])
def test_the_probe_makes_the_damage_that_of_the_logits(kind: str) -> None:
    """Where a layer is cut between the probe's ranks, the measured error is near the damage."""
    model, forward, found = damages(kind, "damage")
    samples = samples_of(model)
    for path, damage in found.items():
        mean = (
            covariances(model, [tuple(samples)], [path])[path].mean
            if damage.fitted.is_centred
            else 0 * damage.weights[:, 0]
        )
        change = damage.factors(Configuration("svd", (2,)))[1] - damage.weights
        (measured,) = logit_errors(forward, samples, {path: [(change, -mean @ change)]})[path]
        assert 0.2 * measured < damage.of(damage.weights + change) < 5 * measured


def test_layers_whose_errors_matter_more_have_the_larger_damage() -> None:
    """A tenfold last layer makes every squared error before it a hundredfold."""
    _, _, before = damages("sequential", "damage")
    model, _ = network("sequential")
    last = model.get_layer("d")
    last.kernel.assign(10 * last.kernel)
    calls = trace(model)
    forward, samples = ForwardPass(calls, fitted_layers_of(calls)), samples_of(model)
    after = damages_of(model, forward, ["b"], samples, "damage", output_metrics(forward, samples))["b"]
    none = np.zeros_like(after.weights)
    assert after.of(none) == pytest.approx(100 * before["b"].of(none), rel=0.05)


def test_dead_inputs_cost_nothing() -> None:
    model, _ = network("identity")
    calls = trace(model)
    forward, samples = ForwardPass(calls, fitted_layers_of(calls)), samples_of(model)
    samples[0][...] = 0
    found = damages_of(model, forward, ["a"], samples, "damage", output_metrics(forward, samples))["a"]
    assert found.of(np.zeros_like(found.weights)) == 0
    assert found.of(np.ones_like(found.weights)) == 0


def test_unknown_values_are_refused() -> None:
    with pytest.raises(UserError, match="unknown value 'energies'; did you mean 'energy'"):
        damages("bare", "energies")
