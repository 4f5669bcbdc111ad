"""The recorder of every run: tunes, judges, times, records and reports its trials, and marks the chosen one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import Any

import keras

from rankline.src.compress.data.arrays import each
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.runs.checkpoints import clear_finished
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.latency import OnDevice, TimedNetwork
from rankline.src.compress.runs.run import Run, plan_of
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.epochs import EpochProgress
from rankline.src.compress.training.fine_tuning import Score, evaluate, fine_tune, warn_of_guesses
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.records.runs import (
    CHOSEN,
    ORIGINAL,
    LayerRecord,
    TrialRecord,
    choose_trial,
    note_made_by,
    record_trial,
    recorded_end,
    reopen_run,
    start_run,
)
from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.plan import Plan


class Clock:
    """Times a trial: the seconds in all, and those spent on making its model.

    The time between ``start`` and ``pause`` counts as making; the rest is fine-tuning and judging.
    """

    def __init__(self) -> None:
        self.began = self._since = perf_counter()
        self.making: float | None = 0.0

    def pause(self) -> None:
        """Stops counting time as making."""
        self.making = (self.making or 0.0) + perf_counter() - self._since

    def start(self) -> None:
        """Counts time as making again."""
        self._since = perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start of the trial."""
        return perf_counter() - self.began


class Recorder:
    """A run in progress. ``trials``: those recorded, the original first; label: a prefix for progress labels.

    If the job has a device, what each trial is predicted to take on it is recorded with what made it.
    """

    def __init__(self, job: Job, run: int) -> None:
        self.job = job
        self.run = run
        self.trials: list[TrialRecord] = []
        self.label = ""
        self._started = perf_counter()

    def progress(self, label: str, done: int, total: int) -> None:
        """Reports progress on a trial."""
        self.job.progress(f"{self.label}{label}", done, total)

    def original(self, settings: Settings | None = None) -> TrialRecord:
        """Judges and records the original model. settings: those that limit the drop, if any do; where accuracy
        decides, warns if even a constant guess would stay within the limit."""
        clock, model, data = Clock(), self.job.model, self.job.data
        score = self.judged(model)
        limited = settings if settings is not None and settings.metric == "accuracy" else None
        if limited is not None and self.job.judged_by is None and score is not None and data is not None:
            warn_of_guesses(model, score, each(data.y_validation)[0], limited.max_drop)
        return self.record(ORIGINAL, cost_of(model), clock, score)

    def tuned(self, model: keras.Model, how: FineTuning, seed: int) -> None:
        """Fine-tunes a model in place. Raises DivergedError."""
        callbacks = [*self.job.callbacks, EpochProgress(self.progress)]
        fine_tune(model, self.job.train, self.job.validation, how, seed, callbacks, self.job.task)

    def judged(self, model: keras.Model) -> Score | None:
        """A model's score on the validation part; None without labels. Raises DivergedError."""
        self.progress("judging", 0, 0)
        if self.job.data is None:
            return None
        return evaluate(model, *self.job.validation, metric=self.job.metric, task=self.job.task)

    def record(
        self,
        status: str,
        cost: Cost,
        clock: Clock,
        score: Score | None = None,
        layers: Sequence[LayerRecord] = (),
        made_by: Mapping[str, Any] | None = None,
        pruned: keras.Model | None = None,
    ) -> TrialRecord:
        """Records and reports a trial. score: None if it diverged or there are no labels; pruned: a model whose latency
        is that of its own layers, because the records of its layers are none of a plan."""
        accuracy, loss, metric = (None, None, None) if score is None else (score.accuracy, score.loss, score.metric)
        made_by = dict(made_by or {})
        if (device := self._device) is not None:
            latency = device.of_plan(plan_of(layers), cost.params) if pruned is None else device.of_model(pruned)
            made_by[LATENCY.name] = latency.as_dict()
            cost = replace(cost, latency=latency.plan)
        trial = TrialRecord(
            len(self.trials), status, accuracy, loss, cost, clock.seconds, tuple(layers), clock.making, metric,
            made_by,
        )  # fmt: skip
        return self.taken(trial)

    def taken(self, trial: TrialRecord) -> TrialRecord:
        """Records and reports a trial that was made elsewhere."""
        trial = replace(trial, number=len(self.trials))
        record_trial(self.job.database.engine, self.run, trial)
        self.trials.append(trial)
        self.job.on_trial(trial)
        return trial

    def noted(self, trial: TrialRecord, more: Mapping[str, Any]) -> TrialRecord:
        """A recorded trial with more of what is known of its model, on record too."""
        found = replace(trial, made_by={**trial.made_by, **more})
        note_made_by(self.job.database.engine, self.run, found)
        self.trials[trial.number] = found
        return found

    @cached_property
    def _device(self) -> OnDevice | None:
        """What predicts latencies; None without a device."""
        job = self.job
        return None if job.device is None else OnDevice(TimedNetwork.of(job.model), job.device)

    def is_late(self, minutes: float | None) -> bool:
        """Whether the run has exceeded its time limit; its first trial is always made."""
        return minutes is not None and len(self.trials) > 1 and perf_counter() - self._started > 60 * minutes

    def chosen(self, number: int) -> TrialRecord:
        """Marks the trial as the run's result."""
        choose_trial(self.job.database.engine, self.run, number)
        self.trials[number] = replace(self.trials[number], status=CHOSEN)
        return self.trials[number]

    def finished(
        self, status: str, model: keras.Model, plan: Plan, chosen: TrialRecord, skipped: Mapping[str, str]
    ) -> Run:
        """The finished run."""
        return Run(self.run, status, model, plan, self.trials[0], chosen, tuple(self.trials), skipped)


@contextmanager
def recording(job: Job, settings: Mapping[str, Any], seed: int) -> Iterator[Recorder]:
    """Starts a recorded run. If the block ends early, that is recorded: Ctrl-C as ``interrupted``, any other exception
    as ``failed``."""
    engine = job.database.engine
    clear_finished(job.database)
    run = start_run(engine, job.database.network_id(job.network), settings, seed)
    with recorded_end(engine, run):
        yield Recorder(job, run)


@contextmanager
def resumed(job: Job, run: int) -> Iterator[Recorder]:
    """Resumes a recorded run, whose trials are still to be replayed; ends as ``recording`` does."""
    engine = job.database.engine
    with recorded_end(engine, run):
        reopen_run(engine, run)
        yield Recorder(job, run)
