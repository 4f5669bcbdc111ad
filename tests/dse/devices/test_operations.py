"""The operations of a device count what the formulas count."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.operations import KINDS, Operation, chain_operations, kept_operation, original_operations
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import layer_shape
from tests.helpers import brute
from tests.helpers.layers import layers_with_method

PLAIN = LatencyModel("plain", tile=1, pads=False, call=0, numbers=())


def counted(operations: tuple[Operation, ...], ranks: tuple[int, ...]) -> list[int]:
    """The sums of operations, MACs, elements read, elements made, and weights."""
    return [sum(column) for column in zip(*(PLAIN.amounts(one, ranks) for one in operations), strict=True)]


@settings(max_examples=150, deadline=None)
@given(layers_with_method(), st.data())
def test_macs_outputs_and_weights_are_those_of_the_formulas(chosen: tuple[Layer, str], data: st.DataObject) -> None:
    layer, method = chosen
    one = data.draw(st.sampled_from(list(brute.configurations(layer, method, Options(t3f_order="all")))))
    operations = chain_operations(layer_shape(layer), method, len(one.ranks), one.shape)
    number, macs, _, made, weights = counted(operations, one.ranks)
    assert (number, 2 * macs, made, weights) == (one.cost.factors, one.cost.flops, one.cost.fm, one.cost.params)
    assert all(operation.kind.removeprefix("3-D ") in KINDS for operation in operations)


@settings(max_examples=60, deadline=None)
@given(layers_with_method())
def test_so_are_those_of_the_layer_as_it_is(chosen: tuple[Layer, str]) -> None:
    layer, cost = chosen[0], brute.original(chosen[0])
    number, macs, _, made, weights = counted(original_operations(layer_shape(layer)), ())
    assert (number, 2 * macs, made, weights) == (1, cost.flops, cost.fm, cost.params)


@settings(max_examples=100, deadline=None)
@given(layers_with_method(), st.data())
def test_what_a_convolution_reads_is_what_the_one_before_made(chosen: tuple[Layer, str], data: st.DataObject) -> None:
    layer, method = chosen
    one = data.draw(st.sampled_from(list(brute.configurations(layer, method))))
    if method == "t3f":
        return
    operations = chain_operations(layer_shape(layer), method, len(one.ranks), one.shape)
    amounts = [PLAIN.amounts(operation, one.ranks) for operation in operations]
    assert [read for _, _, read, _, _ in amounts[1:]] == [made for _, _, _, made, _ in amounts[:-1]]


KIND_OF = [
    (conv("a", (3, 3), 4, 6, (8, 8)), "tucker", (2, 3), ["pointwise", "convolution", "pointwise"]),
    (conv("a", (3, 3), 4, 6, (8, 8)), "spatial_svd", (2,), ["along axis"] * 2),
    (conv("a", (3, 3), 4, 6, (8, 8)), "cp", (2,), ["pointwise", *["depthwise along axis"] * 2, "pointwise"]),
    (conv("a", (3, 3), 4, 6, (8, 8), 2), "cp", (2,), ["pointwise", *["own along axis"] * 2, "pointwise"]),
    (conv("a", (3,), 4, 6, (8,)), "tt", (2, 3), ["pointwise", "along axis", "pointwise"]),
    (conv("a", (2, 2, 2), 4, 6, (4, 4, 4)), "svd", (2,), ["3-D convolution", "3-D pointwise"]),
    (conv("a", (1, 1), 4, 6, (8, 8)), "svd", (2,), ["pointwise"] * 2),
    (dense("a", 4, 6), "qr", (2,), ["dense"] * 2),
    (dense("a", 4, 6), "t3f", (2,), ["core"] * 2),
]


@pytest.mark.parametrize(("layer", "method", "ranks", "kinds"), KIND_OF)
def test_operations_are_of_the_kind_that_runs(
    layer: Layer, method: str, ranks: tuple[int, ...], kinds: list[str]
) -> None:
    shape = "3x2:2x2" if method == "t3f" else None
    operations = chain_operations(layer_shape(layer), method, len(ranks), shape)
    assert [one.kind for one in operations] == kinds


def test_a_kept_depthwise_layer_is_an_operation_and_others_are_none() -> None:
    kept = Layer("d", "depthwiseconv2d", 4, 4, (3, 3), (8, 8), (8, 8), kept_because="depthwise")
    operation = kept_operation(kept)
    assert operation is not None
    assert PLAIN.amounts(operation, ()) == [1, 8 * 8 * 9 * 4, 8 * 8 * 4, 8 * 8 * 4, 9 * 4]
    assert kept_operation(Layer("e", "embedding", 4, 4, kept_because="other")) is None
