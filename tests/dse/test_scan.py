"""Scans against lines and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.lines import lines_of
from rankline.src.dse.metric import FLOPS, FM, PARAMS, Metric
from rankline.src.dse.options import Options
from rankline.src.dse.scan.census import census, census_of_lines
from rankline.src.dse.scan.histogram import edges, histogram
from rankline.src.dse.scan.intervals import Limits, narrowed
from rankline.src.dse.scan.select import sample, top
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape
from tests.helpers import brute
from tests.helpers.layers import layers_with_method

SETS = ("all", "better", "useful")


def members(layer: Layer, method: str, chosen: str, limits: Limits | None = None) -> list[brute.Configuration]:
    def inside(one: brute.Configuration) -> bool:
        values = {metric: metric.of(one.cost) for metric in limits or {}}
        bounds = (limits or {}).items()
        return all((lo is None or lo <= values[n]) and (hi is None or values[n] <= hi) for n, (lo, hi) in bounds)

    every = brute.configurations(layer, method)
    return [one for one in every if (chosen == "all" or getattr(one, chosen)) and inside(one)]


@settings(max_examples=60, deadline=None)
@given(layers_with_method(), st.integers(1, 3), st.sampled_from(["aligned", "all"]))
def test_the_census_equals_the_lines_and_brute_force(chosen: tuple[Layer, str], multiple: int, order: str) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple, t3f_order=order)
    space = Space(method, layer_shape(layer), options)
    found = census(space)
    assert found == census_of_lines(lines_of(space))
    every = list(brute.configurations(layer, method, options))
    for row, one in enumerate(SETS):
        group = [entry for entry in every if one == "all" or getattr(entry, one)]
        assert found.counts[row] == len(group)
        for column, metric in enumerate(("params", "fm", "flops")):
            values = [getattr(entry.cost, metric) for entry in group] or [0]
            assert (found.lows[row, column], found.highs[row, column]) == (min(values), max(values))
            assert found.sums[row, column] == sum(values) if group else True


def test_the_census_of_a_large_space_equals_its_lines() -> None:
    space = Space("tt", layer_shape(conv("c", (3, 3), 128, 128, (8, 8))), Options())
    found = census(space)
    assert found.counts[0] == 128 * 384 * 128
    assert found == census_of_lines(lines_of(space))


@settings(max_examples=50, deadline=None)
@given(layers_with_method(), st.sampled_from(SETS), st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_histogram_counts_every_configuration_once(
    chosen: tuple[Layer, str], one: str, columns: int, rows: int, data: st.DataObject
) -> None:
    layer, method = chosen
    found = narrowed(lines_of(Space(method, layer_shape(layer), Options())), one)
    group = members(layer, method, one)
    whole = brute.original(layer)
    x_edges = edges(data.draw(st.integers(0, whole.params)), 2 * whole.params, columns)
    y_edges = edges(data.draw(st.integers(0, whole.flops)), 2 * whole.flops, rows)
    wanted, _, _ = np.histogram2d(
        [entry.cost.params for entry in group],
        [entry.cost.flops for entry in group],
        bins=(x_edges - 0.5, y_edges - 0.5),
    )
    assert np.array_equal(histogram(found, PARAMS, x_edges, FLOPS, y_edges), wanted)


@settings(max_examples=50, deadline=None)
@given(layers_with_method(), st.sampled_from(SETS), st.sampled_from([PARAMS, FM, FLOPS]), st.data())
def test_top_under_limits_equals_sorting_everything(
    chosen: tuple[Layer, str], one: str, metric: Metric, data: st.DataObject
) -> None:
    layer, method = chosen
    whole = brute.original(layer)
    limits: Limits = {
        PARAMS: (data.draw(st.integers(0, whole.params)), None),
        FM: (None, data.draw(st.integers(1, 4 * whole.fm))),
    }
    found = narrowed(lines_of(Space(method, layer_shape(layer), Options())), one, limits)
    group = members(layer, method, one, limits)
    assert found.count == len(group)
    best = [found.configuration(*place) for place in top(found, metric, 5)]
    keys = [
        (metric.of(cost), cost.params, cost.fm)
        for cost in (brute.costs(layer, method, best_one.ranks, best_one.shape) for best_one in best)
    ]
    assert keys == sorted((metric.of(entry.cost), entry.cost.params, entry.cost.fm) for entry in group)[:5]
    assert len(set(best)) == len(best)


@settings(max_examples=30, deadline=None)
@given(layers_with_method(), st.sampled_from(SETS))
def test_a_sample_of_everything_is_everything(chosen: tuple[Layer, str], one: str) -> None:
    layer, method = chosen
    found = narrowed(lines_of(Space(method, layer_shape(layer), Options())), one)
    group = members(layer, method, one)
    drawn = [found.configuration(*place) for place in sample(found, len(group) + 3, seed=0)]
    assert sorted(drawn, key=repr) == sorted(
        (Configuration(method, entry.ranks, entry.shape) for entry in group), key=repr
    )


def test_an_unknown_set_is_refused() -> None:
    lines = list(lines_of(Space("svd", layer_shape(dense("d", 8, 8)), Options())))
    with pytest.raises(UserError, match="unknown set"):
        narrowed(lines, "best")
