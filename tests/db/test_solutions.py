"""Windows and picks against a brute-force loop over every configuration."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankline.src.db.database import Database, open_database
from rankline.src.db.queries.no_solution import NoSolutionError
from rankline.src.db.queries.solution import Solution, Summary
from rankline.src.db.queries.solutions import Solutions
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.metric import METRICS, counted
from rankline.src.dse.options import Options
from tests.helpers import brute
from tests.helpers.layers import layers_with_method


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples of this file: equal layers share spaces here as they do for users."""
    opened = open_database(str(tmp_path_factory.mktemp("solutions") / "space.db"))
    yield opened
    opened.close()


def explored(database: Database, layer: Layer, method: str, options: Options | None = None) -> Solutions:
    name = repr((layer, method, options))
    database.explore([layer], name=name, methods=[method], options=options)
    return database.solutions(layer.name, method, network=name)


def in_set(layer: Layer, method: str, chosen: str, options: Options | None = None) -> list[brute.Configuration]:
    every = brute.configurations(layer, method, options)
    return [one for one in every if chosen == "all" or getattr(one, chosen)]


def same(solution: Solution, one: brute.Configuration) -> bool:
    return (solution.ranks, solution.shape, solution.cost) == (one.ranks, one.shape, one.cost)


def reduction(cost: Cost, whole: Cost, metric: str) -> Fraction:
    return 1 - Fraction(METRICS[metric].of(cost), METRICS[metric].of(whole))


SETS = st.sampled_from(["all", "better", "useful"])
LEVELS = st.integers(-20, 100).map(lambda percent: percent / 100)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=layers_with_method(), within=SETS, data=st.data())
def test_windows_and_picks_equal_brute_force(
    shared: Database, chosen: tuple[Layer, str], within: str, data: st.DataObject
) -> None:
    layer, method = chosen
    whole = brute.original(layer)
    metric = data.draw(st.sampled_from(list(counted())))
    low, high = sorted((data.draw(LEVELS), data.draw(LEVELS)))
    if low == high:
        high += 0.005
    exact = Fraction(str(low)), Fraction(str(high))
    ceiling = data.draw(st.integers(1, 2 * whole.flops))
    solutions = explored(shared, layer, method).within(within)
    solutions = solutions.where(**{f"{metric}_reduction": (low, high)}, flops=(None, ceiling))
    if data.draw(st.booleans()):
        solutions = solutions.in_memory()
    wanted = [
        one
        for one in in_set(layer, method, within)
        if exact[0] <= reduction(one.cost, whole, metric) < exact[1] and one.cost.flops <= ceiling
    ]
    assert solutions.count() == len(wanted)
    frame = solutions.to_pandas()
    assert sorted(frame["params"].tolist() if len(frame) else []) == sorted(one.cost.params for one in wanted)
    if not wanted:
        with pytest.raises(NoSolutionError):
            solutions.min_flops()
        assert solutions.summary() == Summary(0, None, None)
        return
    assert solutions.summary() == Summary(len(wanted), solutions.min_flops(), solutions.max_flops())
    assert same(solutions.min_flops(), min(wanted, key=lambda one: (one.cost.flops, one.order)))
    assert same(solutions.max_flops(), min(wanted, key=lambda one: (-one.cost.flops, one.order)))
    assert same(solutions.lowest("params"), min(wanted, key=lambda one: (one.cost.params, one.order)))
    assert same(solutions.lowest("memory"), min(wanted, key=lambda one: (one.cost.params + one.cost.fm, one.order)))
    assert solutions.random(3, seed=1) == solutions.in_memory().random(3, seed=1)
    picked = solutions.random(len(wanted) + 5, seed=1)
    assert sorted((one.ranks, one.shape or "") for one in picked) == sorted(
        (one.ranks, one.shape or "") for one in wanted
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=layers_with_method(), within=SETS, level=LEVELS, objective=st.sampled_from(list(counted())),
    multiple=st.integers(1, 2),
)  # fmt: skip
def test_levels_and_equal_ranks_equal_brute_force(
    shared: Database, chosen: tuple[Layer, str], within: str, level: float, objective: str, multiple: int
) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple)
    whole, aim = brute.original(layer), Fraction(str(level))
    every = in_set(layer, method, within, options)
    at = explored(shared, layer, method, options).within(within).at(level, objective)
    if not every:
        assert at.count() == 0
        return
    of = {id(one): reduction(one.cost, whole, objective) for one in every}
    near = [one for one in every if aim <= of[id(one)] < aim + Fraction("0.005")]
    above = [one for one in every if of[id(one)] >= aim]
    nearest = min((of[id(one)] for one in above), default=max(of.values()))
    wanted = near or [one for one in every if of[id(one)] == nearest]
    assert at.count() == len(wanted)
    assert same(at.min_flops(), min(wanted, key=lambda one: (one.cost.flops, one.order)))
    equal = [one for one in every if len(set(one.ranks)) == 1]
    if equal:
        assert same(at.equal_rank(), min(equal, key=lambda one: (abs(of[id(one)] - aim), one.order)))
    else:
        with pytest.raises(NoSolutionError):
            at.equal_rank()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=layers_with_method(), within=SETS, levels=st.integers(1, 12))
def test_the_envelope_bounds_the_flops_at_each_level_of_params(
    shared: Database, chosen: tuple[Layer, str], within: str, levels: int
) -> None:
    every = in_set(*chosen, within)
    frame = explored(shared, *chosen).within(within).envelope(levels)
    found = 0
    for row in frame.itertuples():
        flops = [one.cost.flops for one in every if row.low <= one.cost.params <= row.high]
        assert (row.n, row.min_flops, row.max_flops) == (len(flops), min(flops), max(flops))
        found += len(flops)
    assert found == len(every)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=layers_with_method(), within=SETS, step=st.sampled_from([0.05, 0.1, 0.3, 1]),
    objective=st.sampled_from(list(counted())),
)  # fmt: skip
def test_steps_count_the_configurations_at_each_level_of_reduction(
    shared: Database, chosen: tuple[Layer, str], within: str, step: float, objective: str
) -> None:
    whole, width = brute.original(chosen[0]), Fraction(str(step))
    wanted: dict[float, list[int]] = {}
    for one in in_set(*chosen, within):
        saved = reduction(one.cost, whole, objective)
        if saved >= 0:
            wanted.setdefault(float(saved // width * width), []).append(one.cost.flops)
    frame = explored(shared, *chosen).within(within).steps(step, objective)
    found = {row.level: (row.n, row.min_flops, row.max_flops) for row in frame.itertuples()}
    assert found == {level: (len(flops), min(flops), max(flops)) for level, flops in wanted.items()}


CONV = conv("conv", (3, 3), 16, 24, (8, 8))


def test_a_reduction_bound_is_exact_where_floats_misplace_it(shared: Database) -> None:
    """1 - 0.9 in floats is 0.09999...: a configuration at exactly 90 % must be inside."""
    layer = dense("exact", 10, 10)
    solutions = explored(shared, layer, "svd").within("all")
    edge = 1 - Fraction(20, 100)
    assert solutions.where(params_reduction=(0.8, None)).count() == 1
    assert solutions.where(params_reduction=(0.8, None)).min_flops().params == floor(100 * (1 - edge))
    assert solutions.where(params_reduction=(0.7, 0.8)).count() == 0


def test_candidates_come_in_the_order_of_the_design_without_repeats(shared: Database) -> None:
    at = explored(shared, CONV, "tucker").at(0.6)
    ten = at.candidates(10, seed=3)
    assert at.candidates(1, seed=3) == [at.min_flops()]
    assert at.candidates(3, seed=3) == list(dict.fromkeys([at.min_flops(), at.max_flops(), at.equal_rank()]))
    assert ten[:2] == [at.min_flops(), at.max_flops()]
    assert len(ten) == len(set(ten)) <= 10
    assert at.candidates(10, seed=3) == ten


def test_random_is_uniform_and_repeats_with_its_seed(shared: Database) -> None:
    solutions = explored(shared, CONV, "tucker").where(params_reduction=(0.5, 0.6))
    assert solutions.random(20, seed=5) == solutions.random(20, seed=5)
    assert solutions.random(20, seed=5) != solutions.random(20, seed=6)
    every = solutions.to_pandas()
    drawn = [solution.ranks for seed in range(40) for solution in solutions.random(len(every) // 4, seed=seed)]
    low = sum(r1 <= every["r1"].median() for r1, _ in drawn) / len(drawn)
    assert abs(low - (every["r1"] <= every["r1"].median()).mean()) < 0.05


def test_memory_windows_are_in_bytes(shared: Database) -> None:
    solutions = explored(shared, CONV, "tucker").within("all")
    smallest = solutions.lowest("memory")
    assert smallest.memory == 4 * (smallest.params + smallest.fm)
    assert solutions.where(memory=(None, smallest.memory)).count() == 1
    assert solutions.where(memory=(None, smallest.memory - 1)).count() == 0


def test_batches_hold_every_configuration_once(shared: Database) -> None:
    solutions = explored(shared, CONV, "tucker").within("all")
    frames = list(solutions.batches(size=50))
    assert sum(map(len, frames)) == solutions.total() == 16 * 24
    assert len({(row.r1, row.r2) for frame in frames for row in frame.itertuples()}) == 16 * 24


def test_a_query_above_the_limit_says_what_to_do(shared: Database) -> None:
    with pytest.raises(UserError, match=r"384 configurations.*limit of 100.*random"):
        explored(shared, CONV, "tucker").within("all").to_pandas(limit=100)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ({"params": (10, 5)}, "empty"),
        ({"params_reduction": (0.6, 0.6)}, "empty"),
        ({"params_reduction": (60, 70)}, "0.6 for 60 %"),
        ({"parms": (1, 2)}, "did you mean 'params'"),
        ({"params": 5}, "a pair"),
        ({"params": ("many", None)}, "not a number"),
        ({"flops": (float("nan"), None)}, "not a number"),
    ],
)
def test_a_bad_window_is_refused_with_what_is_possible(
    shared: Database, windows: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        explored(shared, CONV, "tucker").where(**windows)  # type: ignore[arg-type]


def test_a_window_that_nothing_meets_names_the_span(shared: Database) -> None:
    with pytest.raises(NoSolutionError, match=r"useful ones span params 49 to 3,451"):
        explored(shared, CONV, "tucker").where(params=(1, 2)).min_flops()


def test_equal_rank_aims_at_the_level_asked_for_last(shared: Database) -> None:
    solutions = explored(shared, CONV, "tucker")
    narrowed = solutions.where(params_reduction=(0.1, 0.95), flops=(None, 10**8))
    assert narrowed.at(0.6).equal_rank() == solutions.at(0.6).equal_rank()


def test_equal_rank_without_a_level_says_so(shared: Database) -> None:
    with pytest.raises(UserError, match="needs a level"):
        explored(shared, CONV, "tucker").equal_rank()


def test_unknown_names_are_refused_with_the_possible_ones(shared: Database) -> None:
    explored(shared, CONV, "tucker")
    with pytest.raises(UserError, match="unknown layer 'cnv'.*did you mean 'conv'"):
        shared.solutions("cnv", "tucker")
    with pytest.raises(UserError, match="unknown method"):
        shared.solutions("conv", "tuker", network=repr((CONV, "tucker", None)))
    with pytest.raises(UserError, match="within|unknown set"):
        explored(shared, CONV, "tucker").within("best")
