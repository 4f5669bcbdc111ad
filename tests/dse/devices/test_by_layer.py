"""A network's latency layer by layer: the layers and the call add up, and what a device can't tell is named."""

from __future__ import annotations

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.by_layer import network_times
from rankline.src.dse.devices.network import network_latency
from rankline.src.dse.layer import Layer, conv, dense
from tests.helpers.devices import made_up_device

KEPT = Layer("memory", "lstm", 4, 4, kept_because="recurrent", kept_params=36)
LAYERS = [conv("a", (3, 3), 8, 12, (6, 6)), dense("b", 16, 24), KEPT]
PLAN = {"a": Configuration("tucker", (2, 3)), "b": Configuration("svd", (4,))}


def test_the_layers_and_the_call_add_up() -> None:
    model = made_up_device().model
    found = network_times(model, LAYERS, PLAN)
    assert found.before == network_latency(model, LAYERS)[0]
    assert found.after == network_latency(model, LAYERS, plan=PLAN)[0]
    assert found.before == model.call + sum(one.before or 0 for one in found.layers)
    assert found.after == model.call + sum(one.after or 0 for one in found.layers)
    assert (found.untold, found.unplanned) == (["memory"], [])


def test_weights_beside_others_are_in_the_sums_where_their_numbers_are_told() -> None:
    model = made_up_device().model
    alone, found = network_times(model, LAYERS, PLAN), network_times(model, LAYERS, PLAN, (2**20, 2**18))
    assert found.before - alone.before == round(model.cold_rate(2**20) * 2**20) > 0
    assert (found.after or 0) - (alone.after or 0) == round(model.cold_rate(2**18) * 2**18)


def test_a_layer_that_is_not_in_the_plan_takes_what_it_took() -> None:
    found = network_times(made_up_device().model, LAYERS, {"b": PLAN["b"]})
    assert found.layers[0].after == found.layers[0].before
    assert found.before - (found.after or 0) == (found.layers[1].before or 0) - (found.layers[1].after or 0)


def test_a_configuration_that_the_device_cannot_tell_leaves_the_sum_after_unknown() -> None:
    found = network_times(made_up_device(leave_out="pointwise").model, LAYERS, PLAN)
    assert (found.after, found.unplanned, found.untold) == (None, ["a"], ["memory"])
    assert found.layers[0].before is not None


def test_a_layer_that_the_device_cannot_tell_is_in_neither_sum_though_its_configuration_could_be_told() -> None:
    model = made_up_device(leave_out="convolution").model
    plan = {"a": Configuration("spatial_svd", (2,))}
    found = network_times(model, LAYERS, plan)
    assert found.untold == ["a", "memory"]
    assert found.layers[0].after is not None
    assert found.before == found.after == model.call + (found.layers[1].before or 0)
