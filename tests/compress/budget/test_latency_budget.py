"""Budgets of latency: kept under the device's numbers, and measured where the device is this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.budget import on_device
from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.budget.on_device import ROUNDS, TOLERANCE, UNUSED, kept_within, predicted
from rankline.src.compress.deploy.timing import Timing
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.network import network_latency
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.rest import rest_of
from tests.helpers.devices import made_up_device

DEVICE = made_up_device()


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    given = keras.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="a")(given)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="b")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, layers.Dense(6, name="head")(x))


@pytest.fixture(scope="module")
def engine(model: keras.Model) -> CalibratedModel:
    return engine_of(model, DEVICE)


def engine_of(model: keras.Model, device: Device, *metrics: str) -> CalibratedModel:
    samples = np.random.default_rng(0).standard_normal((40, 12, 12, 3)).astype("float32")
    return CalibratedModel(
        model, [samples], ("latency", *metrics), device=device.model, methods=["svd", "spatial_svd", "tucker"]
    )


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_the_plan_is_predicted_to_keep_the_budget(engine: CalibratedModel, share: float) -> None:
    found = engine.allocate({"latency": share})
    told = predicted(engine, found, DEVICE)
    assert told.plan == found.cost.latency
    assert told.plan <= share * told.original
    assert told.original == engine.total.latency
    assert found.plan, "something was factorized"


def test_the_original_s_latency_is_the_call_its_layers_and_the_rest(model: keras.Model) -> None:
    engine = engine_of(model, replace(DEVICE, model=replace(DEVICE.model, cold=())))
    layers, rest = describe(model).layers, list(rest_of(trace(model)))
    assert [one.kind for one in rest] == ["average pooling"]
    alone, left_out = network_latency(DEVICE.model, layers)
    assert not left_out
    assert engine.total.latency == alone + DEVICE.model.polynomial(rest).at(())


def test_weights_take_more_beside_others_and_less_so_in_a_smaller_network(model: keras.Model) -> None:
    cold = ((0, 10.0), (4 * model.count_params(), 90_000.0))
    device = replace(DEVICE, model=replace(DEVICE.model, cold=cold))
    engine = engine_of(model, device)
    assert engine.total.latency - engine.warm.latency == 90_000 * model.count_params()
    found = engine.allocate({"latency": 0.5})
    told = predicted(engine, found, device)
    assert told.plan <= engine.limits({"latency": 0.5})["latency"]
    assert found.cost.latency is not None
    assert found.cost.latency >= told.plan, "each round's weights are at most the last one's"


def test_two_budgets_are_kept_at_once(model: keras.Model) -> None:
    found = engine_of(model, DEVICE, "params").allocate({"latency": 0.8, "params": 0.6})
    engine = engine_of(model, DEVICE, "params")
    assert found.cost.latency <= engine.limits({"latency": 0.8})["latency"]
    assert found.cost.params <= engine.limits({"params": 0.6})["params"]


def test_a_method_without_numbers_is_left_out(model: keras.Model) -> None:
    device = made_up_device(leave_out="along axis")
    options = engine_of(model, device).options
    assert {one.configuration.method for one in options["b"] if one.configuration} == {"svd", "tucker"}


def test_a_budget_below_what_is_possible_tells_the_least_as_a_time(engine: CalibratedModel) -> None:
    with pytest.raises(
        UserError, match=r"a budget of 3 us latency is below what is possible .* the least is [\d.]+ us"
    ):
        engine.allocate({"latency": 3_000_000})


def test_without_a_device_a_budget_of_latency_says_what_it_needs(model: keras.Model) -> None:
    with pytest.raises(UserError, match="latency needs a device"):
        CalibratedModel(model, [np.zeros((4, 12, 12, 3), "float32")], ("latency",)).limits({"latency": 0.5})


@pytest.mark.parametrize("kindness", [0.9, 1.0, 1.1, 1.3])
def test_numbers_that_were_too_kind_or_too_harsh_are_corrected_by_what_was_measured(
    engine: CalibratedModel, monkeypatch: pytest.MonkeyPatch, kindness: float
) -> None:
    """The machine is stood in for by one that takes ``kindness`` times as long for plans as predicted."""

    def latencies(models: Mapping[str, keras.Model], device: Device, progress: Any) -> dict[str, Timing]:
        layers, rest = describe(models["plan"]).layers, list(rest_of(trace(models["plan"])))
        taken, left_out = network_latency(device.model, layers, rest)
        assert not left_out
        times = {"original": engine.total.latency, "plan": round(kindness * taken)}
        return {name: Timing(time, time, 0.0, 20) for name, time in times.items()}

    monkeypatch.setattr(on_device, "is_here", lambda device: True)
    monkeypatch.setattr(on_device, "latencies", latencies)
    keep = {"latency": 0.85}
    first = engine.allocate(keep)
    allocation, told = kept_within(engine, first, keep, DEVICE, "exact")
    assert told.measured_original
    assert told.measured_plan
    assert (allocation.damage < first.damage) == (kindness < 1 - UNUSED), "what the budget leaves is used up"
    assert told.measured_plan <= (1 + TOLERANCE) * 0.85 * told.measured_original
    assert 1 <= len(told.rounds) <= ROUNDS
    assert (len(told.rounds) > 1) == (kindness > 1 + TOLERANCE or kindness < 1 - UNUSED)
    assert told.rounds[-1].measured == told.measured_plan
    assert told.excess <= TOLERANCE
    assert told.plan == predicted(engine, allocation, DEVICE).plan


def test_a_plan_that_cannot_keep_its_budget_is_told_to_be_above_it(
    engine: CalibratedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"original": Timing(10**9, 10**9, 0.0, 20), "plan": Timing(4 * 10**9, 4 * 10**9, 0.0, 20)}
    monkeypatch.setattr(on_device, "is_here", lambda device: True)
    monkeypatch.setattr(on_device, "latencies", lambda *given: times)
    allocation, told = kept_within(engine, engine.allocate({"latency": 0.8}), {"latency": 0.8}, DEVICE, "exact")
    assert told.excess == pytest.approx(4 / 0.8 - 1, rel=1e-6)
    assert told.plan == predicted(engine, allocation, DEVICE).plan


def test_on_another_machine_nothing_is_measured(engine: CalibratedModel) -> None:
    keep = {"latency": 0.8}
    allocation = engine.allocate(keep)
    same, told = kept_within(engine, allocation, keep, replace(DEVICE, version="0.0.1"), "exact")
    assert same is allocation
    assert told.measured_plan is None
    assert "predicted" in told.told
