"""What every kind of database must do, held by one suite: another backend is one more entry in BACKENDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from rankline.src.db.database import Database, open_database
from rankline.src.db.records.error_tables import WEIGHTS, store_errors
from rankline.src.db.records.runs import (
    CHOSEN,
    INTERRUPTED,
    RUNNING,
    LayerRecord,
    TrialRecord,
    choose_trial,
    record_trial,
    recorded_end,
    reopen_run,
    run_settings,
    start_run,
    trials,
)
from rankline.src.db.schema import line
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.operations import chain_operations
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.metric import counted
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import layer_shape
from tests.helpers import brute
from tests.helpers.devices import made_up_device
from tests.helpers.error_tables import made_up

LAYERS = [conv("c1", (3, 3), 4, 6, (8, 8)), conv("c2", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)]

SPACES = [("c1", "tucker"), ("c1", "cp"), ("c1", "tt"), ("c1", "svd"), ("c1", "spatial_svd"), ("d", "qr"), ("d", "t3f")]

BACKENDS: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: str(folder / "space.db"),
    "sqlite in memory": lambda folder: "sqlite://",
}
"""The location of a new database of each kind, which may use a folder of its own."""


@pytest.fixture(params=BACKENDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(BACKENDS[request.param](tmp_path))
    yield opened
    opened.close()


def useful(layer: str, method: str) -> list[brute.Configuration]:
    (found,) = [one for one in LAYERS if one.name == layer]
    return [one for one in brute.configurations(found, method) if one.useful]


@pytest.mark.parametrize(("layer", "method"), SPACES)
def test_counts_windows_and_picks_equal_brute_force(database: Database, layer: str, method: str) -> None:
    database.explore(LAYERS, name="net", methods=[method])
    every = useful(layer, method)
    most = sorted(one.cost.flops for one in every)[len(every) // 2]
    inside = [one for one in every if one.cost.flops <= most]
    found = database.solutions(layer, method, "net").where(flops=(None, most))
    assert (found.useful(), found.count()) == (len(every), len(inside))
    for name, metric in counted().items():
        least = min(inside, key=lambda one: (metric.of(one.cost), one.order))
        assert found.lowest(name).configuration == Configuration(method, least.ranks, least.shape)
        top = min(inside, key=lambda one: (-metric.of(one.cost), one.order))
        assert found.highest(name).configuration == Configuration(method, top.ranks, top.shape)
    drawn = [(one.ranks, one.shape) for one in found.random(len(inside) + 3, seed=0)]
    assert sorted(drawn, key=repr) == sorted(((one.ranks, one.shape) for one in inside), key=repr)
    assert sorted(found.to_pandas()["params"]) == sorted(one.cost.params for one in inside)


@pytest.mark.parametrize(("layer", "method"), SPACES)
def test_the_views_list_what_brute_force_lists(database: Database, layer: str, method: str) -> None:
    database.explore(LAYERS, name="net", methods=[method])
    asked = {"layer": layer, "method": method}
    with database.engine.connect() as connection:
        query = "SELECT sum(params), sum(flops), count(*) FROM configuration WHERE layer = :layer AND method = :method"
        rows = connection.execute(text(f"{query} AND useful = 1"), asked).one()
        steps = connection.execute(
            text("SELECT sum(n) FROM solution_step WHERE layer = :layer AND method = :method"), asked
        ).scalar()
    every = useful(layer, method)
    wanted = (sum(one.cost.params for one in every), sum(one.cost.flops for one in every), len(every))
    assert tuple(map(int, rows)) == wanted
    assert steps == len(every)


def test_a_device_is_kept_with_the_latency_of_every_configuration(database: Database) -> None:
    database.explore(LAYERS[:1], name="net", methods=["cp"])
    device = made_up_device()
    database.save_device(device)
    database.explore(LAYERS, name="others", methods=["svd"])
    assert (database.device(), database.devices()) == (device, [replace(device, measured=())])
    query = "SELECT method, layer, r1, latency_ps FROM configuration_latency WHERE device = 'laptop' AND layer <> 'c2'"
    with database.engine.connect() as connection:
        found = {(method, layer, rank): time for method, layer, rank, time in connection.execute(text(query))}
    shapes = {layer.name: layer_shape(layer) for layer in LAYERS}
    assert {(method, layer) for method, layer, _ in found} == {("cp", "c1"), ("svd", "c1"), ("svd", "d")}
    for (method, layer, rank), time in found.items():
        assert device.model.polynomial(chain_operations(shapes[layer], method, 1, None)).at((rank,)) == time
    database.remove_device("laptop")
    with database.engine.connect() as connection:
        assert connection.execute(text(query)).all() == []
    assert database.devices() == []


def test_windows_on_errors_equal_brute_force(database: Database) -> None:
    database.explore(LAYERS, name="net", methods=["tucker"])
    (first, *_) = database.layers("net")
    tables = made_up(LAYERS[0], "tucker", seed=3)
    store_errors(database.engine, first["id"], "tucker", WEIGHTS, "digest", tables)
    errors = [tables[None].error(one.ranks) for one in useful("c1", "tucker")]
    limit = sorted(errors)[len(errors) // 2] + 1e-6
    found = database.solutions("c1", "tucker", "net").where(error=(None, limit))
    assert found.count() == sum(error <= limit for error in errors)


def test_a_run_is_read_back_as_it_was_recorded(database: Database) -> None:
    database.explore(LAYERS, name="net", methods=["tucker"])
    run = start_run(database.engine, database.network_id("net"), {"a": [1, None]}, seed=7)
    layers = (
        LayerRecord("c1", Configuration("tucker", (2, 3)), Cost(80, 700, 2**40), 0.9, 0.2),
        LayerRecord("c2", None, Cost(216, 384, 27_648), 1.0, 0.0),
    )
    told = [
        TrialRecord(0, "original", 0.95, 0.2, Cost(300, 900, 2**50), 0.5, ()),
        TrialRecord(1, "tried", None, None, Cost(200, 900, 10_000), 1.5, layers, 0.25, 0.125, {"keep_flops": 0.5}),
    ]
    for trial in told:
        record_trial(database.engine, run, trial)
    assert trials(database.engine, run) == told
    choose_trial(database.engine, run, 1)
    assert trials(database.engine, run) == [told[0], replace(told[1], status=CHOSEN)]
    assert run_settings(database.engine, run)[1]["a"] == [1, None]


def test_exploring_writes_a_line_for_each_combination_of_fixed_ranks(database: Database) -> None:
    done = database.explore(LAYERS, name="net")
    with database.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(line)).scalar() == done.n_lines


def test_a_run_that_goes_on_is_running_again(database: Database) -> None:
    database.explore(LAYERS, name="net")
    run = start_run(database.engine, database.network_id("net"), {}, seed=0)
    with pytest.raises(KeyboardInterrupt), recorded_end(database.engine, run):
        raise KeyboardInterrupt
    assert database.runs()[0]["status"] == INTERRUPTED
    reopen_run(database.engine, run)
    assert database.runs()[0]["status"] == RUNNING


@pytest.mark.parametrize("read", [trials, run_settings])
def test_an_unknown_run_is_refused_with_those_that_there_are(database: Database, read: Callable[..., object]) -> None:
    database.explore(LAYERS, name="net")
    with pytest.raises(UserError, match="there is no run 3; the database has runs: none"):
        read(database.engine, 3)
    start_run(database.engine, database.network_id("net"), {}, seed=0)
    with pytest.raises(UserError, match="there is no run 3; the database has runs: 1"):
        read(database.engine, 3)


def test_equal_layers_share_their_spaces_and_exploring_again_changes_nothing(database: Database) -> None:
    first = database.explore(LAYERS, name="net")
    assert first.n_spaces == first.n_new_spaces == 5 + 3  # c1 and c2 share theirs; d has SVD, QR and T3F
    with database.engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT sum(id), count(*) FROM line").one()
    again = database.explore(LAYERS, name="net")
    other = database.explore(LAYERS[:1], name="other")
    assert again.n_new_spaces == other.n_new_spaces == 0
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT sum(id), count(*) FROM line").one() == before
        assert connection.exec_driver_sql("SELECT count(*) FROM space").scalar() == 8
    assert [row["method"] for row in database.spaces("other")] == ["tucker", "cp", "tt", "svd", "spatial_svd"]


def test_exploring_with_other_options_replaces_the_layer_s_space_of_that_method(database: Database) -> None:
    database.explore(LAYERS, name="net")
    database.explore(LAYERS, name="net", methods=["tucker"], options=Options(rank_multiple=2))
    assert database.solutions("c1", "tucker").total() == 2 * 3
    assert database.solutions("c1", "svd").total() == 6


def test_another_network_of_the_same_name_is_refused_before_anything_is_written(database: Database) -> None:
    database.explore(LAYERS, name="net")
    with pytest.raises(UserError, match="another network named 'net'"):
        database.explore([conv("c1", (5, 5), 4, 6, (8, 8))], name="net")
    assert len(database.spaces("net")) == 13


def test_a_space_that_is_too_large_stops_the_whole_before_anything_is_written(database: Database) -> None:
    layers = [*LAYERS, dense("wide", 4096, 4096)]
    with pytest.raises(UserError, match="max_lines"):
        database.explore(layers, name="net", options=Options(max_lines=500))
    assert database.networks() == []
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM space").scalar() == 0


def test_exploring_again_does_not_work_out_what_stands(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    first = database.explore(LAYERS, name="net")
    monkeypatch.setattr("rankline.src.dse.methods.get", lambda name: pytest.fail(f"{name} was worked out again"))
    again = database.explore(LAYERS, name="net")
    assert (again.n_new_spaces, again.n_total, again.n_lines) == (0, first.n_total, first.n_lines)
