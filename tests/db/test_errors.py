"""Questions about errors, against a brute-force loop over configurations and tables."""

from __future__ import annotations

import pytest

from rankline.src.db.database import Database
from rankline.src.db.queries.no_solution import NoSolutionError
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions
from rankline.src.db.records.error_tables import OUTPUTS, WEIGHTS, store_errors
from rankline.src.dse.error_table import ErrorTable
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from tests.helpers import brute
from tests.helpers.error_tables import made_up

LAYERS = {
    "tucker": conv("conv", (3, 3), 12, 10, (6, 6)),
    "cp": conv("conv", (3, 3), 12, 10, (6, 6)),
    "tt": conv("conv", (3, 2), 5, 6, (6, 6)),
    "svd": dense("head", 24, 12),
    "t3f": dense("head", 24, 12),
}

Errors = list[tuple[brute.Configuration, float]]


def asked(database: Database, layer: Layer, method: str) -> tuple[Solutions, Errors]:
    """The layer's solutions with made-up tables stored, and every useful configuration with its error."""
    database.explore([layer], name=f"net {method}", methods=[method])
    tables = made_up(layer, method, seed=3)
    (row,) = database.layers(f"net {method}")
    store_errors(database.engine, row["id"], method, WEIGHTS, "digest", tables)
    every = [(one, tables[one.shape].error(one.ranks)) for one in brute.configurations(layer, method) if one.useful]
    return database.solutions(layer.name, method, f"net {method}"), every


@pytest.mark.parametrize("method", LAYERS)
def test_counts_and_picks_within_an_error_are_those_of_brute_force(database: Database, method: str) -> None:
    solutions, every = asked(database, LAYERS[method], method)
    limit = sorted(error for _, error in every)[len(every) // 3] + 1e-6
    inside = [one for one, error in every if error <= limit]
    narrow = solutions.where(error=(None, limit))
    assert narrow.count() == len(inside)
    for metric in ("params", "flops"):
        best = min(inside, key=lambda one: (getattr(one.cost, metric), *one.order))
        found = narrow.lowest(metric)
        assert (found.ranks, found.shape, found.cost) == (best.ranks, best.shape, best.cost)
        top = max(getattr(one.cost, metric) for one in inside)
        assert getattr(narrow.highest(metric), metric) == top
    assert {(one.ranks, one.shape) for one in narrow.random(len(every), 0)} == {
        (one.ranks, one.shape) for one in inside
    }
    frame = narrow.to_pandas()
    names = [name for name in ("r1", "r2", "r3") if name in frame]
    rows = frame[names].astype(float).to_numpy().tolist()
    assert sorted(tuple(rank for rank in row if rank == rank) for row in rows) == sorted(one.ranks for one in inside)
    assert frame["error"].max() <= limit
    steps = narrow.steps(0.1)
    assert steps["n"].sum() == len(inside)


@pytest.mark.parametrize("method", LAYERS)
def test_error_windows_and_other_windows_hold_together(database: Database, method: str) -> None:
    solutions, every = asked(database, LAYERS[method], method)
    limit = sorted(error for _, error in every)[len(every) // 2] + 1e-6
    most = sorted(one.cost.params for one, _ in every)[len(every) // 2]
    inside = [one for one, error in every if error <= limit and one.cost.params <= most]
    narrow = solutions.where(error=(None, limit), params=(None, most))
    assert narrow.count() == len(inside)
    if not inside:
        with pytest.raises(NoSolutionError, match="error from"):
            narrow.min_flops()


@pytest.mark.parametrize("method", LAYERS)
def test_the_least_error_in_a_window_is_found(database: Database, method: str) -> None:
    solutions, every = asked(database, LAYERS[method], method)
    most = sorted(one.cost.params for one, _ in every)[len(every) // 2]
    inside = [(error, one) for one, error in every if one.cost.params <= most]
    error, best = min(inside, key=lambda pair: (round(pair[0], 6), *pair[1].order))
    found = solutions.where(params=(None, most)).min_error()
    assert found.error == pytest.approx(error, abs=1e-6)
    assert (found.ranks, found.shape) == (best.ranks, best.shape)


@pytest.mark.parametrize("method", LAYERS)
def test_the_front_falls_and_nothing_beats_it(database: Database, method: str) -> None:
    solutions, every = asked(database, LAYERS[method], method)
    front = solutions.pareto("flops")
    costs, errors = [one.flops for one in front], [one.error for one in front]
    assert costs == sorted(costs)
    assert errors == sorted(errors, reverse=True)
    for one, error in every:
        assert any(point.flops <= one.cost.flops and point.error <= error + 1e-6 for point in front)
    assert solutions.pareto("params", "flops")


def test_errors_of_outputs_come_before_those_of_weights(database: Database) -> None:
    solutions, _ = asked(database, LAYERS["svd"], "svd")
    assert solutions.min_flops().error_of == WEIGHTS
    (row,) = database.layers("net svd")
    tables = {None: ErrorTable(tuple(0 * table for table in made_up(LAYERS["svd"], "svd", 0)[None].tables), "exact")}
    store_errors(database.engine, row["id"], "svd", OUTPUTS, "digest", tables)
    found = database.solutions("head", "svd", "net svd").min_flops()
    assert (found.error, found.error_of, found.certainty) == (0.0, OUTPUTS, "exact")
    assert found.as_dict()["error_of"] == OUTPUTS


def test_without_tables_the_answer_tells_how_to_get_them(database: Database) -> None:
    database.explore([LAYERS["svd"]], name="net")
    solutions = database.solutions("head", "svd")
    assert solutions.min_flops().error is None
    for ask in (lambda: solutions.where(error=(None, 0.1)), solutions.min_error, solutions.pareto):
        with pytest.raises(UserError, match="--errors"):
            ask()


@pytest.mark.parametrize("bounds", [(0.5, 0.1), (-1, None), (None, -0.1), 0.5, (None, "much")])
def test_windows_that_are_none_are_refused(database: Database, bounds: object) -> None:
    solutions, _ = asked(database, LAYERS["svd"], "svd")
    with pytest.raises(UserError, match="error"):
        solutions.where(error=bounds)  # type: ignore[arg-type]


def test_a_front_over_methods_holds_what_nothing_beats(database: Database) -> None:
    layer = LAYERS["tucker"]
    database.explore([layer], name="net", methods=["tucker", "cp", "svd"])
    (row,) = database.layers("net")
    for seed, method in enumerate(("tucker", "svd")):
        store_errors(database.engine, row["id"], method, WEIGHTS, "digest", made_up(layer, method, seed))
    front = database.pareto("conv", "params", network="net")
    both = [*database.solutions("conv", "tucker").pareto("params"), *database.solutions("conv", "svd").pareto("params")]
    wanted = [one for one in both if not any(_beats(other, one) for other in both)]
    assert {(one.method, one.ranks) for one in front} == {(one.method, one.ranks) for one in wanted}
    assert [one.params for one in front] == sorted(one.params for one in front)
    assert database.pareto("conv", "params", methods=["svd"]) == database.solutions("conv", "svd").pareto("params")
    with pytest.raises(UserError, match="--errors"):
        database.pareto("conv", "params", methods=["cp"])


def test_the_best_under_an_error_passes_over_methods_without_tables(database: Database) -> None:
    layer = LAYERS["tucker"]
    database.explore([layer], name="net", methods=["tucker", "cp"])
    (row,) = database.layers("net")
    store_errors(database.engine, row["id"], "tucker", WEIGHTS, "digest", made_up(layer, "tucker", 0))
    found = database.best_by_method("conv", "params", error=(None, 10.0))
    assert found["tucker"] is not None
    assert found["cp"] is None


def _beats(one: Solution, other: Solution) -> bool:
    assert one.error is not None
    assert other.error is not None
    return (
        one.params <= other.params
        and one.error <= other.error
        and (one.params, one.error)
        != (
            other.params,
            other.error,
        )
    )
