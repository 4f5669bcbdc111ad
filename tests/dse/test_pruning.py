from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.network import layer_latency
from rankline.src.dse.layer import Layer, conv, dense, layer_from
from rankline.src.dse.network_cost import counted_cost
from rankline.src.dse.pruning import pruned, pruned_originals
from tests.helpers.devices import made_up_device
from tests.helpers.layers import conv_layers, dense_layers


def test_a_convolution_loses_the_kernels_and_maps_of_its_pruned_filters() -> None:
    layer = conv("c", (3, 3), 8, 12, (6, 6), strides=2)
    found = {one.filters: one.cost for one in pruned_originals(layer)}
    # 9 taps, 8 inputs, 3 x 3 places
    assert found == {filters: Cost(9 * 8 * filters, 9 * filters, 2 * 9 * 9 * 8 * filters) for filters in (9, 6, 3)}
    assert {one.of for one in pruned_originals(layer)} == {12}


@given(layer=conv_layers() | dense_layers())
def test_each_cost_falls_with_the_filters(layer: Layer) -> None:
    whole = counted_cost(layer)
    for one in pruned_originals(layer):
        for now, was in zip(_counts(one.cost), _counts(whole), strict=True):
            assert now * layer.out_channels == was * one.filters


@pytest.mark.parametrize(("units", "kept"), [(1, []), (2, [1]), (3, [2, 1]), (100, [75, 50, 25])])
def test_each_number_of_filters_is_told_once_and_one_is_always_left(units: int, kept: list[int]) -> None:
    assert [one.filters for one in pruned_originals(dense("d", 16, units))] == kept


def test_a_device_tells_the_latency_of_the_smaller_layer_or_none() -> None:
    layer = conv("c", (3, 3), 8, 12, (6, 6))
    model = made_up_device().model
    for one in pruned_originals(layer, model):
        assert one.cost.latency == layer_latency(model, pruned(layer, one.filters))
    unknown = made_up_device(leave_out="convolution").model
    assert {one.cost.latency for one in pruned_originals(layer, unknown)} == {None}
    assert {one.cost.latency for one in pruned_originals(layer)} == {None}


def test_a_kept_layer_has_no_pruned_originals() -> None:
    entry = {"name": "deep", "kind": "depthwiseconv2d", "kept_because": "depthwise is kept", "out_channels": 4}
    assert pruned_originals(layer_from(entry)) == ()


def test_nothing_but_the_filters_changes() -> None:
    layer = conv("c", (3, 3), 8, 12, (6, 6))
    assert pruned(layer, 5) == replace(layer, out_channels=5)


def _counts(cost: Cost) -> tuple[int, int, int]:
    return cost.params, cost.fm, cost.flops
