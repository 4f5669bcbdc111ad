"""The baselines through ``rankline.compress``: on record and delivered as any run is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from compress.data import Data
from compress.plan import Choice, read_plan
from compress.search import cost_of
from compress.settings import Settings
from compress.surgery import factorize
from compress.training import FineTuning
from db.database import Database, open_database
from db.runs import FELL_SHORT, SUCCESS, TrialRecord
from dse.errors import UserError
from rankline.compression import Compression, compress

QUICK = Settings(fine_tuning=FineTuning(epochs=0), max_drop=0.4)
HOPELESS = Settings(fine_tuning=FineTuning(epochs=0), max_drop=0.0)


@pytest.fixture(autouse=True)
def _few_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compress.baselines.strategies.AMOUNTS", (0.1, 0.5, 0.9, 1.0))


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
    recorded = {one["layer"]: Choice(one["method"], tuple(one["ranks"])) for one in chosen["layers"]}
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


def test_pruning_tries_every_criterion_and_factorizes_nothing(trained: keras.Model, few: Data, tmp_path: Path) -> None:
    result, _, trials = ran("pruning", trained, few, tmp_path)
    assert len(trials) >= 1 + 3 * 2
    assert result.plan == {}
    assert "No layer is factorized." in (tmp_path / "small.md").read_text()


@pytest.mark.parametrize("strategy", ["vbmf", "pruning"])
def test_where_no_trial_is_good_enough_the_original_is_handed_over_and_said_to_be(
    strategy: str, trained: keras.Model, few: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compress.baselines.strategies.AMOUNTS", (0.9, 1.0))
    result, row, trials = ran(strategy, trained, few, tmp_path, HOPELESS)
    assert (result.run.status, row["status"]) == (FELL_SHORT, FELL_SHORT)
    assert result.run.chosen == result.run.original
    assert [trial["status"] for trial in trials] == ["original", *["tried"] * (len(trials) - 1)]
    assert row["trials"] == len(trials) - 1 >= 1
    assert result.plan == {}
    assert cost_of(keras.saving.load_model(tmp_path / "small.keras")) == cost_of(trained)
    assert row["accuracy"] == row["original_accuracy"]


def test_filters_are_pruned_on_top_of_a_factorized_model(trained: keras.Model, few: Data, tmp_path: Path) -> None:
    """Of the last convolution's factors those that something plain follows."""
    plan = {"conv": Choice("tucker", (6, 10)), "branch": Choice("tucker", (10, 10))}
    tucker = factorize(trained, plan)
    result, row, _ = ran("pruning", tucker, few, tmp_path, name="tiny after Tucker")
    assert row["status"] == SUCCESS
    assert row["network"] == "tiny after Tucker"
    assert result.run.chosen.cost.params < cost_of(tucker).params < cost_of(trained).params
    assert result.model.output_shape == trained.output_shape


@pytest.mark.parametrize("strategy", ["vbmf", "pruning"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": Settings(metric="loss")}, "the baselines are judged by accuracy"),
        ({"metric": lambda labels, outputs: 1.0}, "the baselines are judged by accuracy"),
        ({"settings": Settings(include=("conv",))}, "take every layer that they can; leave out include and exclude"),
        ({"settings": Settings(exclude=("conv",))}, "take every layer that they can"),
    ],
)
def test_what_a_baseline_cannot_keep_to_is_refused_before_a_run_starts(
    strategy: str, changes: dict[str, Any], message: str, trained: keras.Model, few: Data
) -> None:
    database = Database("sqlite://")
    with pytest.raises(UserError, match=message):
        compress(trained, few, database, strategy=strategy, **changes)
    assert database.runs() == []
    database.close()
