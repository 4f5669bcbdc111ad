"""The smallest model of one-parameter families within a drop after one-shot fine-tuning, as a recorded run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.runs.recorder import Clock, Recorder
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.fine_tuning import DivergedError
from rankline.src.db.records.runs import (
    FAILED,
    FELL_SHORT,
    INTERRUPTED,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
)
from rankline.src.dse.interruption import take
from rankline.src.dse.metric import metric
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class Made:
    """A smaller model: how it was made, the plan, the record of each of its layers, and why others were skipped."""

    model: keras.Model
    made_by: Mapping[str, Any]
    plan: Plan = field(default_factory=dict)
    layers: tuple[LayerRecord, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


Family = Callable[[float], Made]
"""Makes the model for an amount; the larger the amount, the smaller the model."""


def smallest_under_drop(
    recorder: Recorder, settings: Settings, families: Sequence[Family], amounts: Sequence[float]
) -> Run:
    """Bisects, family by family, for the largest amount that is good enough by the settings.

    amounts: in rising order. About log2 of their number are tried for each family, assuming that the score falls with
    the amount. The result is the smallest good model by the objective, then params and FLOPs; the original if there is
    none. ``max_trials`` and ``max_minutes`` count over all families. Every trial is tuned with the seed of the
    settings and recorded at its end, as ``failed`` if it diverges. Ctrl-C ends the run with the best trial so far.
    Raises DivergedError if the original's outputs aren't finite, KeyboardInterrupt if no trial is good yet.
    """
    return _UnderDrop(recorder, settings).run(families, amounts)


class _UnderDrop:
    """A run in progress."""

    def __init__(self, recorder: Recorder, settings: Settings) -> None:
        self.recorder = recorder
        self.settings = settings
        self.best: tuple[TrialRecord, Made] | None = None

    def run(self, families: Sequence[Family], amounts: Sequence[float]) -> Run:
        original = self.recorder.original(self.settings)
        try:
            for family in families:
                self._bisect(family, amounts)
            status = SUCCESS if self.best else FELL_SHORT
        except KeyboardInterrupt as told_to_end:
            if self.best is None:
                raise
            take(told_to_end)
            status = INTERRUPTED
        if self.best is None:
            return self.recorder.finished(status, self.recorder.job.model, {}, original, {})
        best, made = self.best
        return self.recorder.finished(status, made.model, made.plan, self.recorder.chosen(best.number), made.skipped)

    def _bisect(self, family: Family, amounts: Sequence[float]) -> None:
        low, high = 0, len(amounts)
        while low < high and len(self.recorder.trials) <= self.settings.max_trials:
            if self.recorder.is_late(self.settings.max_minutes):
                return
            middle = (low + high) // 2
            if self._is_good(family, amounts[middle]):
                low = middle + 1
            else:
                high = middle

    def _is_good(self, family: Family, amount: float) -> bool:
        """Makes, fine-tunes, evaluates and records a trial."""
        clock = Clock()
        keras.utils.set_random_seed(self.settings.seed)
        made = family(amount)
        clock.pause()
        cost = cost_of(made.model)
        pruned = None if made.layers else made.model
        try:
            self.recorder.tuned(made.model, self.settings.fine_tuning, self.settings.seed)
            score = self.recorder.judged(made.model)
        except DivergedError:
            self.recorder.record(FAILED, cost, clock, None, made.layers, made.made_by, pruned)
            return False
        trial = self.recorder.record(TRIED, cost, clock, score, made.layers, made.made_by, pruned)
        good = self.settings.is_good(trial, self.recorder.trials[0], self.recorder.job.judged_by)
        if good and (self.best is None or self._size(trial) < self._size(self.best[0])):
            self.best = trial, made
        return good

    def _size(self, trial: TrialRecord) -> tuple[int, int, int]:
        return metric(self.settings.objective).of(trial.cost), trial.cost.params, trial.cost.flops
