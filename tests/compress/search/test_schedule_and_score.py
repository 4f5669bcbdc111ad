"""Fine-tuning layer by layer, what trials are judged by, and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from time import sleep
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.data.sets import Data
from rankline.src.compress.methods import get
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.surgery import factorize
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.run import Run, plan_of
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.data_fit import DataFit, samples_of
from rankline.src.compress.search.search import search
from rankline.src.compress.training.fine_tuning import DivergedError
from rankline.src.compress.training.losses import ScoreFunction
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import FAILED, FELL_SHORT, ORIGINAL, SUCCESS
from rankline.src.dse.errors import UserError

QUICK = Settings(
    fine_tuning=FineTuning(epochs=0), include=("conv", "branch", "hidden"), drop_smallest=0.0, samples=50, step=0.3,
    max_drop=0.0, max_trials=2,
)  # fmt: skip

PAUSE = 0.05
"""Seconds that a fine-tuning is made to take."""

Searched = Callable[..., tuple[Run, Database]]


@pytest.fixture
def searched(trained: keras.Model, few: Data) -> Iterator[Searched]:
    """Runs a search in a database in memory, whose runs are gone after the test."""
    database = open_database("sqlite://")
    database.explore(trained, name="tiny", methods=["tucker", "svd"])

    def run(own: ScoreFunction | None = None, **changes: Any) -> tuple[Run, Database]:
        return search(Job(trained, few, database, "tiny", metric=own), replace(QUICK, **changes)), database

    yield run
    database.close()


def test_layer_by_layer_makes_the_same_first_model_and_takes_longer(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[int] = []

    def tune(model: keras.Model, *_: Any) -> None:
        tuned.append(cost_of(model).params)
        sleep(PAUSE)

    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", tune)
    one_shot, _ = searched(max_trials=1)
    iterative, database = searched(max_trials=1, schedule="iterative")
    assert plan_of(iterative.trials[1]) == plan_of(one_shot.trials[1])
    assert len(tuned) == 1 + 3
    assert tuned[1:] == sorted(tuned[1:], reverse=True)
    assert tuned[0] == tuned[-1] == one_shot.trials[1].cost.params == iterative.trials[1].cost.params
    once, layerwise = (database.trials(run)[1] for run in (1, 2))
    assert 0 < once["construct_seconds"] <= once["seconds"] - PAUSE
    assert 2 * PAUSE < layerwise["construct_seconds"] <= layerwise["seconds"] - PAUSE
    assert database.runs()[1]["settings"]["schedule"] == "iterative"


def test_layer_by_layer_only_what_has_changed_is_tuned_after(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[keras.Model] = []
    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", lambda model, *_: tuned.append(model))
    monkeypatch.setattr(
        "rankline.src.compress.search.search.Reference.similarities",
        lambda *_: {"conv": 0.99, "branch": 0.1, "hidden": 0.1},
    )
    run, _ = searched(schedule="iterative")
    assert len(tuned) == 3 + 2
    first, second = (plan_of(trial) for trial in run.trials[1:])
    assert [path for path in first if first[path] != second[path]] == ["branch", "hidden"]


def test_a_model_is_really_tuned_layer_by_layer(searched: Searched) -> None:
    tuning = FineTuning(epochs=1, learning_rate=3e-3, batch_size=64)
    run, _ = searched(max_trials=1, fine_tuning=tuning, schedule="iterative", include=("conv", "branch"))
    untrained, _ = searched(max_trials=1, include=("conv", "branch"))
    assert run.trials[1].loss != untrained.trials[1].loss
    assert run.trials[1].cost == untrained.trials[1].cost


def test_a_trial_with_a_fit_to_data_is_fitted_anew_from_the_original_where_that_is_better(
    searched: Searched, trained: keras.Model, few: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fitted and tuned at other ranks would spoil it."""
    given: list[list[Any]] = []

    def spoil(model: keras.Model, *_: Any) -> None:
        given.append(model.get_weights())
        for variable in model.trainable_variables:
            variable.assign(0.5 * variable)

    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", spoil)
    run, _ = searched(fit="data")
    plan = plan_of(run.trials[2])
    assert plan_of(run.trials[1]) != plan
    wanted = factorize(trained, plan)
    DataFit(trained, samples_of(few, replace(QUICK, fit="data")), QUICK.seed)(wanted, plan)
    for one, other in zip(given[1], wanted.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_trial_with_a_fit_to_data_keeps_what_has_not_changed_where_that_is_better(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[list[Any]] = []
    fit = DataFit.__call__

    def spoil_anew(self: DataFit, made: keras.Model, plan: Any, paths: Any = None) -> None:
        fit(self, made, plan, paths)
        if paths is None and starts:
            for variable in made.trainable_variables:
                variable.assign(0 * variable)

    def tune(model: keras.Model, *_: Any) -> None:
        starts.append(model.get_weights())

    monkeypatch.setattr(DataFit, "__call__", spoil_anew)
    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", tune)
    searched(fit="data")
    assert len(starts) == 2
    assert any(np.any(weight) for weight in starts[1])


def test_a_fit_of_the_whole_network_goes_with_one_fine_tuning() -> None:
    with pytest.raises(UserError, match="fits the whole network at once"):
        Settings(fit="data", schedule="iterative")


@pytest.mark.parametrize("schedule", ["one-shot", "iterative"])
def test_a_tuning_that_diverges_is_a_failed_trial(
    searched: Searched, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[keras.Model] = []

    def diverge_first(model: keras.Model, *_: Any) -> None:
        calls.append(model)
        if len(calls) == 1:
            raise DivergedError("the loss is nan")

    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", diverge_first)
    run, database = searched(schedule=schedule)
    failed = database.trials(run.id)[1]
    assert (failed["status"], failed["accuracy"], failed["construct_seconds"]) == (FAILED, None, None)
    assert [trial.status for trial in run.trials] == [ORIGINAL, FAILED, "chosen"]
    assert run.trials[1].cost.params < run.trials[2].cost.params
    assert {one.layer for one in run.trials[1].layers} == {"conv", "branch", "hidden"}


def top_two(labels: Array, outputs: Array) -> float:
    return float(np.mean([label in row for label, row in zip(labels, outputs.argsort(axis=1)[:, -2:], strict=True)]))


def test_trials_are_judged_by_a_metric_of_one_s_own(searched: Searched, few: Data) -> None:
    run, database = searched(top_two, max_drop=0.5, max_trials=9)
    trials = database.trials(run.id)
    assert run.status == SUCCESS
    assert database.runs()[0]["settings"]["own_metric"] == "top_two"
    assert [trial["metric"] >= trials[0]["metric"] - 0.5 for trial in trials] == [
        True,
        *[False] * (len(trials) - 2),
        True,
    ]
    predicted = run.model.predict(few.x_validation, verbose=0)
    assert trials[-1]["metric"] == top_two(few.y_validation, predicted) > trials[-1]["accuracy"]


def test_the_best_of_a_run_that_falls_short_is_the_one_of_the_highest_metric(searched: Searched) -> None:
    scores = iter([1.0, 0.1, 0.3, 0.2])
    run, _ = searched(lambda labels, outputs: next(scores), max_trials=3)
    assert run.status == FELL_SHORT
    assert run.chosen.number == 2
    assert [trial.metric for trial in run.trials] == [1.0, 0.1, 0.3, 0.2]


def test_a_metric_that_is_not_a_number_is_a_failed_trial(searched: Searched) -> None:
    scores = iter([1.0, float("nan"), 1.0])
    run, _ = searched(lambda labels, outputs: next(scores))
    assert [trial.status for trial in run.trials] == [ORIGINAL, FAILED, "chosen"]
    assert run.status == SUCCESS


def test_a_metric_that_is_not_a_number_for_the_original_is_refused(searched: Searched) -> None:
    with pytest.raises(DivergedError, match="the metric of model 'tiny' is nan; it must be a finite number"):
        searched(lambda labels, outputs: float("nan"))


def test_a_metric_without_a_name_is_recorded_by_its_kind(searched: Searched) -> None:
    _, database = searched(partial(top_two), max_trials=1)
    assert database.runs()[0]["settings"]["own_metric"] == "partial"


def test_by_the_loss_a_run_ends_with_the_first_trial_that_is_near_enough(searched: Searched) -> None:
    by_accuracy, _ = searched(max_trials=3)
    _, *losses = [trial.loss or 0.0 for trial in by_accuracy.trials]
    allowed = min(losses) - (by_accuracy.original.loss or 0.0)
    by_loss, database = searched(metric="loss", max_drop=allowed, max_trials=3)
    assert by_loss.status == SUCCESS
    assert by_loss.chosen.loss == min(losses)
    short, _ = searched(metric="loss", max_drop=allowed / 2, max_trials=3)
    assert (short.status, short.chosen.loss) == (FELL_SHORT, min(losses))
    assert database.runs()[1]["settings"]["metric"] == "loss"


def test_the_clock_stops_a_run_but_not_before_it_has_a_model(searched: Searched) -> None:
    run, _ = searched(max_minutes=1e-9, max_trials=9)
    assert len(run.trials) == 1 + 1
    assert run.status == FELL_SHORT


def test_a_clock_with_time_left_stops_nothing(searched: Searched) -> None:
    assert len(searched(max_minutes=60, max_trials=2)[0].trials) == 1 + 2


def test_no_layer_is_decomposed_twice_for_a_trial(
    searched: Searched, trained: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is that of the factors that the model was made of; what keeps its ranks is not decomposed again."""
    decomposed: list[tuple[int, ...]] = []
    decompose = Decomposition.decompose

    def counted(self: Decomposition, weights: Any, ranks: Any, *more: Any, **named: Any) -> Any:
        decomposed.append(tuple(weights.shape))
        return decompose(self, weights, ranks, *more, **named)

    monkeypatch.setattr(Decomposition, "decompose", counted)
    monkeypatch.setattr(
        "rankline.src.compress.search.search.Reference.similarities",
        lambda *_: {"conv": 0.99, "branch": 0.1, "hidden": 0.1},
    )
    run, _ = searched()
    assert len(decomposed) == 3 + 2
    for trial in run.trials[1:]:
        for one in trial.layers:
            method, kernel = get(one.method or ""), np.array(trained.get_layer(one.layer).kernel)
            assert one.error == method.error(kernel, decompose(method, kernel, one.ranks or ()))
