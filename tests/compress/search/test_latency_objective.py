"""Latency as the objective of searches, hybrids and baselines: chosen by a device's numbers, and on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from rankline.src.compress.baselines.pruning import prune
from rankline.src.compress.compression import Compression
from rankline.src.compress.data.sets import Data
from rankline.src.compress.runs.latency import OnDevice, PlanLatency, TimedNetwork
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.timed import NotTimedWarning
from rankline.src.compress.search.targets import targets_of
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import FELL_SHORT, SUCCESS, finish_run
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.network import layer_latency, whole_latency
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.progress import Progress
from tests.helpers.compression import compress as run_compression
from tests.helpers.devices import elsewhere
from tests.helpers.digits_net import digits_net

QUICK = Settings(
    objective="latency", fine_tuning=FineTuning(epochs=0), samples=50, step=0.3, max_drop=1.0, max_trials=2,
    drop_smallest=0.0,
)  # fmt: skip
"""Whatever a trial loses is good enough."""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """The tiny network, with random weights."""
    keras.utils.set_random_seed(0)
    return digits_net()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with one device, which is no machine."""
    opened = open_database(str(tmp_path / "space.db"))
    opened.save_device(elsewhere())
    yield opened
    opened.close()


def compress(model: keras.Model, few: Data, database: Database, device: str = "board", **changes: Any) -> Compression:
    found = database.device(device)
    return run_compression(model, few, database, name="tiny", device=found, **{"settings": QUICK, **changes})


def test_a_search_starts_at_the_lowest_latency_of_every_layer_and_records_what_is_predicted(
    model: keras.Model, few: Data, database: Database
) -> None:
    done = compress(model, few, database)
    assert done.run.status == SUCCESS
    first = done.trials[1]
    device = elsewhere().model
    for one in first.layers:
        lowest = database.solutions(one.layer, one.method, "tiny", device).lowest("latency")
        assert (one.configuration, one.cost.latency) == (lowest.configuration, lowest.cost.latency)
    shape, rest = describe(model), list(rest_of(trace(model)))
    before, _ = whole_latency(device, shape.layers, rest, shape.params)
    after, _ = whole_latency(device, shape.layers, rest, first.cost.params, done.plan)
    stored = database.trials(done.run.id)
    assert [one.cost.latency for one in stored[:2]] == [before, after]
    told = PlanLatency.from_record(stored[1].made_by)
    assert told == done.latency
    assert told is not None
    assert (told.device, told.original, told.plan, told.measured_plan) == ("board", before, after, None)
    assert after < before
    (row,) = database.runs()
    assert row.settings["device"] == elsewhere().title
    assert row.settings["device_name"] == "board"


def test_levels_are_of_the_latency(model: keras.Model, database: Database) -> None:
    database.explore(model, name="tiny", methods=["tucker", "svd"])
    targets, _ = targets_of(model, database, "tiny", QUICK, elsewhere().model)
    target = targets["conv"]
    reductions = []
    while target.solution is not None:
        reductions.append(target.solution.reduction("latency"))
        target.advance()
    assert len(reductions) > 2
    start = reductions[0]
    for k, reduction in enumerate(reductions[1:], start=1):
        assert start - k * QUICK.step <= reduction <= start


def test_the_smallest_layers_are_those_of_least_latency(model: keras.Model, database: Database) -> None:
    database.explore(model, name="tiny", methods=["tucker", "svd"])
    device = elsewhere().model
    _, skipped = targets_of(model, database, "tiny", replace(QUICK, drop_smallest=0.3), device)
    shapes = {layer.name: layer for layer in describe(model).layers}
    targets, _ = targets_of(model, database, "tiny", QUICK, device)
    least = min(targets, key=lambda name: layer_latency(device, shapes[name]))
    assert skipped[least] == "among the smallest 30 % of the layers by latency"


def test_layers_that_the_device_has_no_numbers_for_are_left_as_they_are_with_the_reason(
    model: keras.Model, few: Data, database: Database
) -> None:
    database.save_device(elsewhere("phone", leave_out="dense"))
    done = compress(model, few, database, device="phone")
    assert done.run.skipped["hidden"] == "device 'phone' has no numbers for the operation 'dense'"
    assert "conv" in done.plan
    assert done.latency is not None
    assert done.latency.untimed == ("hidden", "classes")


def test_a_device_that_is_named_is_told_of_whatever_the_objective(
    model: keras.Model, few: Data, database: Database
) -> None:
    params = replace(QUICK, objective="params")
    named = compress(model, few, database, settings=params)
    unnamed = run_compression(model, few, database, name="tiny", settings=params)
    assert named.latency is not None
    assert unnamed.latency is None
    assert named.plan == unnamed.plan


def stopped_run(model: keras.Model, few: Data, database: Database, **changes: Any) -> int:
    """A run as it is when it was stopped before its last trial was followed."""
    run = compress(model, few, database, settings=replace(QUICK, max_drop=0.0, metric="loss", max_trials=1, **changes))
    if run.run.status == SUCCESS:
        finish_run(database.engine, run.run.id, FELL_SHORT)
    return run.run.id


def again(model: keras.Model, few: Data, database: Database, run: int) -> Compression:
    return run_compression(model, few, database, name="tiny", settings=replace(QUICK, max_trials=2), resume=run)


def test_a_run_resumes_on_the_same_device_and_is_refused_where_its_numbers_changed(
    model: keras.Model, few: Data, database: Database
) -> None:
    run = stopped_run(model, few, database)
    changed = elsewhere(call=1)
    database.save_device(changed, replace=True)
    with pytest.raises(UserError, match=r"lowers the latency on board \(.*has other numbers now; start the run again"):
        again(model, few, database, run)
    database.remove_device("board")
    with pytest.raises(UserError, match="unknown device 'board'"):
        again(model, few, database, run)
    database.save_device(elsewhere())
    done = again(model, few, database, run)
    assert done.latency is not None
    assert all("latency" in one.made_by for one in database.trials(run))


def test_a_hybrid_takes_for_each_layer_what_leaves_it_fastest(
    model: keras.Model, few: Data, database: Database
) -> None:
    methods = {"conv": ("tucker", "svd"), "dense": ("svd",)}
    done = compress(model, few, database, strategy="hybrid", methods=methods)
    device, shapes = elsewhere().model, {layer.name: layer for layer in describe(model).layers}
    parts = [next(one for one in database.trials(part) if one.status == "chosen") for part in done.run.parts]
    assert len(parts) == 2
    for one in done.run.chosen.layers:
        choices = [other.configuration for part in parts for other in part.layers if other.layer == one.layer]
        times = {choice: layer_latency(device, shapes[one.layer], choice) for choice in choices}
        assert times[one.configuration] == min(times.values())
    assert done.latency is not None
    assert done.latency.plan <= min(part.cost.latency or 0 for part in parts)


def test_parallel_searches_of_a_hybrid_know_the_device(model: keras.Model, few: Data, database: Database) -> None:
    methods = {"conv": ("tucker", "svd"), "dense": ("svd",)}
    done = compress(model, few, database, strategy="hybrid", methods=methods, jobs=2)
    assert all("latency" in one.made_by for part in done.run.parts for one in database.trials(part))


def test_the_ranks_of_vbmf_are_judged_by_latency(model: keras.Model, few: Data, database: Database) -> None:
    database.save_device(elsewhere("phone", leave_out="pointwise"))
    done = compress(model, few, database, strategy="vbmf", device="phone", settings=replace(QUICK, max_trials=3))
    assert done.run.skipped["conv"] == "device 'phone' has no numbers for the operation 'pointwise'"
    assert "conv" not in done.plan
    done = compress(model, few, database, strategy="vbmf", device="board", settings=replace(QUICK, max_trials=3))
    tried = [one.cost.latency for one in database.trials(done.run.id)[1:]]
    assert done.latency is not None
    assert done.latency.plan == min(one for one in tried if one is not None)


def test_a_pruned_model_is_predicted_from_its_own_layers(model: keras.Model, few: Data, database: Database) -> None:
    done = compress(model, few, database, strategy="pruning", settings=replace(QUICK, max_trials=2))
    told = done.latency
    assert told is not None
    assert told == OnDevice(TimedNetwork.of(model), elsewhere()).of_model(done.model)
    assert told.plan < told.original
    whole = prune(model, 1.0).model
    assert OnDevice(TimedNetwork.of(model), elsewhere()).of_model(whole).speedup == 1


def test_the_card_tells_the_latency(model: keras.Model, few: Data, database: Database, tmp_path: Path) -> None:
    done = compress(model, few, database, out=tmp_path / "small.keras")
    assert done.latency is not None
    assert done.latency.told in (tmp_path / "small.md").read_text().replace("\\", "")


def times(models: Mapping[str, keras.Model], device: Device, progress: Progress) -> dict[str, SimpleNamespace]:
    """As if they were measured: the more weights, the longer."""
    return {name: SimpleNamespace(minimum=1000 * one.count_params()) for name, one in models.items()}


def test_the_result_is_measured_once_where_the_device_is_this_machine(
    model: keras.Model, few: Data, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankline.src.compress.runs.timed.is_here", lambda device: device.name == "board")
    monkeypatch.setattr("rankline.src.compress.runs.timed.latencies", times)
    done = compress(model, few, database, out=tmp_path / "small.keras")
    assert done.latency is not None
    sizes = [network.count_params() for network in (model, done.model)]
    assert [done.latency.measured_original, done.latency.measured_plan] == [1000 * size for size in sizes]
    assert done.latency.speedup == pytest.approx(sizes[0] / sizes[1])
    stored = database.trials(done.run.id)
    assert PlanLatency.from_record(stored[done.run.chosen.number].made_by) == done.latency
    assert stored[done.run.chosen.number].cost.latency == done.latency.plan
    assert [one.made_by["latency"]["measured_ps"] for one in stored].count(None) == len(stored) - 1
    assert f"{done.latency.told}." in (tmp_path / "small.md").read_text().replace("\\", "")


def test_a_model_that_can_t_be_measured_is_delivered_all_the_same(
    model: keras.Model, few: Data, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise UserError("LiteRT has no operation Foo")

    monkeypatch.setattr("rankline.src.compress.runs.timed.is_here", lambda _: True)
    monkeypatch.setattr("rankline.src.compress.runs.timed.latencies", refused)
    with pytest.warns(NotTimedWarning, match="the model was not measured on board: LiteRT has no operation Foo"):
        done = compress(model, few, database)
    assert done.run.status == SUCCESS
    assert done.latency is not None
    assert done.latency.measured_plan is None
