"""Closed-form fits to data on every kind of graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.fit.batch_norm import reestimate_all
from rankline.src.compress.fit.fitted_layer import fitted_layers_of
from rankline.src.compress.fit.refit import FitSettings, Start, fitting_order, refit
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.surgery import factor_chain, factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.plan import Plan
from tests.helpers.channels_first import skip_if_refused
from tests.helpers.models import full_rank
from tests.helpers.networks import NETWORKS, distance, network, outputs_of, randomized, samples_of

layers = keras.layers

PLAIN = FitSettings(relu_steps=0)


@dataclass(frozen=True)
class Case:
    """A network with what its plan makes of it, and what they give on the samples."""

    model: keras.Model
    plan: Plan
    samples: list[NDArray[np.float32]]
    wanted: list[NDArray[Any]]
    plain: keras.Model
    far: float


@cache
def case(kind: str) -> Case:
    model, plan = network(kind)
    samples = samples_of(model)
    wanted, plain = outputs_of(model, samples), factorize(model, plan)
    return Case(model, plan, samples, wanted, plain, distance(outputs_of(plain, samples), wanted))


@pytest.mark.parametrize("kind", NETWORKS)
def test_full_rank_gives_the_original_outputs(kind: str) -> None:
    one = case(kind)
    fitted = refit(one.model, full_rank(one.model, one.plan), one.samples)
    assert distance(outputs_of(fitted, one.samples), one.wanted) < 1e-3


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_fit_is_nearer_than_factors_of_the_weights_costs_as_much_and_leaves_the_original_alone(kind: str) -> None:
    one = case(kind)
    config, weights = one.model.to_json(), one.model.get_weights()
    fitted = refit(one.model, one.plan, one.samples)
    assert distance(outputs_of(fitted, one.samples), one.wanted) < 0.8 * one.far
    assert cost_of(fitted) == cost_of(one.plain)
    assert one.model.to_json() == config
    for now, before in zip(one.model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_empty_plan_changes_nothing(kind: str) -> None:
    one = case(kind)
    fitted = refit(one.model, {}, one.samples)
    for ours, theirs in zip(fitted.get_weights(), one.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["identity", "projection", "volume", "inner", "before the activation"])
def test_batch_norms_hold_the_moments_of_what_they_are_given(kind: str) -> None:
    model, plan = network(kind)
    samples = samples_of(model)
    reestimate_all(model, samples)
    fitted = refit(model, plan, samples)
    apart = distance(outputs_of(fitted, samples, training=True), outputs_of(fitted, samples))
    stale = factorize(model, plan)
    assert apart < 0.05
    assert apart < 0.2 * distance(outputs_of(stale, samples, training=True), outputs_of(stale, samples))


@pytest.mark.parametrize("kind", ["projection", "before the activation"])
def test_the_seed_makes_it_repeatable(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.compress.fit.refit.ROWS_ELEMENTS", 1)
    one = case(kind)
    first, again, other = (
        refit(one.model, one.plan, one.samples, settings=FitSettings(seed=seed)).get_weights() for seed in (3, 3, 4)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != b) for a, b in zip(first, other, strict=True))


def test_a_part_of_the_positions_is_nearly_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    one = case("identity")
    whole = distance(outputs_of(refit(one.model, one.plan, one.samples), one.samples), one.wanted)
    monkeypatch.setattr("rankline.src.compress.fit.refit.ROWS_ELEMENTS", 1)
    monkeypatch.setattr("rankline.src.compress.fit.refit.ROWS_PER_DIMENSION", 30)
    part = distance(outputs_of(refit(one.model, one.plan, one.samples), one.samples), one.wanted)
    assert whole * 0.95 < part < 1.3 * whole


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_makes_no_difference(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case("projection")
    samples = [x[:40] for x in one.samples]
    whole = refit(one.model, one.plan, samples)
    monkeypatch.setattr("rankline.src.compress.fit.refit.fitting_batch", lambda calls: batch)
    again = refit(one.model, one.plan, samples)
    np.testing.assert_allclose(outputs_of(again, samples)[0], outputs_of(whole, samples)[0], atol=2e-2)


def test_what_an_earlier_layer_lost_is_mended_by_a_later_one() -> None:
    """The layer behind the factorized one stays whole, and is fitted to what it is given now."""
    one = case("sequential")
    plan: Plan = {"a": Configuration("svd", (2,))}
    alone = refit(one.model, plan, one.samples, settings=PLAIN, paths=["a"])
    both = refit(one.model, plan, one.samples, settings=PLAIN, paths=["a", "b"])
    near, far = (distance(outputs_of(each, one.samples), one.wanted) for each in (both, alone))
    assert near < 0.9 * far
    np.testing.assert_array_equal(alone.get_layer("b").get_weights()[0], one.model.get_layer("b").get_weights()[0])
    assert np.any(both.get_layer("b").get_weights()[0] != one.model.get_layer("b").get_weights()[0])


@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        ("identity", {"a": Configuration("svd", (1,))}),
        ("projection", {"a": Configuration("svd", (3,)), "b": Configuration("svd", (2,))}),
    ],
)
def test_a_residual_sum_is_nearer_when_it_is_the_target(kind: str, plan: Plan) -> None:
    one = case(kind)
    sums = [
        distance(*(add_of(each, one.samples) for each in (refit(one.model, plan, one.samples, None, some), one.model)))
        for some in (PLAIN, replace(PLAIN, residual=False))
    ]
    assert sums[0] < 0.95 * sums[1]


def add_of(model: keras.Model, samples: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs of the residual sum."""
    (add,) = (layer for layer in model.layers if isinstance(layer, layers.Add))
    return outputs_of(keras.Model(model.inputs, add.output), samples)


def test_targets_that_a_relu_stops_need_not_be_met() -> None:
    one = case("identity")
    plan: Plan = {"a": Configuration("svd", (2,))}
    maps = []
    for steps in (0, 2):
        fitted = refit(one.model, plan, one.samples, settings=FitSettings(relu_steps=steps))
        relus = [
            keras.Model(each.inputs, next(x for x in each.layers if isinstance(x, layers.ReLU)).output)
            for each in (fitted, one.model)
        ]
        maps.append(distance(*(outputs_of(each, one.samples) for each in relus)))
    assert maps[1] < 0.98 * maps[0]


def test_a_metric_weighs_the_outputs() -> None:
    one = case("tokens")
    metric = np.diag([1e4, *np.ones(7)])
    errors = []
    for metrics in ({}, {"a": metric}):
        fitted = refit(one.model, {"a": Configuration("svd", (1,))}, one.samples, metrics, PLAIN)
        ours = outputs_of(keras.Sequential(factor_chain(fitted, "a", Configuration("svd", (1,)))), one.samples)[0]
        errors.append(((ours - outputs_of(one.model.get_layer("a"), one.samples)[0])[..., 0] ** 2).mean())
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")
@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        ("identity", {"b": Configuration("cp", (8,)), "c": Configuration("tt", (3, 6, 4))}),
        ("bare", {"a": Configuration("tt", (3, 5, 3)), "d": Configuration("qr", (3,))}),
        ("tokens", {"b": Configuration("t3f", (6,), "4x3:2x4"), "c": Configuration("qr", (4,))}),
        ("projection", {"p": Configuration("t3f", (4,), "3x2:2x3"), "a": Configuration("cp", (8,))}),
        ("sound", {"a": Configuration("cp", (6,)), "b": Configuration("tt", (3, 4))}),
    ],
)
def test_methods_without_a_closed_form_are_fitted_in_their_last_factor(kind: str, plan: Plan) -> None:
    one = case(kind)
    plain = distance(outputs_of(factorize(one.model, plan), one.samples), one.wanted)
    assert distance(outputs_of(refit(one.model, plan, one.samples), one.samples), one.wanted) < plain


@pytest.mark.parametrize("dead", ["channels", "constant", "zero", "all alike"])
def test_deficient_inputs_are_fitted(dead: str) -> None:
    one = case("identity")
    samples = [x.copy() for x in one.samples]
    if dead == "channels":
        samples[0][..., :2] = 0
    elif dead == "constant":
        samples[0][...] = 0.7
    elif dead == "zero":
        samples[0][...] = 0
    else:
        samples[0][...] = samples[0][..., :1]
    wanted = outputs_of(one.model, samples)[0]
    fitted, plain = (
        outputs_of(each, samples)[0] for each in (refit(one.model, one.plan, samples), factorize(one.model, one.plan))
    )
    assert np.isfinite(fitted).all()
    assert ((fitted - wanted) ** 2).mean() <= ((plain - wanted) ** 2).mean()


def test_zero_weights_stay_zero() -> None:
    model, plan = network("sequential")
    model.get_layer("b").kernel.assign(np.zeros(model.get_layer("b").kernel.shape))
    samples = samples_of(model)
    fitted = refit(model, plan, samples)
    assert all(np.isfinite(weight).all() for weight in fitted.get_weights())
    assert np.isfinite(outputs_of(fitted, samples)[0]).all()


@pytest.mark.parametrize("wide_first", [True, False])
def test_a_sum_of_maps_of_several_sizes_is_no_target(wide_first: bool) -> None:
    inputs = keras.Input((6, 6, 4))
    wide = layers.Conv2D(6, 3, padding="same", name="wide")
    narrow = layers.Conv2D(6, 1, name="narrow")
    pooled = layers.GlobalAveragePooling2D(keepdims=True)
    parts = [wide(inputs), narrow(pooled(inputs))] if wide_first else [narrow(pooled(inputs)), wide(inputs)]
    model = randomized(keras.Model(inputs, layers.Flatten()(layers.ReLU()(layers.Add()(parts)))))
    samples, plan = samples_of(model), {"wide": Configuration("svd", (2,)), "narrow": Configuration("svd", (2,))}
    wanted = outputs_of(model, samples)
    fitted, plain = (outputs_of(each, samples) for each in (refit(model, plan, samples), factorize(model, plan)))
    assert distance(fitted, wanted) < distance(plain, wanted)
    assert {fitted.add for fitted in fitted_layers_of(trace(model)).values()} == {None}


def test_an_output_that_goes_on_is_squashed_on_its_way() -> None:
    inputs = keras.Input((8,))
    gate = layers.Dense(6, activation="sigmoid", name="gate")(inputs)
    x = layers.Multiply()([layers.Dense(6, name="value")(inputs), gate])
    model = randomized(keras.Model(inputs, [gate, layers.Dense(3, name="head")(x)]))
    plan: Plan = {"gate": Configuration("svd", (6,)), "head": Configuration("svd", (3,))}
    samples = samples_of(model)
    fitted = refit(model, plan, samples, settings=PLAIN)
    assert distance(outputs_of(fitted, samples), outputs_of(model, samples)) < 1e-3


def test_a_sum_is_reached_last_through_a_layer() -> None:
    """What is summed with a layer's outputs comes before it, so that it is known."""
    for kind in ("identity", "projection"):
        calls = trace(case(kind).model)
        fitted_layers = fitted_layers_of(calls)
        order = fitting_order(calls, fitted_layers)
        assert sorted(order) == list(range(len(calls)))
        place = {index: number for number, index in enumerate(order)}
        assert all(place[source] < place[index] for index, call in enumerate(calls) for source in call.inputs)
        (add,) = (index for index, call in enumerate(calls) if isinstance(call.layer, layers.Add))
        ends = {fitted.ends[0]: fitted.calls[0] for fitted in fitted_layers.values()}
        last = max(calls[add].inputs, key=lambda source: place[source])
        others = [source for source in calls[add].inputs if source != last]
        assert last in ends
        assert all(place[other] < place[ends[last]] for other in others)


def test_maps_whose_channels_come_first_are_fitted() -> None:
    inputs = keras.Input((4, 6, 6))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, data_format="channels_first", name="a")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(axis=1)(x))
    x = layers.Conv2D(6, 3, strides=2, padding="same", data_format="channels_first", name="b")(x)
    model = randomized(keras.Model(inputs, layers.Flatten()(x)))
    samples = [np.moveaxis(case("identity").samples[0], -1, 1)]
    skip_if_refused(model.get_layer("a"))
    wanted = outputs_of(model, samples)
    plan: Plan = {"a": Configuration("tucker", (2, 3)), "b": Configuration("svd", (3,))}
    fitted, plain = (outputs_of(each, samples) for each in (refit(model, plan, samples), factorize(model, plan)))
    assert distance(fitted, wanted) < 0.8 * distance(plain, wanted)


def test_a_fit_of_one_layer_sees_what_the_tuned_layers_before_it_give() -> None:
    inputs = keras.Input((6, 6, 3))
    x = layers.DepthwiseConv2D(3, padding="same", name="before")(inputs)
    model = keras.Model(inputs, layers.Conv2D(4, 1, name="it")(x))
    samples = [np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype(np.float32)]
    tuned = factorize(model, {})
    kernel, bias = tuned.get_layer("before").get_weights()
    tuned.get_layer("before").set_weights([2 * kernel, bias])
    refit(model, {}, samples, start=Start(tuned), paths=["it"])
    assert distance(outputs_of(tuned, samples), outputs_of(model, samples)) < 1e-2


def test_a_batch_norm_that_is_not_folded_is_told_the_same_by_every_fit() -> None:
    inputs = keras.Input((6, 6, 3))
    x = layers.BatchNormalization(name="norm")(
        layers.DepthwiseConv2D(3, name="depth")(layers.Conv2D(3, 3, name="a")(inputs))
    )
    model = keras.Model(inputs, layers.Flatten()(x))
    samples = [np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype(np.float32)]
    plan: Plan = {"a": Configuration("svd", (1,))}
    made = refit(model, plan, samples)
    once = made.get_layer("norm").get_weights()
    refit(model, plan, samples, start=Start(made), paths=["a"])
    for one, other in zip(made.get_layer("norm").get_weights(), once, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
