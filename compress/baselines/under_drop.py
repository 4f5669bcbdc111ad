"""The smallest model of one-parameter families that stays within a drop, after one-shot fine-tuning; on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import keras

from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.search import Run, cost_of
from rankline.src.compress.training.fine_tuning import DivergedError, Score, evaluate, fine_tune, warn_of_guesses
from rankline.src.db.records.runs import (
    CHOSEN,
    FAILED,
    FELL_SHORT,
    INTERRUPTED,
    ORIGINAL,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
    choose_trial,
    record_trial,
)
from rankline.src.dse.metric import metric
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class Made:
    """A smaller model: how it was made, the plan and what became of each of its layers, and why others stayed."""

    model: keras.Model
    made_by: Mapping[str, Any]
    plan: Plan = field(default_factory=dict)
    layers: tuple[LayerRecord, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


Family = Callable[[float], Made]
"""Makes the model of an amount; the more, the smaller the model."""


def smallest_under_drop(
    job: Job, settings: Settings, run_id: int, families: Sequence[Family], amounts: Sequence[float]
) -> Run:
    """Bisects, family by family, for the largest amount that is good enough by the settings.

    amounts: rising. About log2 of their number is tried of each family, as if what is judged by fell with each. The
    run gets the smallest good model by the objective, then params and FLOPs; the original where there is none.
    ``max_trials`` and ``max_minutes`` count over all families. Every trial is tuned with the seed of the settings,
    and recorded when it has ended, as ``failed`` where it diverges. Ctrl-C ends the run with the best so far.
    Raises DivergedError where the original's outputs aren't finite, KeyboardInterrupt where no trial is good yet.
    """
    return _UnderDrop(job, settings, run_id).run(families, amounts)


class _UnderDrop:
    """One run under way."""

    def __init__(self, job: Job, settings: Settings, run_id: int) -> None:
        self.job = job
        self.settings = settings
        self.run_id = run_id
        self.started = perf_counter()
        self.trials: list[TrialRecord] = []
        self.best: tuple[TrialRecord, Made] | None = None

    def run(self, families: Sequence[Family], amounts: Sequence[float]) -> Run:
        started = perf_counter()
        score = self._evaluate(self.job.model)
        if self.settings.metric == "accuracy" and self.job.metric is None:
            warn_of_guesses(self.job.model, score, self.job.data.y_validation, self.settings.max_drop)
        self._record(ORIGINAL, score, Made(self.job.model, {}), started, 0.0)
        try:
            for family in families:
                self._bisect(family, amounts)
            status = SUCCESS if self.best else FELL_SHORT
        except KeyboardInterrupt:
            if self.best is None:
                raise
            status = INTERRUPTED
        if self.best is None:
            original = self.trials[0]
            return Run(self.run_id, status, self.job.model, {}, original, original, tuple(self.trials), {})
        best, made = self.best
        choose_trial(self.job.database.engine, self.run_id, best.number)
        chosen = self.trials[best.number] = replace(best, status=CHOSEN)
        return Run(self.run_id, status, made.model, made.plan, self.trials[0], chosen, tuple(self.trials), made.skipped)

    def _bisect(self, family: Family, amounts: Sequence[float]) -> None:
        low, high = 0, len(amounts)
        while low < high and len(self.trials) <= self.settings.max_trials and not self._is_late():
            middle = (low + high) // 2
            if self._is_good(family, amounts[middle]):
                low = middle + 1
            else:
                high = middle

    def _is_good(self, family: Family, amount: float) -> bool:
        """Makes, fine-tunes, evaluates and records a trial."""
        started = perf_counter()
        keras.utils.set_random_seed(self.settings.seed)
        made = family(amount)
        constructed = perf_counter() - started
        try:
            self._fine_tune(made.model)
            score = self._evaluate(made.model)
        except DivergedError:
            self._record(FAILED, None, made, started, constructed)
            return False
        trial = self._record(TRIED, score, made, started, constructed)
        good = self.settings.is_good(trial, self.trials[0], self.job.metric is not None)
        if good and (self.best is None or self._size(trial) < self._size(self.best[0])):
            self.best = trial, made
        return good

    def _fine_tune(self, model: keras.Model) -> None:
        job, settings = self.job, self.settings
        fine_tune(model, job.train, job.validation, settings.fine_tuning, settings.seed, job.tuning_callbacks())

    def _evaluate(self, model: keras.Model) -> Score:
        self.job.progress("judging", 0, 0)
        return evaluate(model, *self.job.validation, metric=self.job.metric)

    def _record(self, status: str, score: Score | None, made: Made, started: float, constructed: float) -> TrialRecord:
        accuracy, loss, metric = (score.accuracy, score.loss, score.metric) if score else (None, None, None)
        trial = TrialRecord(
            len(self.trials), status, accuracy, loss, cost_of(made.model), perf_counter() - started, made.layers,
            constructed, metric, made.made_by,
        )  # fmt: skip
        record_trial(self.job.database.engine, self.run_id, trial)
        self.trials.append(trial)
        self.job.on_trial(trial)
        return trial

    def _size(self, trial: TrialRecord) -> tuple[int, int, int]:
        return metric(self.settings.objective).of(trial.cost), trial.cost.params, trial.cost.flops

    def _is_late(self) -> bool:
        minutes = self.settings.max_minutes
        return minutes is not None and len(self.trials) > 1 and perf_counter() - self.started > 60 * minutes
