"""Queries about a device's latencies against a loop over every configuration."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankline.src.db.database import Database, open_database
from rankline.src.db.export import export
from rankline.src.db.queries.across_methods import LeftOutWarning
from rankline.src.db.queries.no_solution import NoSolutionError
from rankline.src.db.queries.solution import Solution, Summary
from rankline.src.db.queries.solutions import Solutions
from rankline.src.db.records.error_tables import WEIGHTS, store_errors
from rankline.src.dse.devices.latency import LatencyModel, UnmeasuredError
from rankline.src.dse.devices.operations import kept_operation
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.options import Options
from tests.helpers import brute
from tests.helpers.devices import made_up_device
from tests.helpers.error_tables import made_up
from tests.helpers.latency_models import configurations, model_of, models, original_latency
from tests.helpers.layers import layers_with_method

MANY = [HealthCheck.function_scoped_fixture]

SETS = st.sampled_from(["all", "better", "useful"])
OPTIONS = st.builds(Options, rank_multiple=st.integers(1, 4), t3f_order=st.sampled_from(["aligned", "all"]))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples of this file."""
    opened = open_database(str(tmp_path_factory.mktemp("latency") / "space.db"))
    yield opened
    opened.close()


def explored(database: Database, layer: Layer, method: str, options: Options | None = None) -> Solutions | None:
    """The configurations; None if the options leave none."""
    name = repr((layer, method, options))
    try:
        database.explore([layer], name=name, methods=[method], options=options)
    except UserError:
        return None
    return database.solutions(layer.name, method, network=name)


def timed(
    layer: Layer, method: str, model: LatencyModel, within: str, options: Options | None = None
) -> list[brute.Configuration]:
    every = configurations(layer, method, model, options)
    return [one for one in every if within == "all" or getattr(one, within)]


def time(one: brute.Configuration) -> int:
    return LATENCY.of(one.cost)


def same(solution: Solution, one: brute.Configuration) -> bool:
    return (solution.ranks, solution.shape, solution.cost, solution.latency) == (
        one.ranks, one.shape, one.cost, time(one)
    )  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=MANY)
@given(chosen=layers_with_method(), model=models, within=SETS, options=OPTIONS, data=st.data())
def test_windows_and_picks_equal_brute_force(
    shared: Database, chosen: tuple[Layer, str], model: LatencyModel, within: str, options: Options, data: st.DataObject
) -> None:
    layer, method = chosen
    solutions = explored(shared, layer, method, options)
    every = timed(layer, method, model, within, options)
    if solutions is None:
        assert not every
        return
    times = sorted(map(time, every)) or [0]
    low, high = sorted(data.draw(st.sampled_from(times)) + data.draw(st.integers(0, 1)) for _ in range(2))
    least = data.draw(st.integers(0, 2 * brute.original(layer).params))
    found = solutions.on(model).within(within).where(latency=(low, f"{high}ps"), params=(least, None))
    wanted = [one for one in every if low <= time(one) <= high and least <= one.cost.params]
    assert found.count() == len(wanted)
    assert sorted(map(str, found.random(len(wanted) + 1, seed=1))) == sorted(
        str(found.configuration(one.ranks, one.shape)) for one in wanted
    )
    if not wanted:
        assert found.summary() == Summary(0, None, None)
        with pytest.raises(NoSolutionError, match=r"span.*latency|has no"):
            found.lowest("latency")
        return
    assert same(found.lowest("latency"), min(wanted, key=lambda one: (time(one), one.order)))
    assert same(found.highest("latency"), min(wanted, key=lambda one: (-time(one), one.order)))
    assert same(found.min_flops(), min(wanted, key=lambda one: (one.cost.flops, one.order)))
    assert all(map(found.meet, found.random(9, seed=0)))
    outside = [one for one in every if one not in wanted]
    assert not any(found.meet(found.configuration(one.ranks, one.shape)) for one in outside)
    frame = found.to_pandas()
    assert sorted(frame["latency_ps"]) == sorted(map(time, wanted))
    whole = original_latency(layer, model)
    assert frame["latency_reduction"].tolist() == pytest.approx((1 - frame["latency_ps"] / whole).tolist())


@settings(max_examples=80, deadline=None, suppress_health_check=MANY)
@given(
    chosen=layers_with_method(), model=models, within=SETS, options=OPTIONS,
    level=st.integers(-150, 100).map(lambda percent: percent / 100),
)  # fmt: skip
def test_levels_and_equal_ranks_equal_brute_force(
    shared: Database, chosen: tuple[Layer, str], model: LatencyModel, within: str, options: Options, level: float
) -> None:
    layer, method = chosen
    solutions = explored(shared, layer, method, options)
    every = timed(layer, method, model, within, options)
    if solutions is None or not every:
        return
    whole, aim = original_latency(layer, model), Fraction(str(level))
    saved = {id(one): 1 - Fraction(time(one), whole) for one in every}
    near = [one for one in every if aim <= saved[id(one)] < aim + Fraction("0.005")]
    nearest = min((of for of in saved.values() if of >= aim), default=max(saved.values()))
    wanted = near or [one for one in every if saved[id(one)] == nearest]
    found = solutions.on(model).within(within).at(level, "latency")
    assert found.count() == len(wanted)
    assert same(found.min_flops(), min(wanted, key=lambda one: (one.cost.flops, one.order)))
    equal = [one for one in every if len(set(one.ranks)) == 1]
    if equal:
        assert same(found.equal_rank(), min(equal, key=lambda one: (abs(saved[id(one)] - aim), one.order)))
    else:
        with pytest.raises(NoSolutionError):
            found.equal_rank()


@settings(max_examples=60, deadline=None, suppress_health_check=MANY)
@given(chosen=layers_with_method(), model=models, within=SETS, options=OPTIONS, levels=st.integers(1, 12))
def test_steps_and_the_envelope_count_every_configuration(
    shared: Database, chosen: tuple[Layer, str], model: LatencyModel, within: str, options: Options, levels: int
) -> None:
    layer, method = chosen
    solutions = explored(shared, layer, method, options)
    every = timed(layer, method, model, within, options)
    if solutions is None:
        return
    whole, width = original_latency(layer, model), Fraction(1, 4)
    wanted: dict[float, list[int]] = {}
    for one in every:
        if (saved := 1 - Fraction(time(one), whole)) >= 0:
            wanted.setdefault(float(saved // width * width), []).append(one.cost.flops)
    found = solutions.on(model).within(within)
    steps = {row.level: (row.n, row.min_flops, row.max_flops) for row in found.steps(0.25, "latency").itertuples()}
    assert steps == {level: (len(flops), min(flops), max(flops)) for level, flops in wanted.items()}
    counted = 0
    for row in found.envelope(levels, "latency").itertuples():
        flops = [one.cost.flops for one in every if row.low <= time(one) <= row.high]
        assert (row.n, row.min_flops, row.max_flops) == (len(flops), min(flops), max(flops))
        counted += len(flops)
    assert counted == len(every)


CONV, WIDE = conv("conv", (3, 3), 8, 12, (8, 8)), dense("wide", 24, 12)


@pytest.fixture
def net(database: Database) -> Database:
    database.explore([CONV, WIDE, Layer("odd", "embedding", 4, 4, kept_because="other")], name="net")
    database.save_device(made_up_device("laptop"))
    return database


def known_errors(database: Database) -> dict[str, dict[str | None, Any]]:
    tables = {method: made_up(CONV, method, seed) for seed, method in enumerate(("tucker", "cp", "svd"))}
    (row,) = [row for row in database.layers("net") if row.name == "conv"]
    for method, some in tables.items():
        store_errors(database.engine, row.id, method, WEIGHTS, "digest", some)
    return tables


def test_the_front_over_all_methods_is_what_nothing_beats(net: Database) -> None:
    model, tables = model_of(5), known_errors(net)
    every = [
        (time(one), tables[method][one.shape].error(one.ranks))
        for method in tables
        for one in timed(CONV, method, model, "useful")
    ]
    best: list[tuple[int, float]] = []
    for latency, error in sorted(every):
        if not best or error < best[-1][1]:
            best.append((latency, error))
    front = net.pareto("conv", "latency", device=model)
    assert [(one.latency, pytest.approx(one.error)) for one in front] == best


def test_an_error_window_and_a_latency_window_hold_together(net: Database) -> None:
    model, tables = model_of(5), known_errors(net)
    every = timed(CONV, "tucker", model, "useful")
    limit = sorted(map(time, every))[len(every) // 2]
    found = net.solutions("conv", "tucker", device=model).where(error=(None, 0.7), latency=(None, limit))
    errors = [tables["tucker"][None].error(one.ranks) for one in every if time(one) <= limit]
    assert found.count() == sum(error <= 0.7 for error in errors) > 0
    assert found.min_error().error == pytest.approx(min(errors))
    assert set(found.to_pandas()) >= {"latency_ps", "latency_reduction", "error"}


def test_the_best_of_each_layer_has_the_lowest_latency_of_all_methods(net: Database) -> None:
    model = net.device("laptop").model
    best = net.best("latency", device="laptop", latency_reduction=(-9, None))
    for layer in (CONV, WIDE):
        methods = [row.method for row in net.spaces("net") if row.layer == layer.name]
        wanted = min(time(one) for method in methods for one in timed(layer, method, model, "useful"))
        found = best[layer.name]
        assert found is not None
        assert found.latency == wanted
        by_method = net.best_by_method(layer.name, "latency", device=model)
        assert min(LATENCY.of(one.cost) for one in by_method.values() if one) == wanted


def test_totals_are_of_a_call_of_the_whole_network(net: Database) -> None:
    device = net.device("laptop")
    best = net.best("latency", device=device)
    with pytest.warns(LeftOutWarning, match="latency is without 'odd': device 'laptop' has no numbers"):
        before, after = net.totals({name: one for name, one in best.items() if one}, device=device)
    model = device.model
    layers = sum(original_latency(layer, model) for layer in (CONV, WIDE))
    chains = sum(one.latency or 0 for one in best.values() if one)
    assert before.latency == model.call + layers + round(model.cold_rate(before.params) * before.params)
    assert after.latency == model.call + chains + round(model.cold_rate(after.params) * after.params)
    without = net.best("flops")
    with pytest.warns(LeftOutWarning):
        _, after = net.totals({name: one for name, one in without.items() if one}, device=device)
    assert after.latency is None  # of configurations whose latencies weren't asked for
    assert net.totals({})[0].latency is None


def test_a_kept_depthwise_layer_counts_in_the_totals(database: Database) -> None:
    kept = Layer("dw", "depthwiseconv2d", 4, 4, (3, 3), (8, 8), (8, 8), kept_because="depthwise")
    database.explore([CONV, kept], name="net", methods=["svd"])
    model = made_up_device().model
    operation = kept_operation(kept)
    assert operation is not None
    before, _ = database.totals({}, device=model)
    alone = original_latency(CONV, model) + model.polynomial([operation]).at(())
    assert before.latency == model.call + alone + round(model.cold_rate(before.params) * before.params)


def without(model: LatencyModel, kind: str) -> LatencyModel:
    return replace(model, numbers=tuple((name, of) for name, of in model.numbers if name != kind))


def test_a_method_that_a_device_lacks_is_an_error_alone_and_left_out_among_others(net: Database) -> None:
    few = without(model_of(1), "depthwise along axis")
    with pytest.raises(UnmeasuredError, match="no numbers for the operation 'depthwise along axis'"):
        net.solutions("conv", "cp", device=few)
    told = r"layer 'conv' by cp is left out: device 'made up' has no numbers for the operation 'depthwise along axis'"
    with pytest.warns(LeftOutWarning, match=told):
        found = net.best_by_method("conv", "latency", device=few)
    assert [method for method, one in found.items() if one is None] == ["cp"]
    with pytest.warns(LeftOutWarning, match=told):
        assert net.best("latency", device=few)["conv"] is not None
    known_errors(net)
    with pytest.warns(LeftOutWarning, match=told):
        assert {one.method for one in net.pareto("conv", "latency", device=few)} <= {"tucker", "svd"}


def test_without_numbers_for_the_layer_as_it_is_all_its_methods_are_left_out(net: Database) -> None:
    few = without(model_of(1), "convolution")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = net.best("latency", device=few)
    assert found["conv"] is None
    assert found["wide"] is not None
    assert len(told) == len([row for row in net.spaces("net") if row.layer == "conv"])
    with pytest.raises(UnmeasuredError, match="'convolution'"):
        net.solutions("conv", "spatial_svd", device=few)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((None, "200"), r"latency: '200' is not a duration; give a number with its unit \(ns, us, ms or s\)"),
        ((None, "much"), "latency: 'much' is not a duration"),
        (("3ms", "2ms"), "is empty"),
        ((None, float("nan")), "latency: nan is not a number"),
        ((None, "1e9s"), "beyond what any count can be"),
    ],
)
def test_a_bad_window_is_refused(net: Database, bounds: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        net.solutions("conv", "tucker", device="laptop").where(latency=bounds)


def test_windows_take_units_exactly_and_numbers_as_picoseconds(net: Database) -> None:
    solutions = net.solutions("conv", "tucker", device="laptop")
    least = solutions.lowest("latency").latency
    assert least is not None
    for bound in (least, f"{least}ps", f"{least / 1000:.3f} ns", f"{Fraction(least, 10**6)}us", Fraction(least)):
        assert solutions.where(latency=(None, bound)).count() == 1
    assert solutions.where(latency=(None, least - 1)).count() == 0
    assert solutions.where(latency=(None, f"{Fraction(least - 1, 10**12)} s")).count() == 0


def test_latency_without_a_device_is_refused_and_other_answers_have_none(net: Database) -> None:
    solutions = net.solutions("conv", "tucker")
    for ask in (
        lambda: solutions.where(latency=(None, "1ms")),
        lambda: solutions.where(latency_reduction=(0.1, None)),
        lambda: solutions.lowest("latency"),
        lambda: solutions.in_memory().highest("latency"),
        lambda: solutions.at(0.5, "latency"),
        lambda: solutions.steps(0.1, "latency"),
        lambda: solutions.envelope(metric="latency"),
        lambda: solutions.min_flops().value("latency"),
    ):
        with pytest.raises(UserError, match="latency needs a device"):
            ask()
    assert solutions.min_flops().latency is None
    assert not [name for name in solutions.min_flops().as_dict() if "latency" in name]
    assert not [name for name in solutions.to_pandas() if "latency" in name]
    assert solutions.on(net.device("laptop").model).on(None).min_flops().latency is None


def test_answers_on_a_device_tell_the_latency_and_are_otherwise_the_same(net: Database) -> None:
    plain, found = net.solutions("conv", "tucker"), net.solutions("conv", "tucker", device="laptop")
    assert found.min_flops() == plain.min_flops()
    assert found.random(5, seed=2) == plain.random(5, seed=2)
    one = found.min_flops()
    assert one.as_dict()["latency_ps"] == one.latency == one.value("latency")
    assert one.as_dict()["latency_reduction"] == one.reduction("latency")
    pd.testing.assert_frame_equal(
        found.to_pandas().drop(columns=["latency_ps", "latency_reduction"]), plain.to_pandas()
    )


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_exports_have_the_latency_of_every_configuration(net: Database, tmp_path: Path, suffix: str) -> None:
    solutions = net.solutions("conv", "tucker", device="laptop")
    path = tmp_path / f"conv{suffix}"
    export(solutions, path, 1000)
    frame = pd.read_csv(path) if suffix == ".csv" else pd.DataFrame(map(json.loads, path.read_text().splitlines()))
    assert frame["latency_ps"].tolist() == solutions.to_pandas()["latency_ps"].tolist()


def test_sql_and_python_agree_on_the_latency_of_every_configuration(net: Database) -> None:
    query = "SELECT method, params, latency_ps FROM configuration_latency WHERE layer = 'conv'"
    with net.engine.connect() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql(query)]
    found = [
        (method, *pair)
        for method in ("tucker", "cp", "tt", "svd", "spatial_svd")
        for pair in net.solutions("conv", method, device="laptop").within("all").to_pandas()[["params", "latency_ps"]]
        .itertuples(index=False, name=None)
    ]  # fmt: skip
    assert sorted(rows) == sorted(found)
