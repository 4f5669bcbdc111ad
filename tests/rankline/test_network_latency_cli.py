"""Latencies of networks and of their layers: ``explore``, ``layers`` and ``study`` with a device."""

from __future__ import annotations

import csv
import io
import json

import pytest

import rankline
from rankline.src.dse import zoo
from rankline.src.dse.devices.network import known_latency
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.layers_file import write_layers
from tests.helpers.devices import made_up_device
from tests.rankline.conftest import Run

LAYERS = [conv("conv", (3, 3), 8, 12, (8, 8)), dense("dense", 48, 10)]

LAPTOP = made_up_device("laptop")
PHONE = made_up_device("phone", leave_out="convolution")

TIMES = [known_latency(LAPTOP.model, layer) or 0 for layer in LAYERS]
PARAMS = 9 * 8 * 12 + 48 * 10
WHOLE = LAPTOP.model.call + sum(TIMES) + round(LAPTOP.model.cold_rate(PARAMS) * PARAMS)


@pytest.fixture
def timed(run: Run) -> Run:
    """A network in rankline.db and in net.json, and two devices, of which one can't tell convolutions."""
    with open("net.json", "w", encoding="utf-8") as file:
        file.write(write_layers(LAYERS))
    database = rankline.open("rankline.db")
    database.explore(LAYERS, name="net")
    database.save_device(LAPTOP)
    database.save_device(PHONE)
    database.close()
    return run


def test_explore_tells_the_latency_of_the_network_on_a_named_device(timed: Run) -> None:
    code, out, told = timed("explore", "net.json", "--device", "laptop")
    assert code == 0
    assert "latency" in out
    assert "us" in out
    assert "latency: of a call of the whole network, as predicted for laptop (litert 2.3.0" in told
    found = json.loads(timed("explore", "net.json", "--device", "laptop", "--json")[1])
    assert (found["device"], found["latency_ps"], found["left_out"]) == ("laptop", WHOLE, [])
    (row,) = csv.DictReader(io.StringIO(timed("explore", "net.json", "--device", "laptop", "--csv")[1]))
    assert (row["latency (ps)"], row["latency without"]) == (str(WHOLE), "")


def test_a_latency_without_some_layers_is_told_as_at_least_that(timed: Run) -> None:
    _, out, told = timed("explore", "net.json", "--device", "phone")
    assert "at least " in out
    assert "net: its latency is without conv, which the device has no numbers for" in told
    assert json.loads(timed("explore", "net.json", "--device", "phone", "--json")[1])["left_out"] == ["conv"]
    (row,) = csv.DictReader(io.StringIO(timed("explore", "net.json", "--device", "phone", "--csv")[1]))
    assert row["latency without"] == "conv"


def test_without_a_device_explore_tells_what_it_did(timed: Run) -> None:
    assert "latency" not in timed("explore", "net.json")[1]
    found = json.loads(timed("explore", "net.json", "--json")[1])
    assert not {"device", "latency_ps", "left_out"} & set(found)


def test_the_zoo_is_explored_with_the_latency_of_each_network(timed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "FOURTEEN", ("lenet5",))
    (found,) = json.loads(timed("explore", "--zoo", "--device", "laptop", "--json")[1])
    database = rankline.open("rankline.db")
    layers = database.layer_shapes("lenet5")
    database.close()
    least = LAPTOP.model.call + sum(known_latency(LAPTOP.model, layer) or 0 for layer in layers)
    assert found["latency_ps"] > least, "poolings take time as well"


def test_an_unknown_device_is_told_before_anything_is_explored(timed: Run) -> None:
    code, _, told = timed("explore", "zoo:lenet5", "--device", "lapto")
    assert code == 2
    assert "unknown device 'lapto'; did you mean 'laptop'" in told
    code, _, told = timed("explore", "net.json", "--db", "none.db", "--device", "laptop")
    assert code == 2
    assert "no database at none.db" in told


@pytest.mark.parametrize("model", [(), ("net.json",)])
def test_layers_have_a_column_of_latencies_on_a_device(timed: Run, model: tuple[str, ...]) -> None:
    code, out, told = timed("layers", *model, "--device", "laptop")
    assert (code, told) == (0, "")
    assert "2 layers on laptop" in out
    assert " us" in out
    rows = list(csv.DictReader(io.StringIO(timed("layers", *model, "--device", "laptop", "--csv")[1])))
    assert [int(row["latency (ps)"]) for row in rows] == TIMES
    found = json.loads(timed("layers", *model, "--device", "laptop", "--json")[1])
    assert found["device"] == "laptop"
    assert [one.pop("latency_ps") for one in found["layers"]] == TIMES
    assert found["layers"] == json.loads(timed("layers", *model, "--json")[1])


def test_layers_that_the_device_cannot_tell_are_named(timed: Run) -> None:
    _, _, told = timed("layers", "--device", "phone")
    assert told == "device 'phone' has no numbers for conv\n"
    found = json.loads(timed("layers", "--device", "phone", "--json")[1])
    assert found["layers"][0]["latency_ps"] is None


def test_without_a_device_layers_has_no_latencies(timed: Run) -> None:
    assert "latency" not in timed("layers")[1]
    assert "latency" not in timed("layers", "--csv")[1]


def test_the_study_compares_methods_on_the_only_device_and_says_so(timed: Run) -> None:
    timed("device", "remove", "phone")
    timed("explore", "zoo:lenet5")
    code, out, told = timed("study", "out", "--table", "latency")
    assert code == 0
    assert "Lowest latency at fixed reductions of params on laptop" in out
    assert "Most often fastest at a params reduction of 50.0 %:" in told
    assert "latencies are those on laptop (litert 2.3.0, f32, 1 thread, batch 1), the only device" in told
    code, out, told = timed("study", "out", "--table", "latency", "--device", "laptop", "--json")
    found = json.loads(out)
    assert (code, told, found["device"]) == (0, "", "laptop")
    assert list(found["tables"]) == ["latency", "latency_faster"]
