"""The baselines: on record and delivered as any run is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from rankline.src.compress.baselines.vbmf import vbmf_plan
from rankline.src.compress.compression import Compression
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.surgery import factorize
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import FELL_SHORT, SUCCESS, TrialRecord
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.plan import read_plan
from tests.helpers.compression import compress

QUICK = Settings(fine_tuning=FineTuning(epochs=0), max_drop=0.4)
HOPELESS = Settings(fine_tuning=FineTuning(epochs=0), max_drop=0.0)


@pytest.fixture(autouse=True)
def _few_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.compress.baselines.strategies.AMOUNTS", (0.1, 0.5, 0.9, 1.0))


def ran(
    strategy: str, model: keras.Model, data: Data, folder: Path, settings: Settings = QUICK, **more: Any
) -> tuple[Compression, dict[str, Any], list[dict[str, Any]]]:
    """The compression, the run's row and its trials' rows."""
    database = open_database(str(folder / "space.db"))
    result = compress(model, data, database, strategy=strategy, settings=settings, out=folder / "small.keras", **more)
    row, trials = next(row for row in database.runs() if row["id"] == result.run.id), database.trials(result.run.id)
    database.close()
    return result, row, trials


@pytest.mark.parametrize("strategy", ["vbmf", "pruning"])
def test_a_baseline_is_on_record_and_delivered(strategy: str, trained: keras.Model, few: Data, tmp_path: Path) -> None:
    told: list[TrialRecord] = []
    result, row, trials = ran(strategy, trained, few, tmp_path, on_trial=told.append)
    assert (row["status"], row["settings"]["strategy"]) == (SUCCESS, strategy)
    assert row["accuracy"] == result.delivered.test.accuracy
    assert [trial["number"] for trial in trials] == list(range(len(trials))) == [one.number for one in told]
    assert trials[0]["status"] == "original"
    assert [trial["status"] for trial in trials].count("chosen") == 1
    good = [one for one in trials[1:] if one["accuracy"] >= trials[0]["accuracy"] - QUICK.max_drop]
    (chosen,) = [trial for trial in trials if trial["status"] == "chosen"]
    assert chosen["number"] == result.run.chosen.number
    assert chosen["params"] == min(one["params"] for one in good) < trials[0]["params"]
    written = cost_of(keras.saving.load_model(tmp_path / "small.keras"))
    assert (written.params, written.fm, written.flops) == (chosen["params"], chosen["fm"], chosen["flops"])
    assert f"{written.params:,}" in (tmp_path / "small.md").read_text()


def test_vbmf_s_choice_for_each_layer_is_on_record(trained: keras.Model, few: Data, tmp_path: Path) -> None:
    result, _, trials = ran("vbmf", trained, few, tmp_path)
    chosen = trials[result.run.chosen.number]
    recorded = {one["layer"]: Configuration(one["method"], tuple(one["ranks"])) for one in chosen["layers"]}
    assert recorded == result.plan == read_plan(tmp_path / "small.plan.json")
    assert all(0 <= one["error"] <= 1 for one in chosen["layers"])
    assert {*result.plan, *result.run.skipped} == {"stem", "conv", "branch", "hidden", "classes"}
    database = open_database(str(tmp_path / "space.db"))
    before = {row["name"]: row for row in database.layers()}
    for one in chosen["layers"]:
        space = database.solutions(one["layer"], one["method"])
        (found,) = [
            solution
            for solution in space.where(params=(one["params"], one["params"])).within("all").random(99, 0)
            if list(solution.ranks) == one["ranks"]
        ]
        assert (found.fm, found.flops) == (one["fm"], one["flops"])
    saved = sum(before[one["layer"]]["params"] - one["params"] for one in chosen["layers"])
    database.close()
    assert chosen["params"] == trials[0]["params"] - saved


def test_every_trial_of_vbmf_has_its_layers_and_how_far_its_ranks_were_taken(
    trained: keras.Model, few: Data, tmp_path: Path
) -> None:
    _, _, trials = ran("vbmf", trained, few, tmp_path)
    assert trials[0]["made_by"] == {}
    for trial in trials[1:]:
        plan, _ = vbmf_plan(trained, weaken=trial["made_by"]["weaken"])
        assert {one["layer"]: Configuration(one["method"], tuple(one["ranks"])) for one in trial["layers"]} == plan


def test_pruning_tries_every_criterion_and_factorizes_nothing(trained: keras.Model, few: Data, tmp_path: Path) -> None:
    result, row, trials = ran("pruning", trained, few, tmp_path)
    made_by = [trial["made_by"] for trial in trials[1:]]
    assert list(dict.fromkeys(one["criterion"] for one in made_by)) == ["l1", "l2", "geometric_median"]
    assert {one["removed"] for one in made_by} <= {0.1, 0.5, 0.9}
    assert row["settings"]["made_by"] == {str(number): one for number, one in enumerate(made_by, 1)}
    assert result.plan == {}
    assert "No layer is factorized." in (tmp_path / "small.md").read_text()


@pytest.mark.parametrize(
    ("choice", "changed"),
    [({"include": ("conv", "stem")}, {"stem"}), ({"exclude": ("stem", "classes")}, {"conv", "branch"})],
)
def test_only_the_filters_of_chosen_layers_are_pruned(
    choice: dict[str, Any], changed: set[str], trained: keras.Model, few: Data, tmp_path: Path
) -> None:
    """The filters of conv are added to those of branch, so that they can't be removed without."""
    result, _, _ = ran("pruning", trained, few, tmp_path, **choice)
    widths = {name: trained.get_layer(name).filters for name in ("stem", "conv", "branch")}
    assert {name for name in widths if result.model.get_layer(name).filters < widths[name]} == changed
    assert set(result.run.skipped) >= set(widths) - changed


def test_vbmf_takes_chosen_layers_only(trained: keras.Model, few: Data, tmp_path: Path) -> None:
    result, _, _ = ran("vbmf", trained, few, tmp_path, exclude=("c*",))
    assert set(result.plan) <= {"stem", "branch", "hidden"}
    assert result.run.skipped["conv"] == "left out by include or exclude"


@pytest.mark.parametrize("strategy", ["vbmf", "pruning"])
def test_a_pattern_that_fits_no_layer_starts_no_run(strategy: str, trained: keras.Model, few: Data) -> None:
    database = Database("sqlite://")
    with pytest.raises(UserError, match="unknown layer 'brunch'; did you mean 'branch'"):
        compress(trained, few, database, strategy=strategy, settings=QUICK, include=("brunch",))
    assert database.runs() == []
    database.close()


@pytest.mark.parametrize("strategy", ["vbmf", "pruning"])
def test_where_no_trial_is_good_enough_the_original_is_handed_over_and_said_to_be(
    strategy: str, trained: keras.Model, few: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankline.src.compress.baselines.strategies.AMOUNTS", (0.9, 1.0))
    result, row, trials = ran(strategy, trained, few, tmp_path, HOPELESS)
    assert (result.run.status, row["status"]) == (FELL_SHORT, FELL_SHORT)
    assert result.run.chosen == result.run.original
    assert [trial["status"] for trial in trials] == ["original", *["tried"] * (len(trials) - 1)]
    assert row["trials"] == len(trials) - 1 >= 1
    assert result.plan == {}
    assert cost_of(keras.saving.load_model(tmp_path / "small.keras")) == cost_of(trained)
    assert row["accuracy"] == row["original_accuracy"]


def test_filters_are_pruned_on_top_of_a_factorized_model(trained: keras.Model, few: Data, tmp_path: Path) -> None:
    """Of the last of a convolution's factors alone, which makes the channels that the next layer takes."""
    plan = {
        "stem": Configuration("tucker", (1, 6)),
        "conv": Configuration("cp", (30,)),
        "branch": Configuration("tt", (8, 12, 12)),
    }
    factorized = factorize(trained, plan)
    result, row, _ = ran("pruning", factorized, few, tmp_path, name="tiny after LRF", include=("*_out",))
    assert (row["status"], row["network"]) == (SUCCESS, "tiny after LRF")
    assert result.run.chosen.cost.params < cost_of(factorized).params < cost_of(trained).params
    assert result.model.output_shape == trained.output_shape
    widths = {
        layer.name: [getattr(side.get_layer(layer.name), "filters", None) for side in (factorized, result.model)]
        for layer in factorized.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert {name for name, (before, after) in widths.items() if after < before} == {
        "stem_tucker_out", "conv_cp_out", "branch_tt_out",
    }  # fmt: skip


@pytest.mark.parametrize("strategy", ["vbmf", "pruning"])
def test_a_baseline_can_be_judged_by_the_loss(strategy: str, trained: keras.Model, few: Data, tmp_path: Path) -> None:
    settings = Settings(fine_tuning=FineTuning(epochs=0), metric="loss", max_drop=0.5)
    result, row, trials = ran(strategy, trained, few, tmp_path, settings)
    assert row["status"] == SUCCESS
    assert trials[result.run.chosen.number]["loss"] <= trials[0]["loss"] + 0.5
