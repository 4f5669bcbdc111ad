"""The views against a loop over every configuration, in the SQL of SQLite and of PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankline.src.db.database import Database, open_database
from rankline.src.db.migrations.versions import v0001, v0003, v0004
from rankline.src.db.views import views
from rankline.src.dse import methods
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.options import Options
from tests.helpers import brute
from tests.helpers.devices import made_up_device
from tests.helpers.layers import layers_with_method

LAYERS = [conv("c1", (3, 3), 4, 6, (8, 8)), conv("c2", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(str(tmp_path_factory.mktemp("views") / "space.db"))
    yield opened
    opened.close()


def select(database: Database, sql: str, *values: object) -> list[tuple[object, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql, values)]


def steps(layer: Layer, method: str, options: Options | None = None) -> dict[int, int]:
    """Useful configurations at each percent of params saved."""
    whole = brute.original(layer).params
    useful = [one for one in brute.configurations(layer, method, options) if one.useful]
    return Counter(100 * (whole - one.cost.params) // whole for one in useful)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=layers_with_method(), multiple=st.integers(1, 2))
def test_solution_steps_equal_brute_force(shared: Database, chosen: tuple[Layer, str], multiple: int) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple)
    name = repr((layer, method, multiple))
    shared.explore([layer], name=name, methods=[method], options=options)
    rows = select(shared, "SELECT layer, method, percent, n FROM solution_step WHERE network = ?", name)
    assert {(layer, method) for layer, method, *_ in rows} <= {(layer.name, method)}
    assert {percent: n for *_, percent, n in rows} == steps(layer, method, options)


def test_a_level_needs_no_row_of_the_table_rank(database: Database) -> None:
    """The table holds the ranks up to the largest cap, here 6, and there are 100 levels."""
    layer = conv("c", (3, 3), 4, 6, (8, 8))
    database.explore([layer], name="net", methods=["tucker"])
    assert select(database, "SELECT max(r) FROM rank") == [(6,)]
    assert dict(select(database, "SELECT percent, n FROM solution_step")) == steps(layer, "tucker")


def test_the_network_summary_counts_shared_spaces_once_and_for_each_layer(database: Database) -> None:
    kept = Layer(**{**vars(LAYERS[0]), "name": "kept", "kept_because": "it is asked for"})
    database.explore([*LAYERS, kept], name="net")
    database.explore([kept], name="nothing to do")
    every = {
        layer.name: [list(brute.configurations(layer, method.name)) for method in methods.applicable(layer)]
        for layer in LAYERS
    }

    def counts(*names: str) -> tuple[int, ...]:
        found = [one for name in names for space in every[name] for one in space]
        return len(found), sum(one.better for one in found), sum(one.useful for one in found)

    costs = [(row["params"], row["fm"], row["flops"]) for row in database.networks()]
    n_lines = sum(row["n_lines"] for row in database.spaces("net") if row["layer"] != "c2")
    (net, nothing) = select(database, "SELECT * FROM network_summary ORDER BY network")
    assert net == ("net", 4, 1, *costs[0], 5 + 3, n_lines, *counts("c1", "d"), 5 + 5 + 3, *counts("c1", "c2", "d"))
    assert nothing == ("nothing to do", 1, 1, *costs[1], *[0] * 9)


def test_the_migration_makes_the_views_of_a_fresh_database(database: Database, tmp_path: Path) -> None:
    database.explore(LAYERS, name="net")
    fresh = dict(select(database, "SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    assert fresh == {name: text.strip() for name, text in views("sqlite").items()}
    written = vars(v0001) | vars(v0003) | vars(v0004)
    migrated = {name: written[name.upper()].format(least="min", greatest="max").strip() for name in fresh}
    assert migrated == fresh


def test_the_views_of_postgresql_give_the_same_rows(database: Database) -> None:
    """Run by DuckDB, which understands their SQL and, unlike PostgreSQL, needs no server."""
    duckdb = pytest.importorskip("duckdb")
    database.explore(LAYERS, name="net")
    database.save_device(made_up_device())
    with duckdb.connect() as other:
        other.execute("SET integer_division = true")
        for table in ("network", "layer", "space", "layer_space", "line", "rank", "device", "latency"):
            columns = select(database, f"SELECT name, type FROM pragma_table_info('{table}')")
            types = [f'"{name}" {kind.replace("INTEGER", "BIGINT")}' for name, kind in columns]
            other.execute(f"CREATE TABLE {table} ({', '.join(types)})")
            marks = ", ".join("?" * len(columns))
            other.executemany(f"INSERT INTO {table} VALUES ({marks})", select(database, f"SELECT * FROM {table}"))
        for name, statement in views("postgresql").items():
            other.execute(statement)
            query = f"SELECT * FROM {name}"
            assert sorted(other.execute(query).fetchall(), key=repr) == sorted(select(database, query), key=repr)
