"""``rankline budget`` about time: what it takes, tells and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version

import keras
import numpy as np
import pytest

from rankline.cli.budget import kept_time
from rankline.src.compress.deploy import runtimes
from rankline.src.dse.errors import UserError
from tests.helpers.devices import elsewhere, made_up_device
from tests.helpers.digits_net import digits_net
from tests.rankline.conftest import Run, add

BUDGET = ("budget", "tiny.keras", "--calibrate", "x.npy", "--methods", "svd,spatial_svd", "--out", "small.keras")


@pytest.fixture
def tiny(run: Run) -> Run:
    """A device, a network with random weights, and inputs for it."""
    add(elsewhere())
    keras.utils.set_random_seed(0)
    model = digits_net()
    model.save("tiny.keras")
    np.save("x.npy", np.random.default_rng(0).standard_normal((60, *model.input_shape[1:])).astype("float32"))
    return run


def test_a_share_of_the_latency_is_kept_and_told(tiny: Run) -> None:
    code, out, err = tiny(*BUDGET, "--keep-latency", "0.9", "--device", "board", "--json")
    assert code == 0, err
    (point,) = json.loads(out)["points"]
    latency = point["latency"]
    assert latency["device"] == "board"
    assert latency["predicted_ps"] <= 0.9 * latency["predicted_original_ps"]
    assert point["kept"]["latency"] == pytest.approx(latency["predicted_ps"] / latency["predicted_original_ps"])
    assert (latency["measured_ps"], latency["rounds"]) == (None, []), "the device is another machine"
    code, out, err = tiny(*BUDGET, "--keep-latency", "0.9")
    assert code == 0, err
    assert "of the latency" in out
    assert "Latency on board: " in err
    assert " predicted, for the original " in err


def test_a_time_is_kept_under_either_name_of_the_option(tiny: Run) -> None:
    whole = json.loads(tiny("latency", "tiny.keras", "--json")[1])["latency_ps"]
    for option in ("--keep-latency", "--latency"):
        code, out, err = tiny(*BUDGET, option, f"{0.9 * whole / 1e6:.3f}us", "--json")
        assert code == 0, err
        assert json.loads(out)["points"][0]["latency"]["predicted_ps"] <= 0.9 * whole


def test_a_budget_of_flops_that_is_slower_names_the_way_out(tiny: Run) -> None:
    device = elsewhere()
    numbers = tuple((kind, (1e8, *of[1:])) for kind, of in device.model.numbers)  # each operation takes long
    add(replace(device, model=replace(device.model, numbers=numbers)))
    code, _, err = tiny(*BUDGET, "--keep-flops", "0.5")
    assert code == 0, err
    assert "times slower" in err
    assert "it is slower than the original: ask for time itself, with --keep-latency 0.5" in err


def test_less_than_is_possible_and_unknown_devices_are_refused_with_what_is_possible(tiny: Run) -> None:
    code, _, err = tiny(*BUDGET, "--latency", "1ns")
    assert code == 2
    assert "latency" in err
    assert "the least is" in err
    code, _, err = tiny(*BUDGET, "--keep-latency", "0.9", "--device", "bord")
    assert (code, err.count("\n")) == (2, 1)
    assert "unknown device 'bord'; did you mean 'board'?" in err


def test_a_plan_is_measured_where_the_device_is_this_machine(tiny: Run) -> None:
    litert = runtimes.get("litert")
    here = replace(made_up_device("here"), version=version("ai-edge-litert"), machine=litert.machine())
    add(here)
    code, out, err = tiny(*BUDGET, "--keep-latency", "0.95", "--device", "here", "--json")
    assert code == 0, err
    latency = json.loads(out)["points"][0]["latency"]
    assert latency["measured_ps"] > 0
    assert latency["measured_original_ps"] > 0
    assert 1 <= len(latency["rounds"]) <= 3


@pytest.mark.parametrize(("text", "kept"), [("0.5", 0.5), ("1", 1.0), ("3ms", 3 * 10**9), ("0.25 us", 250_000)])
def test_shares_and_times_are_told_apart(text: str, kept: float) -> None:
    assert kept_time(text) == kept


@pytest.mark.parametrize("text", ["0", "-1", "2", "200", "3 parsecs", "0ms", "-3ms", "much"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        kept_time(text)
