"""Devices on record: read back as they were saved, and latencies that plain SQL gives as the model does."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankline.src.db.check import check
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.latencies import latencies
from rankline.src.dse.devices.device import Device, Fit
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.operations import chain_operations, original_operations
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.options import Options
from rankline.src.dse.space import spaces_of
from rankline.src.dse.symbols import layer_shape
from tests.helpers import brute
from tests.helpers.devices import made_up_device, numbers_of
from tests.helpers.layers import layers_with_method

LAYERS = [
    conv("c", (3, 3), 4, 6, (8, 8)),
    conv("strided", (3, 3), 5, 7, (8, 8), strides=2),
    conv("solid", (2, 2, 3), 3, 4, (4, 4, 4)),
    dense("d", 12, 10),
    dense("cores", 16, 16, 3),
]

RANKS = ("r1", "r2", "r3", "r4")


def rows_of(database: Database, sql: str, *values: object) -> list[dict[str, Any]]:
    with database.engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(sql, values).mappings()]


def latency_of(model: LatencyModel, layer: Layer, method: str, ranks: tuple[int, ...], shape: str | None) -> int:
    operations = chain_operations(layer_shape(layer), method, len(ranks), shape)
    return model.polynomial(operations).at(ranks)


def wanted(device: Device, layer: Layer, method: str, options: Options | None = None) -> Counter[tuple[object, ...]]:
    """Every configuration with its latency and reduction, by the model."""
    original = device.model.polynomial(original_operations(layer_shape(layer))).at(())
    found: Counter[tuple[object, ...]] = Counter()
    for one in brute.configurations(layer, method, options):
        time = latency_of(device.model, layer, method, one.ranks, one.shape)
        ranks = (*one.ranks, *[None] * (4 - len(one.ranks)))
        found[one.shape, *ranks, one.cost.params, one.cost.flops, time, 1 - time / original] += 1
    return found


def told(database: Database, device: str, network: str, layer: str, method: str) -> Counter[tuple[object, ...]]:
    query = "SELECT * FROM configuration_latency WHERE device = ? AND network = ? AND layer = ? AND method = ?"
    rows = rows_of(database, query, device, network, layer, method)
    names = ("shape", *RANKS, "params", "flops", "latency_ps", "latency_reduction")
    return Counter(tuple(row[name] for name in names) for row in rows)


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_view_gives_the_latency_of_every_configuration_to_the_picosecond(
    database: Database, layer: Layer, pads: bool
) -> None:
    options = Options(t3f_cores=(2, 3, 4), t3f_order="all", max_rank=9)
    device = made_up_device(tile=4, pads=pads)
    database.save_device(device)
    database.explore([layer], name="net", options=options)
    for row in database.spaces():
        found = told(database, "laptop", "net", layer.name, row.method)
        assert found == wanted(device, layer, row.method, options), row.method
        assert len(found) == row.n_total


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(str(tmp_path_factory.mktemp("devices") / "space.db"))
    yield opened
    opened.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=layers_with_method(), tile=st.sampled_from([1, 3, 16]), pads=st.booleans(), multiple=st.integers(1, 2))
def test_so_it_does_for_any_layer_tile_and_order_of_saving_and_exploring(
    shared: Database, chosen: tuple[Layer, str], tile: int, pads: bool, multiple: int
) -> None:
    layer, method = chosen
    options = Options(rank_multiple=multiple)
    name = repr((layer, method, multiple))
    device = made_up_device("any", tile, pads)
    shared.save_device(device, replace=True)
    shared.explore([layer], name=name, methods=[method], options=options)
    before = told(shared, "any", name, layer.name, method)
    shared.save_device(device, replace=True)
    assert told(shared, "any", name, layer.name, method) == before == wanted(device, layer, method, options)


@pytest.mark.parametrize("pads", [False, True])
def test_the_columns_have_all_monomials_of_the_chains_of_all_methods(pads: bool) -> None:
    layers = [
        *(conv("c", kernel, *channels, (8,) * len(kernel), strides) for kernel, channels, strides in product(
            [(3,), (1,), (3, 3), (1, 3), (1, 1), (3, 3, 3), (1, 3, 3), (1, 1, 1)], [(1, 1), (5, 7), (32, 32)], [1, 2]
        )),
        *(dense("d", *channels) for channels in [(1, 1), (24, 36), (32, 32), (64, 16)]),
    ]  # fmt: skip
    model = LatencyModel("laptop", 4, pads, 0, numbers_of(pads))
    options = Options(t3f_cores=(2, 3, 4, 5), t3f_order="all")
    for layer in layers:
        spaces = dict(enumerate(spaces_of(layer, options=options)))
        rows = latencies(model, spaces)
        assert len(rows) == sum(len(space.branches) for space in spaces.values())


def test_a_device_is_read_back_as_it_was_saved(database: Database) -> None:
    device = made_up_device()
    database.save_device(device)
    assert database.device() == database.device("laptop") == device
    assert len(device.measured) > 10
    assert database.devices() == [replace(device, measured=())]


def test_a_name_is_taken_once_and_replaced_on_request(database: Database) -> None:
    database.explore(LAYERS[:1], name="net")
    database.save_device(made_up_device())
    with pytest.raises(UserError, match="has a device 'laptop' already; give another name, or replace it"):
        database.save_device(made_up_device(tile=8))
    assert database.device().model.tile == 4
    database.save_device(made_up_device(tile=8), replace=True)
    assert database.device().model.tile == 8
    assert told(database, "laptop", "net", "c", "cp") == wanted(made_up_device(tile=8), LAYERS[0], "cp")
    database.save_device(made_up_device("phone"), replace=True)
    assert [one.name for one in database.devices()] == ["laptop", "phone"]
    assert told(database, "phone", "net", "c", "cp") == wanted(made_up_device("phone"), LAYERS[0], "cp")


def test_what_is_not_there_is_told_with_what_is(database: Database) -> None:
    with pytest.raises(UserError, match="no device yet; add one with: rankline device add NAME --runtime litert"):
        database.device()
    with pytest.raises(UserError, match="unknown device 'laptop'. Possible: none"):
        database.device("laptop")
    for name in ("laptop", "phone"):
        database.save_device(made_up_device(name))
    with pytest.raises(UserError, match="has 2 devices; choose one with --device: laptop, phone"):
        database.device()
    for ask in (database.device, database.remove_device):
        with pytest.raises(UserError, match="'labtop'; did you mean 'laptop'\\? Possible: laptop, phone"):
            ask("labtop")


def test_removing_a_device_leaves_the_others_and_no_latencies(database: Database) -> None:
    database.explore(LAYERS[:1], name="net")
    for name in ("laptop", "phone"):
        database.save_device(made_up_device(name))
    database.remove_device("laptop")
    assert [one.name for one in database.devices()] == ["phone"]
    assert {row["device"] for row in rows_of(database, "SELECT device FROM configuration_latency")} == {"phone"}
    assert check(database.location) == len(database.spaces())


def test_a_space_with_an_operation_that_was_not_measured_has_no_latency(database: Database) -> None:
    device = made_up_device(leave_out="along axis")
    database.save_device(device)
    database.explore(LAYERS[:1], name="net")
    query = "SELECT DISTINCT method FROM configuration_latency"
    assert {row["method"] for row in rows_of(database, query)} == {"tucker", "cp", "svd"}
    with pytest.raises(UserError, match="no numbers for the operation 'along axis'"):
        latency_of(device.model, LAYERS[0], "tt", (1, 1, 1), None)


def test_without_the_layers_own_operation_there_is_a_latency_and_no_reduction(database: Database) -> None:
    database.save_device(made_up_device(leave_out="convolution"))
    database.explore(LAYERS[:1], name="net", methods=["cp", "tucker"])
    rows = rows_of(database, "SELECT method, latency_ps, latency_reduction FROM configuration_latency")
    assert {(row["method"], row["latency_reduction"]) for row in rows} == {("cp", None)}
    assert all(row["latency_ps"] > 0 for row in rows)


def test_latencies_beyond_64_bits_are_left_out(database: Database) -> None:
    huge = made_up_device()
    numbers = tuple((kind, (1e15,) * 5) for kind, _ in huge.model.numbers)
    database.save_device(replace(huge, model=replace(huge.model, numbers=numbers), measured=()))
    database.explore([conv("c", (3, 3), 64, 64, (32, 32)), dense("d", 2, 2)], name="net")
    rows = rows_of(database, "SELECT layer, max(latency_ps) AS most FROM configuration_latency GROUP BY layer")
    assert [row["layer"] for row in rows] == ["d"]
    assert 0 < rows[0]["most"] < 2**60
    assert check(database.location) == len(database.spaces())


def test_a_device_of_zeros_divides_by_nothing(database: Database) -> None:
    idle = made_up_device()
    numbers = tuple((kind, (0.0,) * 5) for kind, _ in idle.model.numbers)
    database.save_device(replace(idle, model=replace(idle.model, call=0, numbers=numbers), measured=()))
    database.explore(LAYERS[:1], name="net", methods=["svd"])
    rows = rows_of(database, "SELECT latency_ps, latency_reduction FROM configuration_latency")
    assert {tuple(row.values()) for row in rows} == {(0, None)}


def test_what_could_not_be_read_back_is_not_saved(database: Database) -> None:
    device = made_up_device()
    for wrong in (
        replace(device, name="a\x1b[2J"),
        replace(device, threads=0),
        replace(device, fit=Fit(float("nan"), 0.5, 3)),
        replace(device, model=replace(device.model, numbers=())),
    ):
        with pytest.raises(UserError, match="must be|has no numbers"):
            database.save_device(wrong)
    assert database.devices() == []


def test_a_save_that_fails_leaves_the_old_device_with_its_latencies(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.explore(LAYERS[:1], name="net")
    database.save_device(made_up_device())

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("rankline.src.db.records.devices.write_latencies", full)
        with pytest.raises(sqlite3.OperationalError):
            database.save_device(made_up_device(tile=8), replace=True)
    assert database.device() == made_up_device()
    assert told(database, "laptop", "net", "c", "cp") == wanted(made_up_device(), LAYERS[0], "cp")


def test_rows_are_written_for_spaces_that_another_process_stored_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A space that comes between computing and writing is computed while it is written."""
    database.explore(LAYERS[:1], name="net", methods=["cp"])

    def late(model: LatencyModel, spaces: Any) -> Any:
        if len(spaces) == 1 and not late.done:  # type: ignore[attr-defined]
            late.done = True  # type: ignore[attr-defined]
            other = open_database(database.location)
            other.explore(LAYERS[:1], name="net", methods=["svd"])
            other.close()
        return latencies(model, spaces)

    late.done = False  # type: ignore[attr-defined]
    monkeypatch.setattr("rankline.src.db.records.devices.latencies", late)
    database.save_device(made_up_device())
    rows = rows_of(database, "SELECT DISTINCT method FROM configuration_latency")
    assert {row["method"] for row in rows} == {"cp", "svd"}
