"""Questions about a whole network, lists written to files, and the checks of a database."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import event

from rankline.src.db.check import check, check_exhaustively
from rankline.src.db.database import Database, open_database
from rankline.src.db.explore.network import spaces_to_explore
from rankline.src.db.export import export
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.options import Options
from tests.helpers import brute

LAYERS = [
    conv("stem", (3, 3), 3, 8, (12, 12)),
    conv("conv", (3, 3), 8, 12, (8, 8), strides=2),
    conv("point", (1, 1), 12, 16, (4, 4)),
    dense("head", 24, 12),
]


@pytest.fixture
def explored(database: Database) -> Database:
    database.explore(LAYERS, name="net")
    return database


def every(layer: str, chosen: str = "useful") -> list[tuple[str, brute.Configuration]]:
    (found,) = [one for one in LAYERS if one.name == layer]
    methods = [space.method for space in spaces_to_explore([found], None, Options())[0]]  # the methods that apply
    return [
        (method, one)
        for method in methods
        for one in brute.configurations(found, method)
        if chosen == "all" or getattr(one, chosen)
    ]


@pytest.mark.parametrize("lowest", ["params", "fm", "flops", "memory"])
def test_the_best_of_each_layer_is_the_lowest_over_all_methods(explored: Database, lowest: str) -> None:
    found = explored.best(lowest, params_reduction=(0.3, None))
    assert list(found) == [layer.name for layer in LAYERS]
    for layer in LAYERS:
        whole = brute.original(layer)
        inside = [one for _, one in every(layer.name) if one.cost.params <= 0.7 * whole.params]
        value = {"memory": lambda cost: 4 * (cost.params + cost.fm)}.get(lowest, lambda cost: getattr(cost, lowest))
        best = found[layer.name]
        assert best is not None
        assert best.value(lowest) == min(value(one.cost) for one in inside)


def test_each_method_s_best_at_a_fixed_flops_reduction(explored: Database) -> None:
    found = explored.best_by_method("conv", "params", flops_reduction=(0.5, None))
    whole = brute.original(LAYERS[1])
    for method, solution in found.items():
        inside = [
            one.cost.params for name, one in every("conv") if name == method and 2 * one.cost.flops <= whole.flops
        ]
        assert (solution.params if solution else None) == min(inside, default=None)


def test_a_layer_without_any_is_told_as_none(explored: Database) -> None:
    assert explored.best(params=(None, 1)) == dict.fromkeys((layer.name for layer in LAYERS), None)
    with pytest.raises(UserError, match="did you mean 'tucker'"):
        explored.best(methods=["tuker"])
    assert explored.best(methods=["t3f"])["conv"] is None


def test_totals_are_the_network_s_less_what_the_choice_saves(explored: Database) -> None:
    choice = {
        "conv": explored.solutions("conv", "tucker").min_flops(),
        "head": explored.solutions("head", "svd").min_flops(),
    }
    before, after = explored.totals(choice)
    costs = {layer.name: brute.original(layer) for layer in LAYERS}
    for metric in ("params", "fm", "flops"):
        assert getattr(before, metric) == sum(getattr(cost, metric) for cost in costs.values())
        kept = sum(getattr(cost, metric) for name, cost in costs.items() if name not in choice)
        assert getattr(after, metric) == kept + sum(getattr(one, metric) for one in choice.values())
    with pytest.raises(UserError, match="no layer 'cnv'"):
        explored.totals({"cnv": choice["conv"]})


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize(("layer", "method"), [("conv", "tt"), ("head", "t3f")])
def test_an_export_holds_every_configuration(
    explored: Database, tmp_path: Path, ending: str, layer: str, method: str
) -> None:
    path = tmp_path / f"out.{ending}"
    wanted = [one for name, one in every(layer) if name == method]
    assert export(explored.solutions(layer, method), path, limit=10**6) == len(wanted)
    read = {
        "parquet": pd.read_parquet,
        "csv": pd.read_csv,
        "jsonl": lambda file: pd.read_json(file, lines=True),
    }[ending]
    frame = read(path)
    assert sorted(zip(frame["params"], frame["fm"], frame["flops"], strict=True)) == sorted(
        (one.cost.params, one.cost.fm, one.cost.flops) for one in wanted
    )
    assert {name for name in frame.columns if name.startswith("r")} == {
        f"r{j}" for j in range(1, 1 + max(len(one.ranks) for one in wanted))
    }


def test_an_export_above_its_limit_writes_nothing(explored: Database, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="above the limit of 3"):
        export(explored.solutions("conv", "tt"), tmp_path / "out.csv", limit=3)
    with pytest.raises(UserError, match=r"possible endings: .parquet, .csv, .jsonl"):
        export(explored.solutions("conv", "tt"), tmp_path / "out.xls", limit=10**6)
    with pytest.raises(UserError, match="cannot write"):
        export(explored.solutions("conv", "tt"), tmp_path / "absent" / "out.csv", limit=10**6)
    assert [path.suffix for path in tmp_path.iterdir() if path.stem == "out"] == []


def test_arrow_batches_have_one_schema(explored: Database) -> None:
    batches = list(explored.solutions("head", "t3f").arrow_batches(size=20))
    table = pa.Table.from_batches(batches)
    assert table.num_rows == explored.solutions("head", "t3f").count()
    assert table.schema.field("shape").type in (pa.string(), pa.large_string())


def test_the_exhaustive_check_visits_everything_and_finds_a_wrong_number(explored: Database, tmp_path: Path) -> None:
    path = tmp_path / "space.db"
    total = sum(row["n_total"] for row in explored.spaces())
    assert check_exhaustively(str(path)) == total
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE line SET m1 = m1 + 1 WHERE id = (SELECT max(id) FROM line)")
    check(str(path))
    with pytest.raises(RuntimeError, match="differ from its configurations"):
        check_exhaustively(str(path))


def test_a_space_made_by_other_formulas_is_told(explored: Database, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "space.db") as connection:
        connection.execute("UPDATE space SET digest = 'old' WHERE id = 1")
    with pytest.raises(RuntimeError, match="other formulas"):
        check_exhaustively(str(tmp_path / "space.db"))


def test_lines_are_the_same_copied_from_an_image_or_bound_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("image.db", "rows.db", "alone.db")]
    _explore(paths[0])
    with monkeypatch.context() as patched:
        patched.setattr("rankline.src.db.explore.spaces._sqlite", lambda connection: None)
        _explore(paths[1])
    monkeypatch.setattr("rankline.src.db.explore.network.LINES_AT_A_TIME", 0)  # every space in a transaction of its own
    told = _explore(paths[2])
    dumps = [list(sqlite3.connect(path).iterdump()) for path in paths]
    assert dumps[0] == dumps[1] == dumps[2]
    assert told == sorted(told)
    with sqlite3.connect(paths[0]) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert told[-1] == connection.execute("SELECT sum(n_total) FROM space").fetchone()[0]
    check_exhaustively(str(paths[0]))


def _explore(path: Path) -> list[int]:
    """Explores into a new file; how many configurations were told to be done, in order."""
    told: list[int] = []
    database = open_database(str(path))
    database.explore(LAYERS, name="net", progress=lambda label, done, total: told.append(done))
    database.close()
    return told


def test_layers_that_share_a_space_are_answered_by_as_many_queries_as_one(database: Database) -> None:
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    counts = []
    for count in (1, 40):
        layers = [dense(f"{count}/{number}", 24, 12) for number in range(count)]
        database.explore(layers, name=f"net{count}", methods=["svd", "qr"])
        statements.clear()
        found = database.best("params", f"net{count}", params_reduction=(0.3, None))
        counts.append(len(statements))
        by_method = database.best_by_method(f"{count}/0", "params", f"net{count}", params_reduction=(0.3, None))
        best = min((one for one in by_method.values() if one is not None), key=lambda one: (one.params, one.fm))
        assert found == {layer.name: replace(best, layer=layer.name) for layer in layers}
    assert counts[0] == counts[1]
