"""Latencies on the command line: tables, JSON, exports, and mistakes answered in one line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import rankline
from rankline.src.db.records.error_tables import WEIGHTS, store_errors
from rankline.src.dse.layer import Layer, conv, dense
from tests.helpers.devices import made_up_device
from tests.helpers.error_tables import made_up
from tests.rankline.conftest import Run, add

LAYERS = [conv("conv", (3, 3), 8, 12, (8, 8)), dense("dense", 48, 10)]


@pytest.fixture
def explored(run: Run) -> Run:
    """A network in rankline.db, and no device."""
    database = rankline.open("rankline.db")
    database.explore(LAYERS, name="net")
    database.close()
    return run


@pytest.fixture
def timed(explored: Run) -> Run:
    """The same, and one device."""
    add(made_up_device("laptop"))
    return explored


def test_a_table_has_the_latencies_of_a_named_device(timed: Run) -> None:
    code, out, err = timed("query", "conv", "tucker", "--device", "laptop")
    assert (code, err) == (0, "")
    assert "conv by tucker on laptop:" in out
    assert all(heading in out for heading in ("latency", "original latency", "latency saved"))
    assert " us " in out


def test_the_only_device_is_taken_where_a_latency_is_asked_for_and_told(timed: Run) -> None:
    told = "latencies are those on laptop (litert 2.3.0, f32, 1 thread, batch 1), the only device of the database"
    for asked in (
        ["query", "conv", "tucker", "--where", "latency=:1ms"],
        ["query", "conv", "tucker", "--where", "latency_reduction=-9:"],
        ["query", "conv", "tucker", "--at", "0", "--objective", "latency"],
        ["query", "conv", "tucker", "--steps", "0.1", "--objective", "latency"],
        ["query", "conv", "--lowest", "latency"],
        ["query", "--lowest", "latency"],
        ["export", "conv", "tucker", "out.csv", "--where", "latency=:1ms"],
    ):
        code, out, err = timed(*asked)
        assert (code, told in err) == (0, True), asked
        assert asked[0] == "export" or "on laptop" in out
    assert "latency" not in timed("query", "conv", "tucker")[1]


def test_without_a_device_the_way_to_one_is_told(explored: Run) -> None:
    code, out, err = explored("query", "conv", "tucker", "--where", "latency=:1ms")
    assert (code, out) == (2, "")
    assert err == (
        "rankline: the database has no device yet; add one with: rankline device add NAME --runtime litert\n"
    )


def test_among_several_devices_one_must_be_named(timed: Run) -> None:
    add(made_up_device("phone"))
    code, _, err = timed("query", "--lowest", "latency")
    assert code == 2
    assert "the database has 2 devices; choose one with --device: laptop, phone" in err
    code, _, err = timed("query", "--lowest", "latency", "--device", "fone")
    assert code == 2
    assert "unknown device 'fone'; did you mean 'phone'" in err
    assert timed("query", "--lowest", "latency", "--device", "phone")[0] == 0


@pytest.mark.parametrize("bound", ["200", "fast", "200 parsecs"])
def test_a_window_without_a_unit_is_a_mistake(timed: Run, bound: str) -> None:
    code, _, err = timed("query", "conv", "tucker", "--device", "laptop", "--where", f"latency=:{bound}")
    assert code == 2
    assert (
        err == f"rankline: latency: '{bound}' is not a duration; give a number with its unit (ns, us, ms or s): 200us\n"
    )


def test_a_window_that_nothing_meets_is_told_with_the_span_in_units(timed: Run) -> None:
    code, _, err = timed("query", "conv", "tucker", "--device", "laptop", "--where", "latency=:1ns")
    assert code == 2
    assert "span latency 3.71 us to 6.27 us" in err


def test_json_names_the_device_and_the_unit(timed: Run) -> None:
    found = json.loads(timed("query", "conv", "tucker", "--device", "laptop", "--json")[1])
    assert found["device"] == "laptop"
    pick = found["picks"]["min_flops"]
    assert isinstance(pick["latency_ps"], int)
    assert pick["latency_reduction"] < 1
    best = json.loads(timed("query", "--lowest", "latency", "--json")[1])
    assert best["device"] == "laptop"
    before, after = best["totals"]["latency_ps"]
    more, less = (made_up_device().model.beside(params) for params in best["totals"]["params"])
    assert (after - less) - (before - more) == sum(
        one["latency_ps"] - original(one, timed) for one in best["best"].values() if one is not None
    )
    plain = json.loads(timed("query", "conv", "tucker", "--json")[1])
    assert "device" not in plain
    assert "latency_ps" not in plain["picks"]["min_flops"]


def original(one: dict[str, Any], run: Run) -> int:
    rows = csv_rows(run("query", one["layer"], "--device", "laptop", "--csv")[1])
    return int(rows[0]["original latency (ps)"])


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_picoseconds_under_a_heading_that_says_so(timed: Run) -> None:
    rows = csv_rows(timed("query", "conv", "tucker", "--device", "laptop", "--csv")[1])
    found = json.loads(timed("query", "conv", "tucker", "--device", "laptop", "--json")[1])["picks"]
    assert [int(row["latency (ps)"]) for row in rows] == [found[row["pick"]]["latency_ps"] for row in rows]


def test_an_export_has_the_latency_of_every_configuration(timed: Run) -> None:
    code, out, _ = timed("export", "conv", "tucker", "out.csv", "--device", "laptop", "--json")
    assert code == 0
    rows = csv_rows(Path("out.csv").read_text())
    assert len(rows) == json.loads(out)["configurations"]
    assert all(int(row["latency_ps"]) > 0 for row in rows)
    timed("export", "conv", "tucker", "plain.csv")
    assert "latency" not in Path("plain.csv").read_text()


def test_a_front_of_error_against_latency(timed: Run) -> None:
    database = rankline.open("rankline.db")
    (row,) = [row for row in database.layers() if row.name == "conv"]
    store_errors(database.engine, row.id, "tucker", WEIGHTS, "digest", made_up(LAYERS[0], "tucker", 1))
    database.close()
    code, out, _ = timed("pareto", "conv", "--cost", "latency", "--device", "laptop", "--json")
    assert code == 0
    points = [(one["latency_ps"], one["error"]) for one in json.loads(out)]
    assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    code, out, _ = timed("pareto", "conv", "--cost", "latency", "--device", "laptop")
    assert "conv on laptop:" in out
    assert "error and latency" in out


def test_methods_that_the_device_lacks_are_left_out_with_a_note(explored: Run) -> None:
    add(made_up_device("phone", leave_out="depthwise along axis"))
    code, out, err = explored("query", "conv", "--lowest", "latency")
    assert code == 0
    told = (
        "note: layer 'conv' by cp is left out: device 'phone' has no numbers for the operation 'depthwise along axis'"
    )
    assert told in err
    assert "tucker" in out
    code, _, err = explored("query", "conv", "cp", "--device", "phone")
    assert code == 2
    assert "device 'phone' has no numbers for the operation 'depthwise along axis', only for" in err


def test_a_layer_that_no_device_can_tell_is_named_with_the_totals(run: Run) -> None:
    database = rankline.open("rankline.db")
    database.explore([*LAYERS, Layer("odd", "embedding", 4, 4, kept_because="other")], name="net")
    database.close()
    add(made_up_device("laptop"))
    code, out, err = run("query", "--lowest", "latency")
    assert code == 0
    assert "note: the network's latency is without 'odd': device 'laptop' has no numbers for them" in err
    assert "network's latency: at least" in out
    assert "network's flops: at least" in out
    assert json.loads(run("query", "--lowest", "latency", "--json")[1])["without_latency"] == ["odd"]


def test_a_latency_may_lack_what_flops_have(explored: Run) -> None:
    add(made_up_device("phone", leave_out="dense"))
    code, out, err = explored("query", "--lowest", "latency")
    assert code == 0
    assert "the network's latency is without 'dense': device 'phone' has no numbers for them" in err
    assert "network's latency: at least" in out
    assert "network's flops: 1" in out


def test_equal_ranks_outside_the_window_are_marked(explored: Run) -> None:
    code, out, err = explored("query", "conv", "tucker", "--where", "params_reduction=0.6:0.62", "--within", "all")
    assert code == 0
    found = json.loads(explored(
        "query", "conv", "tucker", "--where", "params_reduction=0.6:0.62", "--within", "all", "--json"
    )[1])["picks"]["equal_rank"]  # fmt: skip
    assert not 0.6 <= found["params_reduction"] < 0.62
    assert " equal_rank * " in out
    assert "*: of those with equal ranks the nearest to the window's level, but outside the windows" in err
    code, out, err = explored("query", "conv", "tucker", "--where", "params_reduction=0.3:0.9")
    assert (code, err) == (0, "")
    assert "equal_rank" in out
    assert "*" not in out
    rows = csv_rows(
        explored("query", "conv", "tucker", "--where", "params_reduction=0.6:0.62", "--within", "all", "--csv")[1]
    )
    assert rows[-1]["pick"] == "equal_rank"
