"""One option for each layer within budgets, against every combination there is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.compress.budget.allocate import Allocation, Option, allocate
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost, total
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import METRICS, counted

Options = dict[str, list[Option]]


@dataclass(frozen=True)
class Problem:
    """Options, what is kept, and budgets that are what some combination of them takes, or a few units off."""

    options: Options
    kept: Cost
    budgets: dict[str, int]


def combined(options: Mapping[str, Sequence[Option]], kept: Cost) -> list[tuple[Cost, float]]:
    """The cost and damage of every combination."""
    found = []
    for some in product(*options.values()):
        found.append((total([kept, *(one.cost for one in some)]), sum(one.damage for one in some)))
    return found


def least(problem: Problem, budgets: Mapping[str, int]) -> float | None:
    """The least damage within budgets, by trying everything; None where nothing fits."""
    fitting = [
        damage
        for cost, damage in combined(problem.options, problem.kept)
        if all(METRICS[metric].of(cost) <= limit for metric, limit in budgets.items())
    ]
    return min(fitting, default=None)


@st.composite
def problems(draw: st.DrawFn, metrics: int = 1) -> Problem:
    size = draw(st.sampled_from([20, 10**6, 10**13]))
    numbers = st.integers(0, size)
    damages = st.one_of(st.floats(0, draw(st.sampled_from([1e-9, 1.0, 1e6]))), st.floats(-9, 6).map(lambda e: 10.0**e))
    costs = st.builds(Cost, numbers, numbers, numbers)
    options: Options = {}
    for layer in range(draw(st.integers(1, 5))):
        some = draw(st.lists(st.tuples(costs, damages), min_size=1, max_size=6 if layer < 3 else 4))
        options[f"l{layer}"] = [Option(Configuration("svd", (j + 1,)), *one) for j, one in enumerate(some)]
    kept = draw(costs)
    aim = draw(st.sampled_from(combined(options, kept)))[0]
    chosen = draw(st.permutations(list(counted())))[:metrics]
    return Problem(options, kept, {metric: METRICS[metric].of(aim) + draw(st.integers(-2, 2)) for metric in chosen})


def same(found: float, wanted: float) -> bool:
    return found == pytest.approx(wanted, rel=1e-9, abs=1e-300)


def whole(problem: Problem, found: Allocation) -> Cost:
    return total([problem.kept, *(one.cost for one in found.options.values())])


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 2).flatmap(problems), st.sampled_from(["exact", "price"]))
def test_the_best_of_all_combinations_or_the_reason_why_there_is_none(problem: Problem, solver: str) -> None:
    wanted = least(problem, problem.budgets)
    if wanted is None:
        with pytest.raises(UserError, match="budget"):
            allocate(problem.options, problem.budgets, problem.kept, solver)
        return
    found = allocate(problem.options, problem.budgets, problem.kept, solver)
    assert found.cost == whole(problem, found)
    assert all(METRICS[metric].of(found.cost) <= limit for metric, limit in problem.budgets.items())
    assert all(found.options[layer] in some for layer, some in problem.options.items())
    assert found.damage == pytest.approx(sum(one.damage for one in found.options.values()), rel=1e-12)
    assert found.bound <= wanted * (1 + 1e-9)
    assert found.damage >= wanted * (1 - 1e-9)
    if solver == "exact":
        assert found.solver == "exact"
        assert found.damage == pytest.approx(wanted, rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(problems())
def test_a_larger_budget_never_has_a_larger_damage(problem: Problem) -> None:
    ((metric, limit),) = problem.budgets.items()
    budgets = [limit + 2, int((limit + 2) * 1.01), int((limit + 2) * 1.3), (limit + 2) * 2]
    found = [allocate(problem.options, {metric: one}, problem.kept).damage for one in budgets]
    assert all(b <= a * (1 + 1e-9) for a, b in pairwise(found))


def options_of(*layers: Sequence[tuple[int, float]]) -> Options:
    """Layers whose options have these params and damages."""
    return {
        f"l{place}": [
            Option(Configuration("svd", (j + 1,)), Cost(cost, 0, 0), damage) for j, (cost, damage) in enumerate(some)
        ]
        for place, some in enumerate(layers)
    }


NOTHING = Cost(0, 0, 0)


@settings(deadline=None, max_examples=20)
@given(problems())
def test_a_budget_below_the_least_names_the_smallest_that_is_possible(problem: Problem) -> None:
    ((metric, _),) = problem.budgets.items()
    smallest = min(METRICS[metric].of(cost) for cost, _ in combined(problem.options, problem.kept))
    with pytest.raises(UserError, match=f"a budget of .* {metric} is below .*; the least is {smallest:,}$"):
        allocate(problem.options, {metric: smallest - 1}, problem.kept)
    assert METRICS[metric].of(allocate(problem.options, {metric: smallest}, problem.kept).cost) == smallest


@pytest.mark.parametrize("solver", ["exact", "price"])
def test_budgets_that_are_possible_alone_and_not_together_are_refused(solver: str) -> None:
    either = {"l": [Option(None, Cost(10, 0, 1), 0.0), Option(Configuration("svd", (1,)), Cost(1, 0, 10), 0.0)]}
    with pytest.raises(UserError, match="all budgets at once"):
        allocate(either, {"params": 5, "flops": 5}, NOTHING, solver)


@pytest.mark.parametrize("solver", ["exact", "price"])
def test_two_budgets_that_only_one_combination_fits_find_it(solver: str) -> None:
    some = [
        Option(Configuration("svd", (1,)), Cost(a, 0, b), damage) for a, b, damage in [(0, 9, 1), (4, 4, 5), (9, 0, 1)]
    ]
    found = allocate({"a": some, "b": some}, {"params": 8, "flops": 8}, NOTHING, solver)
    assert (found.cost, found.damage) == (Cost(8, 0, 8), 10)


@pytest.mark.parametrize("solver", ["exact", "price"])
def test_costs_above_what_floats_hold_are_kept_to_the_unit(solver: str) -> None:
    large = 2**53
    options = options_of([(large + 1, 0.0), (large, 1.0)], [(large + 1, 0.0), (large - 2, 1.0)])
    kept = Cost(large + 1, 0, 0)
    found = allocate(options, {"params": 3 * large + 1}, kept, solver)
    assert found.cost.params == 3 * large
    assert found.damage == 1.0
    assert allocate(options, {"params": 3 * large + 3}, kept, solver).cost.params == 3 * large + 3


def test_small_damages_count_beside_a_huge_one() -> None:
    options = options_of([(1, 1e9), (5, 0.0)], [(0, 3e-4), (2, 1e-4)], [(0, 2e-4), (2, 1e-4)])
    assert allocate(options, {"params": 7}, NOTHING).damage == pytest.approx(3e-4)


def test_the_gap_is_what_the_choice_may_be_above_the_best() -> None:
    options = options_of([(0, 10.0), (6, 4.0), (10, 1.0)], [(0, 10.0), (6, 4.0), (10, 1.0)])
    price, exact = (allocate(options, {"params": 11}, NOTHING, solver) for solver in ("price", "exact"))
    assert (exact.damage, exact.gap, exact.solver) == (11.0, 0.0, "exact")
    assert price.damage * (1 - 1e-9) <= exact.damage * (1 + price.gap)
    assert price.gap == pytest.approx((price.damage - price.bound) / price.bound)
    assert price.gap > 0


def test_the_plan_holds_the_layers_that_change() -> None:
    options = {"a": [Option(None, Cost(9, 0, 0), 0.0)], **options_of([(1, 1.0)])}
    found = allocate(options, {"params": 10}, NOTHING)
    assert found.plan == {"l0": Configuration("svd", (1,))}
    assert list(found.options) == ["a", "l0"]


def test_memory_is_four_bytes_an_element_of_params_and_maps() -> None:
    options = {"a": [Option(None, Cost(10, 10, 0), 0.0), Option(Configuration("svd", (1,)), Cost(5, 5, 0), 1.0)]}
    assert allocate(options, {"memory": 120}, Cost(5, 5, 0)).damage == 0.0
    assert allocate(options, {"memory": 119}, Cost(5, 5, 0)).damage == 1.0


def test_a_large_problem_is_solved_exactly_in_a_moment() -> None:
    rng = np.random.default_rng(0)
    options: Options = {}
    for layer in range(60):
        costs = np.sort(rng.integers(1, int(10 ** rng.uniform(5, 8)), 200)).tolist()
        damages = np.sort(10 ** rng.uniform(-2, 1) * rng.exponential(1, 200) * np.exp(-np.linspace(0, 6, 200)))[::-1]
        options[f"l{layer}"] = options_of(list(zip(costs, damages.tolist(), strict=True)))["l0"]
    limit = sum(some[-1].cost.params for some in options.values()) // 2
    start = perf_counter()
    found = allocate(options, {"params": limit}, NOTHING)
    assert perf_counter() - start < 20
    price = allocate(options, {"params": limit}, NOTHING, "price")
    assert (found.solver, found.gap) == ("exact", 0.0)
    assert price.bound <= found.damage <= price.damage
    assert price.gap < 0.01


def test_beyond_so_many_options_the_price_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.compress.budget.allocate.EXACT_OPTIONS", 1)
    options = options_of(*[[(0, 10.0), (6, 4.0), (10, 1.0)]] * 2)
    assert allocate(options, {"params": 11}, NOTHING).solver == "price"


@pytest.mark.parametrize(
    ("budgets", "solver", "message"),
    [
        ({"energy": 3}, "exact", "unknown budget 'energy'"),
        ({"params": 3}, "exactly", "unknown solver 'exactly'; did you mean 'exact'"),
        ({}, "exact", "give a budget: params, flops or memory"),
    ],
)
def test_unknown_budgets_and_solvers_are_refused(budgets: dict[str, int], solver: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        allocate(options_of([(1, 1.0)]), budgets, NOTHING, solver)


@pytest.mark.parametrize(
    ("closed", "first"), [(">&-", ""), ("", "os.close(1); "), ("", "sys.stdout.write('never written'); os.close(1); ")]
)
def test_the_solver_is_silenced_where_standard_output_is_closed(closed: str, first: str, tmp_path: Path) -> None:
    """Also a file that is opened meanwhile gets nothing of what the solver writes."""
    script = (
        f"import os, sys; {first}from rankline.src.compress.budget.allocate import _quiet\n"
        "with _quiet(), open('file', 'w') as file: os.write(1, b'solver'); file.write('own')\n"
        "try: os.fstat(1)\n"
        "except OSError: print('closed', file=sys.stderr)\n"
    )
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    assert done.stderr.startswith("closed"), done.stderr
    assert done.stdout == ""
    assert (tmp_path / "file").read_text() == "own"
