"""Latencies along rank lines are those at single ranks, and spaces with a device know them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import NOTHING, Cost, total
from rankline.src.dse.devices.latency import TILED, LatencyModel, TiledPolynomial
from rankline.src.dse.devices.operations import KINDS, chain_operations
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv
from rankline.src.dse.lines import lines_of
from rankline.src.dse.metric import LATENCY, Metric
from rankline.src.dse.options import Options
from rankline.src.dse.scan.intervals import narrowed
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape
from tests.helpers.latency_models import configurations, model_of, models, original_latency
from tests.helpers.layers import layers_with_method

CONV = conv("c", (3, 3), 4, 6, (8, 8))


@st.composite
def polynomials(draw: st.DrawFn, n_ranks: int) -> TiledPolynomial:
    """Affine in each rank and its tiles, as operations make them: a rank counts plainly or in tiles, not both."""
    masks = set()
    for _ in range(draw(st.integers(1, 6))):
        mask = 0
        for j in range(n_ranks):
            mask |= draw(st.sampled_from([0, 1 << j, 1 << (TILED + j)]))
        masks.add(mask)
    numbers = [draw(st.integers(0, 10**9)) for _ in masks]
    return TiledPolynomial(draw(st.integers(1, 9)), tuple(masks), tuple(numbers))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 7))
def test_along_a_line_a_polynomial_has_the_values_that_it_has_at_single_ranks(
    data: st.DataObject, n_ranks: int, step: int
) -> None:
    polynomial = data.draw(polynomials(n_ranks))
    free = data.draw(st.integers(0, n_ranks - 1))
    ranks = np.array(
        data.draw(st.lists(st.lists(st.integers(1, 40), min_size=n_ranks, max_size=n_ranks), max_size=5)), np.int64
    )
    for line, (start, slope, rise) in zip(
        ranks.tolist(), polynomial.along(ranks.reshape(-1, n_ranks), free, step).T.tolist(), strict=True
    ):
        for k in range(1, 20):
            line[free] = step * k
            assert start + slope * k + rise * -(-step * k // polynomial.tile) == polynomial.at(line)


@settings(max_examples=80, deadline=None)
@given(layers_with_method(), models, st.integers(1, 4))
def test_the_lines_of_a_timed_space_have_the_latency_of_every_configuration(
    chosen: tuple[Layer, str], model: LatencyModel, multiple: int
) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple)
    space = Space(method, layer_shape(layer), options).on(model)
    found = narrowed(lines_of(space), "all")
    places = [(line, k) for line in range(len(found.lo)) for k in range(found.lo[line], found.hi[line] + 1)]
    latencies = {found.configuration(*place): found.cost(*place).latency for place in places}
    wanted = configurations(layer, method, model, options)
    assert latencies == {Configuration(method, one.ranks, one.shape): one.cost.latency for one in wanted}
    assert space.original.latency == original_latency(layer, model)
    for one in wanted[:: max(1, len(wanted) // 5)]:
        cost = space.cost_at(Configuration(method, one.ranks, one.shape))
        assert cost is not None
        assert (cost, cost.latency) == (one.cost, one.cost.latency)


@settings(max_examples=40, deadline=None)
@given(layers_with_method(), models)
def test_a_latency_never_falls_as_a_rank_rises(chosen: tuple[Layer, str], model: LatencyModel) -> None:
    layer, method = chosen
    at = {(one.shape, one.ranks): one.cost.latency for one in configurations(layer, method, model)}
    for (shape, ranks), latency in at.items():
        for j in range(len(ranks)):
            more = tuple(rank + (i == j) for i, rank in enumerate(ranks))
            assert at.get((shape, more), latency) >= latency  # type: ignore[operator]


def test_output_channels_count_in_whole_tiles() -> None:
    model = LatencyModel("d", 8, False, 0, (("pointwise", (0, 0, 0, 1, 0)), ("convolution", (0, 0, 0, 0, 0))))
    polynomial = model.polynomial(chain_operations(layer_shape(CONV), "svd", 1, None)[:1])
    assert [polynomial.at((rank,)) for rank in (1, 8, 9)] == [0, 0, 0]
    polynomial = model.polynomial(chain_operations(layer_shape(CONV), "tucker", 2, None)[:1])
    assert [polynomial.at((rank, 1)) for rank in (1, 8, 9)] == [64 * 8, 64 * 8, 64 * 16]


def test_an_operation_that_was_not_measured_is_refused_with_its_name() -> None:
    few = LatencyModel("phone", 8, False, 0, (("dense", (1, 1, 1, 1, 1)), ("convolution", (1, 1, 1, 1, 1))))
    space = Space("tucker", layer_shape(CONV), Options()).on(few)
    assert space.original.latency is not None
    with pytest.raises(UserError, match="device 'phone' has no numbers for the operation 'pointwise', only for dense"):
        _ = space.branches


def test_a_latency_that_would_not_fit_into_64_bits_is_refused() -> None:
    huge = LatencyModel("slow", 8, False, 0, tuple((kind, (1e15,) * 5) for kind in KINDS))
    with pytest.raises(UserError, match="64-bit"):
        _ = Space("tucker", layer_shape(CONV), Options()).on(huge).branches


def test_a_device_that_takes_no_time_is_refused() -> None:
    none = LatencyModel("magic", 8, False, 0, tuple((kind, (0.0,) * 5) for kind in KINDS))
    with pytest.raises(UserError, match="device 'magic' takes no time"):
        _ = Space("tucker", layer_shape(CONV), Options()).on(none).original


def test_a_device_defines_nothing_of_a_space() -> None:
    space = Space("tucker", layer_shape(CONV), Options())
    timed = space.on(model_of(1))
    assert (timed.digest, timed.definition()) == (space.digest, space.definition())
    assert timed.on(None) == space
    assert timed != space


def test_latencies_add_and_subtract_where_both_are_known() -> None:
    known, other, unknown = Cost(1, 2, 3, latency=50), Cost(4, 5, 6, latency=70), Cost(7, 8, 9)
    assert ((known + other).latency, (other - known).latency, total([known, other]).latency) == (120, 20, 120)
    assert (known + unknown).latency is (unknown - known).latency is total([known, unknown]).latency is None
    assert (NOTHING + known).latency == 50
    assert Cost(1, 2, 3) == known  # latencies aren't compared


def test_a_latency_without_a_device_is_refused() -> None:
    with pytest.raises(UserError, match="latency needs a device: choose one with --device NAME"):
        LATENCY.of(Cost(1, 2, 3))
    found = narrowed(lines_of(Space("tucker", layer_shape(CONV), Options())))
    with pytest.raises(UserError, match="latency needs a device"):
        found.along(LATENCY)
    assert not LATENCY.is_known(Cost(1, 2, 3))
    assert LATENCY.reduction(Cost(1, 2, 3, latency=25), Cost(4, 5, 6, latency=100)) == 0.75


def test_a_metric_may_weigh_latency_with_other_costs() -> None:
    mixed = Metric("mixed", "mixed", "mixed", params=3, latency=2)
    space = Space("tucker", layer_shape(CONV), Options()).on(model_of(3, tile=4))
    found = narrowed(lines_of(space), "all")
    values = found.along(mixed).at(found.hi)
    wanted = [3 * cost.params + 2 * (cost.latency or 0) for cost in map(found.cost, range(len(values)), found.hi)]
    assert values.tolist() == wanted
