"""Error tables: evaluated along lines as at single ranks, windows on errors, and fronts."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.dse.error_table import ESTIMATE, EXACT, Curves, ErrorTable, from_bytes, to_bytes
from rankline.src.dse.layer import Layer
from rankline.src.dse.lines import lines_of
from rankline.src.dse.metric import METRICS, Metric, counted
from rankline.src.dse.options import Options
from rankline.src.dse.scan.front import front, front_of_many, least_error, with_errors, within_errors
from rankline.src.dse.scan.intervals import Narrowed, narrowed
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape
from tests.helpers import brute
from tests.helpers.error_tables import made_up
from tests.helpers.layers import layers_with_method

multiples = st.integers(1, 3)


def scanned(
    layer: Layer, method: str, options: Options, chosen: str, seed: int
) -> tuple[Narrowed, Curves, list[tuple[brute.Configuration, float]]]:
    """The narrowed lines with curves, and every configuration of the set with its error by the tables."""
    tables = made_up(layer, method, seed, options)
    found = narrowed(lines_of(Space(method, layer_shape(layer), options)), chosen)
    every = [
        (one, tables[one.shape].error(one.ranks))
        for one in brute.configurations(layer, method, options)
        if chosen == "all" or getattr(one, chosen)
    ]
    return *with_errors(found, tables), every


@settings(max_examples=60, deadline=None)
@given(layers_with_method(), multiples, st.integers(0, 10**6))
def test_errors_along_lines_are_those_of_the_tables(chosen: tuple[Layer, str], multiple: int, seed: int) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple)
    tables = made_up(layer, method, seed, options)
    for part in lines_of(Space(method, layer_shape(layer), options)):
        curves = tables[part.shape].along(part)
        for line in range(0, len(part), 7):
            for k in range(1, part.cap + 1):
                ranks = part.ranks[line].tolist()
                ranks[part.free] = part.step * k
                at = curves.at(np.array([line]), np.array([k]))[0]
                assert np.sqrt(at) == pytest.approx(tables[part.shape].error(ranks), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(layers_with_method(), multiples, st.sampled_from(["all", "useful"]), st.integers(0, 10**6), st.data())
def test_an_error_window_holds_just_the_configurations_inside(
    chosen: tuple[Layer, str], multiple: int, one: str, seed: int, data: st.DataObject
) -> None:
    found, curves, every = scanned(*chosen, Options(rank_multiple=multiple), one, seed)
    levels = sorted({error for _, error in every}) or [0.5]
    # Between the errors that there are, so that rounding decides nothing.
    marks = [None, *(level * 1.0001 + 1e-9 for level in levels), *(level * 0.9999 for level in levels)]
    low, high = data.draw(st.sampled_from(marks)), data.draw(st.sampled_from(marks))
    inside, _ = within_errors(found, curves, low, high)
    wanted = [
        entry.ranks for entry, error in every if (low is None or error >= low) and (high is None or error <= high)
    ]
    assert inside.count == len(wanted)
    ranks = [
        inside.configuration(line, k).ranks
        for line in range(len(inside.lo))
        for k in range(inside.lo[line], inside.hi[line] + 1)
    ]
    assert sorted(ranks) == sorted(wanted)


@settings(max_examples=60, deadline=None)
@given(layers_with_method(), st.sampled_from(list(counted().values())), st.integers(0, 10**6))
def test_the_front_holds_the_least_error_at_each_cost(chosen: tuple[Layer, str], metric: Metric, seed: int) -> None:
    found, curves, every = scanned(*chosen, Options(), "useful", seed)
    best: list[tuple[int, float]] = []
    for cost, error in sorted((metric.of(one.cost), error) for one, error in every):
        if not best or error < best[-1][1] - 1e-12:
            best.append((cost, error))
    points = [
        (cost_at(found, metric, line, k), np.sqrt(curves.at(np.array([line]), np.array([k]))[0]))
        for line, k in front(found, curves, metric, levels=10**6)
    ]
    assert [cost for cost, _ in points] == [cost for cost, _ in best]
    assert np.allclose([error for _, error in points], [error for _, error in best])


@settings(max_examples=40, deadline=None)
@given(layers_with_method(), st.integers(0, 10**6))
def test_the_front_over_two_costs_is_what_nothing_beats(chosen: tuple[Layer, str], seed: int) -> None:
    found, curves, every = scanned(*chosen, Options(max_rank=6), "all", seed)
    points = {(one.cost.params, one.cost.flops, round(error, 9)) for one, error in every}
    wanted = {
        point
        for point in points
        if not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)
    }
    places = front_of_many(found, curves, [METRICS["params"], METRICS["flops"]])
    got = {
        (
            cost_at(found, METRICS["params"], line, k),
            cost_at(found, METRICS["flops"], line, k),
            round(float(np.sqrt(curves.at(np.array([line]), np.array([k]))[0])), 9),
        )
        for line, k in places
    }
    assert got == wanted


@settings(max_examples=40, deadline=None)
@given(layers_with_method(), st.integers(0, 10**6))
def test_the_least_error_is_found(chosen: tuple[Layer, str], seed: int) -> None:
    found, curves, every = scanned(*chosen, Options(), "useful", seed)
    places = least_error(found, curves)
    assert bool(places) == bool(every)
    for line, k in places:
        at = float(np.sqrt(curves.at(np.array([line]), np.array([k]))[0]))
        assert at == pytest.approx(min(error for _, error in every))


def test_tables_survive_being_stored() -> None:
    tables = {
        "2x3:3x2": ErrorTable((np.array([0.5, 0.25, 0.0]),), "exact"),
        None: ErrorTable((np.array([[0.75, 0.5], [0.25, 0.125]]),), "estimate", 0.03),
    }
    again = from_bytes(to_bytes(tables))
    assert list(again) == list(tables)
    for shape, table in tables.items():
        assert again[shape].certainty == table.certainty
        assert again[shape].spread == table.spread
        np.testing.assert_array_equal(again[shape].tables[0], table.tables[0])


def test_limits_survive_being_stored_and_tables_from_before_them_are_read() -> None:
    limits = (np.array([0.25, 0.0625]), np.array([0.5, 0.25]))
    table = ErrorTable((np.array([0.5, 0.125]),), ESTIMATE, 0.4, limits)
    (again,) = from_bytes(to_bytes({None: table})).values()
    np.testing.assert_array_equal(again.between(np.array([[1], [2]])), np.sqrt(limits))
    file = io.BytesIO()
    index = json.dumps([[None, 1, "bound", 0.0]]).encode()
    np.savez(file, np.frombuffer(index, np.uint8), np.array([0.25, 0.0], np.float32))
    (old,) = from_bytes(file.getvalue()).values()
    np.testing.assert_array_equal(old.between(np.array([[1]])), [[0.0], [0.5]])


def test_an_exact_error_lies_between_itself() -> None:
    table = ErrorTable((np.array([0.25, 0.0]),), EXACT)
    np.testing.assert_array_equal(table.between(np.array([[1], [2]])), [[0.5, 0.0]] * 2)


def cost_at(found: Narrowed, metric: Metric, line: int, k: int) -> int:
    return int(found.along(metric).of(np.array([line])).at(np.array([k]))[0])
