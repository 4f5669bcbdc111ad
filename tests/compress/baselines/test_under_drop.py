"""The bisection on real digits: what it tries, keeps and records, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.baselines.pruning import prune
from rankline.src.compress.baselines.under_drop import Made, smallest_under_drop
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.recorder import recording
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.fine_tuning import DivergedError, evaluate
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import (
    CHOSEN,
    FAILED,
    FELL_SHORT,
    INTERRUPTED,
    ORIGINAL,
    SUCCESS,
    TRIED,
    TrialRecord,
)

AMOUNTS = (0.1, 0.3, 0.5, 0.7, 0.9)
QUICK = Settings(max_drop=0.05, fine_tuning=FineTuning(epochs=3, learning_rate=3e-3))
UNTRAINED = replace(QUICK, fine_tuning=FineTuning(epochs=0))

Smallest = Callable[..., tuple[Run, Database]]


@pytest.fixture
def smallest(trained: keras.Model, digits: Data) -> Iterator[Smallest]:
    """Runs the bisection over families of pruned models, in a database in memory."""
    database = open_database("sqlite://")
    database.explore(trained, name="tiny", methods=["svd"])

    def run(
        *families: Any, settings: Settings = QUICK, amounts: tuple[float, ...] = AMOUNTS, **told: Any
    ) -> tuple[Run, Database]:
        with recording(Job(trained, digits, database, "tiny", **told), {}, settings.seed) as recorder:
            return smallest_under_drop(recorder, settings, families or (by_l1(trained),), amounts), database

    yield run
    database.close()


def by_l1(model: keras.Model) -> Callable[[float], Made]:
    return lambda removed: Made(prune(model, 1 - removed, dense=True).model, {"removed": removed})


def test_the_best_is_the_smallest_that_keeps_the_accuracy(smallest: Smallest, digits: Data) -> None:
    run, _ = smallest()
    _, *tried = run.trials
    assert 2 <= len(tried) <= 3
    assert tried[0].made_by == {"removed": 0.5}
    ordered = sorted(tried, key=lambda one: one.made_by["removed"])
    assert all(one.cost.params > other.cost.params for one, other in pairwise(ordered))
    good = [one for one in tried if one.accuracy >= run.original.accuracy - QUICK.max_drop]  # type: ignore[operator]
    assert run.status == SUCCESS
    assert run.chosen == min(good, key=lambda one: one.cost.params)
    assert cost_of(run.model) == run.chosen.cost
    score = evaluate(run.model, digits.x_validation, digits.y_validation)
    assert (score.accuracy, score.loss) == (run.chosen.accuracy, run.chosen.loss)


def test_every_trial_is_on_record_and_told_when_it_has_ended(smallest: Smallest, trained: keras.Model) -> None:
    on_record: list[int] = []
    database = None

    def told(trial: TrialRecord) -> None:
        assert database is not None
        on_record.append(len(database.trials(database.runs()[-1]["id"])))

    database = smallest(settings=replace(UNTRAINED, max_trials=1))[1]
    run, _ = smallest(settings=UNTRAINED, on_trial=told)
    assert on_record == list(range(1, len(run.trials) + 1))
    rows = database.trials(run.id)
    assert [row["made_by"] for row in rows] == [trial.made_by for trial in run.trials]
    assert [row["status"] for row in rows] == [trial.status for trial in run.trials]


def test_the_same_seed_gives_the_same_trials(smallest: Smallest) -> None:
    one, other = (smallest(amounts=(0.5, 0.9))[0] for _ in range(2))
    assert [(t.made_by, t.cost, t.accuracy, t.loss) for t in one.trials] == [
        (t.made_by, t.cost, t.accuracy, t.loss) for t in other.trials
    ]


def test_where_nothing_is_good_enough_the_original_is_handed_over(smallest: Smallest, trained: keras.Model) -> None:
    def ruined(removed: float) -> Made:
        made = by_l1(trained)(removed)
        made.model.set_weights([np.zeros_like(weight) for weight in made.model.get_weights()])
        return made

    run, _ = smallest(ruined, settings=UNTRAINED, amounts=(0.1, 0.2))
    assert [trial.made_by.get("removed") for trial in run.trials] == [None, 0.2, 0.1]
    assert (run.status, run.chosen, run.model) == (FELL_SHORT, run.original, trained)


def test_the_smallest_is_judged_by_the_objective(smallest: Smallest, trained: keras.Model) -> None:
    """Two good models: one of fewer params, one of fewer FLOPs."""

    def dense(removed: float) -> Made:
        return Made(prune(trained, {"hidden": 4}, dense=True).model, {"removed": "dense"})

    def filters(removed: float) -> Made:
        return Made(prune(trained, {"stem": 1}).model, {"removed": "filters"})

    for objective, kept in (("params", "dense"), ("flops", "filters")):
        settings = replace(UNTRAINED, objective=objective, max_drop=1.0)
        run, _ = smallest(dense, filters, settings=settings, amounts=(0.5,))
        assert run.chosen.made_by == {"removed": kept}


def test_the_trials_of_all_families_together_are_limited(smallest: Smallest, trained: keras.Model) -> None:
    family = by_l1(trained)
    run, _ = smallest(family, family, settings=replace(UNTRAINED, max_trials=3, max_drop=1.0))
    assert [trial.status for trial in run.trials].count(TRIED) == 2
    assert len(run.trials) == 1 + 3


def test_the_clock_stops_a_run_but_not_before_it_has_a_trial(smallest: Smallest) -> None:
    run, _ = smallest(settings=replace(UNTRAINED, max_minutes=1e-9))
    assert len(run.trials) == 1 + 1


def test_ctrl_c_hands_over_the_best_so_far(smallest: Smallest) -> None:
    def interrupt(trial: TrialRecord) -> None:
        if trial.number == 2:
            raise KeyboardInterrupt

    run, database = smallest(settings=replace(UNTRAINED, max_drop=1.0), on_trial=interrupt)
    assert run.status == INTERRUPTED
    assert (run.chosen.number, run.chosen.status) == (1, CHOSEN)
    assert [row["status"] for row in database.trials(run.id)] == [ORIGINAL, CHOSEN, TRIED]


def test_ctrl_c_before_anything_is_good_enough_ends_the_run(smallest: Smallest) -> None:
    def interrupt(trial: TrialRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smallest(on_trial=interrupt)


def test_a_trial_that_diverges_is_recorded_and_less_is_tried(
    smallest: Smallest, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[keras.Model] = []

    def diverge_first(model: keras.Model, *_: Any) -> None:
        calls.append(model)
        if len(calls) == 1:
            raise DivergedError("the loss is nan")

    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", diverge_first)
    run, _ = smallest(settings=replace(QUICK, max_drop=1.0))
    failed, after, *_ = run.trials[1:]
    assert (failed.status, failed.accuracy, failed.made_by) == (FAILED, None, {"removed": 0.5})
    assert after.made_by["removed"] < 0.5
    assert run.status == SUCCESS


def test_callbacks_see_every_epoch_of_every_trial(smallest: Smallest) -> None:
    epochs: list[int] = []
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    run, _ = smallest(callbacks=[count], amounts=(0.5,))
    assert epochs == [0, 1, 2] * (len(run.trials) - 1)


def test_trials_are_judged_by_a_metric_of_one_s_own(smallest: Smallest) -> None:
    scores = iter([0.9, 0.5, 0.88, 0.1])
    run, _ = smallest(settings=UNTRAINED, metric=lambda labels, outputs: next(scores))
    assert [trial.metric for trial in run.trials][:3] == [0.9, 0.5, 0.88]
    assert run.chosen.metric == 0.88
