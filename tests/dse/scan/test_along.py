"""Bounds on a metric along lines, and scans over them, against every configuration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.layer import Layer
from rankline.src.dse.lines import lines_of
from rankline.src.dse.metric import FLOPS, LATENCY, PARAMS
from rankline.src.dse.options import Options
from rankline.src.dse.scan.along import Along
from rankline.src.dse.scan.front import front, front_of_many, with_errors
from rankline.src.dse.scan.histogram import edges, histogram
from rankline.src.dse.scan.intervals import narrowed
from rankline.src.dse.scan.levels import counts_and_flops
from rankline.src.dse.scan.select import top
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape
from tests.helpers.error_tables import made_up
from tests.helpers.latency_models import configurations, models
from tests.helpers.layers import layers_with_method

STARTS, SLOPES = st.integers(0, 10**6) | st.integers(0, 2**40), st.integers(0, 30) | st.integers(0, 2**30)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(STARTS, SLOPES, SLOPES), min_size=1, max_size=4),
    st.integers(1, 9), st.integers(1, 20), st.integers(1, 5), st.integers(0, 60), st.data(),
)  # fmt: skip
def test_the_k_within_bounds_are_those_whose_values_are(
    numbers: list[tuple[int, int, int]], step: int, tile: int, first: int, count: int, data: st.DataObject
) -> None:
    start, slope, rise = np.array(numbers, np.int64).T.copy()
    of = Along(start, slope, rise, step, tile)
    lo, hi = np.full(len(start), first), np.full(len(start), first + count - 1)
    values = [[a + b * k + c * -(-step * k // tile) for k in range(first, first + count)] for a, b, c in numbers]
    assert all(of.at(np.full(len(start), first + j)).tolist() == [some[j] for some in values] for j in range(count))
    marks = st.sampled_from(sorted({max(0, one + off) for some in values for one in some for off in (-1, 0, 1)} | {0}))
    low, high = data.draw(st.none() | marks), data.draw(st.none() | marks)
    found_lo, found_hi = of.within(lo, hi, low, high)
    for i, some in enumerate(values):
        inside = [
            first + j for j, one in enumerate(some) if (low is None or low <= one) and (high is None or one <= high)
        ]
        assert list(range(found_lo[i], found_hi[i] + 1)) == inside


@pytest.mark.parametrize("rise", [0, 2**50])
def test_bounds_are_exact_where_floats_are_not(rise: int) -> None:
    of = Along(*(np.array([value], np.int64) for value in (2**58 + 1, 2**49 + 1, rise)), 1, 16)
    values = [int(of.at(np.array([k]))[0]) for k in range(1, 200)]
    ones, ends = np.array([1]), np.array([199])
    for k in (1, 15, 16, 17, 32, 33, 198):
        assert of.within(ones, ends, values[k - 1], None)[0][0] == k
        assert of.within(ones, ends, values[k - 1] + 1, None)[0][0] == k + 1
        assert of.within(ones, ends, None, values[k - 1])[1][0] == k
        assert of.within(ones, ends, None, values[k - 1] - 1)[1][0] == k - 1


multiples = st.integers(1, 4)


@settings(max_examples=80, deadline=None)
@given(layers_with_method(), models, multiples, st.sampled_from(["all", "useful"]), st.data())
def test_scans_by_latency_equal_brute_force(
    chosen: tuple[Layer, str], model: LatencyModel, multiple: int, one: str, data: st.DataObject
) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple)
    space = Space(method, layer_shape(layer), options).on(model)
    every = [c for c in configurations(layer, method, model, options) if one == "all" or getattr(c, one)]
    times = sorted(LATENCY.of(c.cost) for c in every) or [0]
    low, high = sorted(data.draw(st.sampled_from(times)) + data.draw(st.integers(-1, 1)) for _ in range(2))
    found = narrowed(lines_of(space), one, {LATENCY: (max(0, low), max(0, high))})
    inside = [c for c in every if low <= LATENCY.of(c.cost) <= high]
    assert found.count == len(inside)
    keys = [(LATENCY.of(c.cost), c.cost.params, c.cost.fm) for c in inside]
    picked = [found.cost(*place) for place in top(found, LATENCY, 5)]
    assert [(LATENCY.of(c), c.params, c.fm) for c in picked] == sorted(keys)[:5]
    found = narrowed(lines_of(space), one)
    x, y = edges(times[0], times[-1], 3), edges(0, 2 * space.original.params, 4)
    wanted, _, _ = np.histogram2d(
        [LATENCY.of(c.cost) for c in every], [c.cost.params for c in every], bins=(x - 0.5, y - 0.5)
    )
    assert np.array_equal(histogram(found, LATENCY, x, PARAMS, y), wanted)
    levels = np.array([[0, low - 1], [low, high], [high + 1, 2**62]]).T.copy()
    counts = counts_and_flops(found.lo, found.hi, found.along(LATENCY), found.along(FLOPS), *levels)
    for row, (least, most) in zip(counts.tolist(), levels.T.tolist(), strict=True):
        flops = [c.cost.flops for c in every if least <= LATENCY.of(c.cost) <= most]
        assert row[0] == len(flops)
        assert not flops or row[1:] == [min(flops), max(flops)]


@settings(max_examples=60, deadline=None)
@given(layers_with_method(), models, multiples, st.integers(0, 10**6))
def test_the_front_of_error_against_latency_is_what_nothing_beats(
    chosen: tuple[Layer, str], model: LatencyModel, multiple: int, seed: int
) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple, max_rank=6)
    tables = made_up(layer, method, seed, options)
    found, curves = with_errors(narrowed(lines_of(Space(method, layer_shape(layer), options).on(model))), tables)
    every = [
        (LATENCY.of(one.cost), one.cost.params, round(tables[one.shape].error(one.ranks), 9))
        for one in configurations(layer, method, model, options)
        if one.useful
    ]

    def place(line: int, k: int) -> tuple[int, int, float]:
        cost = found.cost(line, k)
        error = float(np.sqrt(curves.at(np.array([line]), np.array([k]))[0]))
        return LATENCY.of(cost), cost.params, round(error, 9)

    best: list[tuple[int, float]] = []
    for latency, _, error in sorted(every, key=lambda point: (point[0], point[2])):
        if not best or error < best[-1][1]:
            best.append((latency, error))
    points = [place(*one) for one in front(found, curves, LATENCY, levels=10**6)]
    assert [(latency, error) for latency, _, error in points] == best
    wanted = {
        point
        for point in every
        if not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in every)
    }
    assert {place(*one) for one in front_of_many(found, curves, [LATENCY, PARAMS])} == wanted
