"""``rankline latency`` from the outside, and ``compress --objective latency``: what they tell, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.plan import write_plan
from tests.helpers.devices import elsewhere, made_up_device
from tests.helpers.digits_net import digits_net
from tests.rankline.conftest import Run, add

pytestmark = pytest.mark.runtimes

PLAN = {"conv": Configuration("tucker", (3, 5)), "hidden": Configuration("svd", (4,))}


@pytest.fixture
def tiny(run: Run) -> Run:
    """A device, a network with random weights, and a plan for it."""
    add(elsewhere())
    keras.utils.set_random_seed(0)
    digits_net().save("tiny.keras")
    write_plan(PLAN, "chosen.json")
    return run


def test_each_layer_the_rest_the_call_and_the_whole_are_told(tiny: Run) -> None:
    code, out, err = tiny("latency", "tiny.keras", "--device", "board")
    assert code == 0
    assert err.startswith("device 'board' was measured with litert 0.1, and")
    assert err.count("\n") == 1
    assert f"tiny on {elsewhere().title}, predicted" in out
    for name in ("stem", "conv", "branch", "hidden", "classes", "what is beside the layers", "a call", "whole model"):
        assert f" {name}" in out
    assert "as it is" not in out
    found = json.loads(tiny("latency", "tiny.keras", "--device", "board", "--json")[1])
    layers = sum(one["latency_ps"] for one in found["layers"])
    assert found["latency_ps"] == layers + found["rest_ps"] + found["call_ps"] + found["beside_ps"]
    assert found["device"] == "board"
    assert "original_latency_ps" not in found
    rows = list(csv.DictReader(io.StringIO(tiny("latency", "tiny.keras", "--device", "board", "--csv")[1])))
    assert [int(row["latency (ps)"]) for row in rows[:5]] == [one["latency_ps"] for one in found["layers"]]
    assert int(rows[-1]["latency (ps)"]) == found["latency_ps"]


def test_a_plan_is_applied_to_the_model_s_layers(tiny: Run) -> None:
    code, out, err = tiny("latency", "tiny.keras", "--plan", "chosen.json")
    assert code == 0
    assert f"latencies are those on {elsewhere().title}, the only device of the database" in err
    assert "tucker 3x5" in out
    found = json.loads(tiny("latency", "tiny.keras", "--plan", "chosen.json", "--json")[1])
    plain = json.loads(tiny("latency", "tiny.keras", "--json")[1])
    assert found["original_latency_ps"] == plain["latency_ps"] > found["latency_ps"]
    before = {one["layer"]: one["latency_ps"] for one in plain["layers"]}
    for one in found["layers"]:
        assert one["original_latency_ps"] == (before[one["layer"]] if one["layer"] in PLAN else None)


def test_a_model_with_a_plan_beside_it_is_told_by_that_plan(tiny: Run) -> None:
    factorize(keras.saving.load_model("tiny.keras"), PLAN).save("small.keras")
    alone = json.loads(tiny("latency", "small.keras", "--json")[1])
    assert "conv_tucker_in" in [one["layer"] for one in alone["layers"]]
    write_plan(PLAN, "small.plan.json")
    code, out, err = tiny("latency", "small.keras", "--json")
    assert code == 0
    assert "by the plan beside it, small.plan.json" in err
    found = json.loads(out)
    assert [one["layer"] for one in found["layers"]] == ["stem", "conv", "branch", "hidden", "classes"]
    assert found["latency_ps"] == alone["latency_ps"]
    planned = json.loads(tiny("latency", "tiny.keras", "--plan", "chosen.json", "--json")[1])
    assert found["latency_ps"] == planned["latency_ps"]
    write_plan({"else": PLAN["conv"]}, "small.plan.json")
    code, out, err = tiny("latency", "small.keras", "--json")
    assert (code, json.loads(out)) == (0, alone)
    assert "without the plan beside it: unknown layer 'else'" in err


def test_layers_without_numbers_make_the_sum_one_of_at_least(tiny: Run) -> None:
    add(elsewhere("phone", leave_out="dense"))
    code, out, err = tiny("latency", "tiny.keras", "--device", "phone")
    assert code == 0
    assert "whole model, at least" in out
    assert "the device has no numbers for hidden, classes: these are in no sum" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.keras",), "none.keras"),
        (("tiny.keras", "--device", "bord"), "unknown device 'bord'; did you mean 'board'"),
        (("tiny.keras", "--db", "none.db"), "no device yet; add one with: rankline device add NAME"),
        (("tiny.keras", "--plan", "none.json"), "plan none.json cannot be read"),
        (("tiny.keras", "--plan", "other.json"), "unknown layer 'else'"),
    ],
)
def test_mistakes_are_answered_in_one_line(tiny: Run, arguments: tuple[str, ...], message: str) -> None:
    write_plan({"else": PLAN["conv"]}, "other.json")
    there = {path.name for path in Path.cwd().iterdir()}
    code, out, err = tiny("latency", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert {path.name for path in Path.cwd().iterdir()} == there


def test_another_machine_can_t_be_measured_here(tiny: Run) -> None:
    code, out, err = tiny("latency", "tiny.keras", "--measure")
    assert (code, out) == (2, "")
    assert "device 'board' is another machine (a processor of 2 cores)" in err


def test_the_whole_model_is_measured_where_the_device_is_this_machine(tiny: Run) -> None:
    from dataclasses import replace
    from importlib.metadata import version

    from rankline.src.compress.deploy import runtimes

    here = replace(made_up_device("here"), version=version("ai-edge-litert"), machine=runtimes.get("litert").machine())
    add(here)
    code, out, err = tiny("latency", "tiny.keras", "--device", "here", "--plan", "chosen.json", "--measure", "--json")
    assert code == 0, err
    found = json.loads(out)
    for name, predicted in (("latency", found["latency_ps"]), ("original", found["original_latency_ps"])):
        one = found["measured"][name]
        assert 0 < one["minimum_ps"] <= one["median_ps"]
        assert one["predicted_over_measured"] == pytest.approx(predicted / one["minimum_ps"])
    add(replace(here, version="0.1"))
    code, _, err = tiny("latency", "tiny.keras", "--device", "here", "--measure")
    assert code == 0
    assert "device 'here' was measured with litert 0.1, and" in err
    assert "measured " in err
    assert "predicted / measured is" in err


COMPRESS = ("compress", "tiny.keras", "--data", "digits.npz", "--objective", "latency", "--epochs", "0",
            "--max-drop", "100", "--out", "small.keras")  # fmt: skip


@pytest.fixture
def digits(tiny: Run) -> Run:
    """The same with data of noise."""
    random = np.random.default_rng(0)
    x, y = random.random((400, 8, 8, 1)), np.arange(400) % 10
    np.savez("digits.npz", x_train=x[:340], y_train=y[:340], x_test=x[340:], y_test=y[340:])
    return tiny


def test_compress_lowers_the_latency_on_the_device_and_tells_it(digits: Run) -> None:
    code, _, err = digits(*COMPRESS)
    assert code == 0, err
    assert f"latencies are those on {elsewhere().title}, the only device of the database" in err
    assert "Latency on board: " in err
    assert "times faster" in err
    assert "{" not in err
    code, out, _ = digits(*COMPRESS, "--device", "board", "--json")
    found = json.loads(out)["latency"]
    assert found["predicted_ps"] < found["predicted_original_ps"]
    assert found["measured_ps"] is None
    assert "faster on board" in digits("runs")[1]


def test_compress_without_a_device_says_how_to_add_one_before_the_work(digits: Run) -> None:
    code, out, err = digits(*COMPRESS, "--db", "none.db")
    assert (code, out) == (2, "")
    assert "the database has no device yet; add one with: rankline device add NAME --runtime litert" in err
    assert not Path("none.db").exists()
    add(elsewhere("phone"))
    code, _, err = digits(*COMPRESS)
    assert code == 2
    assert "the database has 2 devices; choose one with --device: board, phone" in err
    code, _, err = digits("compress", "--resume", "1", "--device", "phone")
    assert code == 2
    assert "leave out --device" in err
