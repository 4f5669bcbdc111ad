"""What a model is predicted to take: layer by layer, the same for a plan and for the model that was made by it."""

from __future__ import annotations

import keras
import pytest

from rankline.src.compress.deploy.prediction import predict
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.network import layer_latency, whole_latency
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.plan import Plan
from tests.helpers.devices import elsewhere

DEVICE = elsewhere(cold=((100, 2.5), (100_000, 90.0)))
"""With slower weights in larger networks."""


def model() -> keras.Model:
    """Convolutions in two and three dimensions, with strides, and dense layers."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 8, 2)),
            layers.Conv3D(6, 3, padding="same", name="three"),
            layers.Reshape((8, 16, 24)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="two"),
            layers.BatchNormalization(),
            layers.Conv2D(12, 3, strides=2, padding="same", name="strided"),
            layers.DepthwiseConv2D(3, name="own"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(16, activation="tanh", name="wide"),
            layers.Dense(4, name="classes"),
        ],
        name="kinds",
    )


PLANS: dict[str, Plan] = {
    "tucker": {name: Configuration("tucker", (2, 3)) for name in ("three", "two", "strided")},
    "cp": {name: Configuration("cp", (3,)) for name in ("three", "two", "strided")},
    "tt": {
        "three": Configuration("tt", (2, 3, 2, 2)),
        **{name: Configuration("tt", (2, 3, 2)) for name in ("two", "strided")},
    },
    "svd": {name: Configuration("svd", (3,)) for name in ("two", "strided", "wide", "classes")},
    "spatial_svd": {name: Configuration("spatial_svd", (3,)) for name in ("two", "strided")},
    "qr": {"wide": Configuration("qr", (3,))},
    "t3f": {"wide": Configuration("t3f", (2,), "4x4:3x4")},
}


@pytest.mark.parametrize("method", PLANS)
def test_a_plan_and_the_model_that_is_made_by_it_have_the_same_latencies(method: str) -> None:
    original, plan = model(), PLANS[method]
    planned = predict(original, DEVICE, plan)
    made = predict(factorize(original, plan), DEVICE, plan)
    assert [(one.layer, one.choice, one.latency) for one in made.layers] == [
        (one.layer, one.choice, one.latency) for one in planned.layers
    ]
    assert (made.rest, made.beside, made.whole) == (planned.rest, planned.beside, planned.whole)
    assert planned.untimed == []
    assert planned.original == predict(original, DEVICE).whole
    assert (planned.is_planned, made.is_planned) == (True, False)


def test_the_whole_is_the_call_the_layers_the_rest_and_what_weights_take_beside_each_other() -> None:
    network = model()
    found = predict(network, DEVICE)
    shape = describe(network)
    whole, untimed = whole_latency(DEVICE.model, shape.layers, rest_of(trace(network)), shape.params)
    assert (found.whole, found.untimed) == (whole, untimed)
    assert found.rest > 0
    assert found.beside > 0
    shapes = {layer.name: layer for layer in shape.layers}
    assert {one.layer: one.latency for one in found.layers} == {
        name: layer_latency(DEVICE.model, layer) for name, layer in shapes.items()
    }


def test_layers_that_the_device_cant_tell_are_named_and_in_no_sum() -> None:
    lacking = elsewhere("phone", leave_out="depthwise along axis")
    plan = PLANS["cp"]
    planned = predict(model(), lacking, plan)
    assert planned.untimed == ["two"]
    made = predict(factorize(model(), plan), lacking, plan)
    assert made.untimed == ["two"]
    assert made.whole == planned.whole
    network = keras.Sequential([keras.Input((4, 6)), keras.layers.LSTM(3, name="lstm")])
    assert predict(network, DEVICE).untimed == ["lstm"]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"tow": Configuration("svd", (2,))}, "unknown layer 'tow'; did you mean 'two'"),
        (
            {"own": Configuration("svd", (2,))},
            "layer 'own' can't be factorized by svd: a depthwise conv",
        ),
        ({"wide": Configuration("cp", (2,))}, "layer 'wide' can't be factorized by cp: .*take it out of the plan"),
        ({"two": Configuration("tucker", (2,))}, r"the ranks of tucker are at most \(24, 8\); got \(2,\)"),
        ({"two": Configuration("tucker", (2, 9))}, r"the ranks of tucker are at most \(24, 8\); got \(2, 9\)"),
        ({"wide": Configuration("t3f", (2,), "4x4:5x4")}, "layer 'wide': .*4x4:5x4"),
    ],
)
def test_a_plan_of_other_layers_or_ranks_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predict(model(), DEVICE, plan)
