"""The search: all targets start at rank one; after one-shot fine-tuning, layers with dissimilar feature maps get higher
ranks.

Every trial is recorded in the database, with each layer's choice, similarity and error, and its model is saved next to
the database, so that a run that was stopped for any reason can be resumed as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import keras

from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.similarity import Reference
from rankline.src.compress.model.surgery import factorize_and_measure
from rankline.src.compress.runs.checkpoints import Checkpoints, checkpoints_of
from rankline.src.compress.runs.facts import facts_of, key_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.recorder import Clock, Recorder, recording, resumed
from rankline.src.compress.runs.run import Run, plan_of
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.data_fit import DataFit, samples_of
from rankline.src.compress.search.targets import Target, targets_of
from rankline.src.compress.training.fine_tuning import DivergedError
from rankline.src.db.records.runs import (
    CHOSEN,
    FAILED,
    FELL_SHORT,
    INTERRUPTED,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
    run_settings,
    trials,
)
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.interruption import take
from rankline.src.dse.plan import Plan


def search(job: Job, settings: Settings, resume: int | None = None) -> Run:
    """Compresses the job's model with the configurations of its network in the database; see the module.

    resume: the run to resume instead of starting one; its model, data and settings must be the same, except
    ``max_trials`` and ``max_minutes``.
    Ends with the first trial within ``max_drop`` of the original on validation data (status ``success``), or with
    the best one when configurations, trials or minutes run out (``fell short``) or Ctrl-C is pressed
    (``interrupted``). A trial that diverges is recorded as ``failed``, and the next configurations are tried.
    Frozen layers are factorized, but neither they nor their factors are fine-tuned.
    Raises UserError for weights that are not finite, if no layer can be made smaller, if every trial diverges, and
    for a run that can't be resumed or that another process is working on; KeyboardInterrupt if there is no trial to
    return yet.
    """
    _check_weights(job.model)
    job = replace(job, model=split(job.model))
    targets, skipped = targets_of(job.model, job.database, job.network, settings, job.numbers)
    with _on_record(job, settings, skipped, resume) as recorder:
        checkpoints = checkpoints_of(job.database.location, recorder.run)
        return _Search(recorder, settings, targets, checkpoints).run(skipped)


@contextmanager
def _on_record(job: Job, settings: Settings, skipped: Mapping[str, str], resume: int | None) -> Iterator[Recorder]:
    """The run, new or resumed, locked by this process."""
    database, key = job.database, key_of(job, settings)
    if resume is None:
        with recording(job, {**facts_of(job, settings), "skipped": skipped, "key": key}, settings.seed) as recorder:
            checkpoints = checkpoints_of(database.location, recorder.run)
            with checkpoints.locked() if checkpoints else nullcontext():
                yield recorder
        return
    if run_settings(database.engine, resume)[1].get("key") != key:
        raise UserError(f"run {resume} was made with another model, data or settings; it can't be resumed with these")
    checkpoints = checkpoints_of(database.location, resume)
    if checkpoints is None:
        raise UserError("runs are resumed from models next to an SQLite file, and this database is not one")
    # The lock comes first: a run that another process is working on has not failed.
    with checkpoints.locked(), resumed(job, resume) as recorder:
        yield recorder


class _Search:
    """A search in progress."""

    def __init__(
        self, recorder: Recorder, settings: Settings, targets: Mapping[str, Target], checkpoints: Checkpoints | None
    ) -> None:
        job = recorder.job
        self.recorder = recorder
        self.job = job
        self.model = job.model
        self.settings = settings
        self.targets = targets
        self.checkpoints = checkpoints
        samples = samples_of(job.labelled, settings)
        self.reference = Reference(job.model, targets, samples)
        self.data_fit = DataFit(job.model, samples, settings.seed, job.progress)
        self.errors: dict[tuple[str, Configuration], float | None] = {}
        self.models: dict[int, keras.Model] = {}  # of the last trial and the best one
        self.last: int | None = None
        self.best: int | None = None

    @property
    def trials(self) -> list[TrialRecord]:
        """The recorded trials, the original first."""
        return self.recorder.trials

    def run(self, skipped: Mapping[str, str]) -> Run:
        """Makes trials until one is good enough, nothing is left to try, or Ctrl-C is pressed."""
        recorded = trials(self.job.database.engine, self.recorder.run)
        try:
            status = self._climb(self._replay(recorded) if recorded else self._original())
        except KeyboardInterrupt as told_to_end:
            if self.best is None:
                raise
            take(told_to_end)
            status = INTERRUPTED
        if self.best is None:
            raise DivergedError(
                f"all {len(self.trials) - 1} trials diverged: their loss is NaN or infinite; lower the learning rate"
            )
        chosen = self.recorder.chosen(self.best)
        return self.recorder.finished(status, self._model(self.best), plan_of(chosen), chosen, skipped)

    def _original(self) -> bool:
        """Records the original. Returns False: the run has not ended."""
        self.recorder.original(self.settings)
        return False

    def _replay(self, recorded: Sequence[TrialRecord]) -> bool:
        """Replays the recorded trials. Returns whether the last of them was good enough."""
        self.trials.append(recorded[0])
        for record in recorded[1:]:
            if plan_of(record) != self._plan():
                raise UserError(
                    f"run {self.recorder.run} can't be resumed: the database now has other configurations of its layers"
                )
            errors = {one.layer: one.error for one in record.layers}
            self.errors |= {(path, choice): errors[path] for path, choice in plan_of(record).items()}
            self.trials.append(replace(record, status=TRIED) if record.status == CHOSEN else record)
            if self._follow(self.trials[-1]):
                return True
        return False

    def _climb(self, done: bool) -> str:
        """Makes trials until one is good enough or a limit is reached; returns the status."""
        while not done:
            if (
                not self._plan()
                or len(self.trials) > self.settings.max_trials
                or self.recorder.is_late(self.settings.max_minutes)
            ):
                return FELL_SHORT
            done = self._follow(self._try())
            if self.checkpoints:
                self.checkpoints.keep_only({number for number in (self.last, self.best) if number is not None})
        return SUCCESS

    def _try(self) -> TrialRecord:
        """Makes, fine-tunes, evaluates and records the next trial, with its similarities."""
        number, plan, clock = len(self.trials), self._plan(), Clock()
        keep = None if self.last is None else (self._model(self.last), plan_of(self.trials[self.last]))
        # Only now, because loading a model from its file draws random numbers too.
        keras.utils.set_random_seed(self.settings.seed + number)
        compressed = None
        try:
            compressed = self._constructed(plan, keep, number)
            clock.pause()
            self._fine_tune(compressed, number)
            score = self.recorder.judged(compressed)
        except DivergedError:
            compressed = compressed or self._factorized(plan)  # None if a layer's own tuning diverged
            clock.making = None
            return self.recorder.record(FAILED, cost_of(compressed), clock, None, self._layers(plan, {}))
        clock.start()
        alike = self.reference.similarities(compressed, plan)
        clock.pause()
        self.models[number] = compressed
        if self.checkpoints:
            self.checkpoints.save(number, compressed)
        return self.recorder.record(TRIED, cost_of(compressed), clock, score, self._layers(plan, alike))

    def _follow(self, record: TrialRecord) -> bool:
        """Advances the layers according to a trial's result. Returns whether the trial is good enough."""
        if record.status == FAILED:
            plan = plan_of(record)
            before = {} if self.last is None else plan_of(self.trials[self.last])
            changed = [path for path in plan if self.last is not None and plan[path] != before.get(path)]
            self._advance(changed or plan)
            return False
        by, merit = self.job.judged_by, self.settings.merit
        good = self.settings.is_good(record, self.trials[0], by)
        self.last = record.number
        if self.best is None or good or merit(record, by) > merit(self.trials[self.best], by):
            self.best = record.number
        self.models = {number: model for number, model in self.models.items() if number in (self.last, self.best)}
        if not good:
            alike = {one.layer: one.similarity or 0.0 for one in record.layers if one.configuration}
            self._advance(self._unlike(alike))
        return good

    def _constructed(self, plan: Plan, keep: tuple[keras.Model, Plan] | None, number: int) -> keras.Model:
        """The model of the plan, with unchanged layers from the last trial; if iterative, fine-tuned in between."""
        if self.settings.schedule == "iterative":
            before = keep[1] if keep else {}
            changed = [path for path in self.targets if plan.get(path) != before.get(path)]
            partial = dict(before)
            for path in changed[:-1]:
                partial = {**partial, path: plan[path]} if path in plan else _without(partial, path)
                keep = self._factorized(partial, keep), partial
                self._fine_tune(keep[0], number)
        return self._factorized(plan, keep)

    def _factorized(self, plan: Plan, keep: tuple[keras.Model, Plan] | None = None) -> keras.Model:
        """The model of the plan, not tuned; stores the errors of the layers that were decomposed.

        Weights fitted and tuned at other ranks can help or harm: with a fit to data, the model is also made anew from
        the original, and the one with the lower validation loss is used.
        """
        made, errors = factorize_and_measure(self.model, plan, keep, self.job.progress)
        self.errors |= {(path, plan[path]): error for path, error in errors.items()}
        if self.settings.fit == "weights":
            return made
        if keep is None:
            self.data_fit(made, plan)
            return made
        self.data_fit(made, plan, [path for path in self.targets if plan.get(path) != keep[1].get(path)])
        return min(made, self._factorized(plan), key=self._loss)

    def _model(self, number: int) -> keras.Model:
        if number not in self.models:
            assert self.checkpoints is not None
            self.models[number] = self.checkpoints.load(number)
        return self.models[number]

    def _plan(self) -> Plan:
        return {path: choice for path, target in self.targets.items() if (choice := target.configuration)}

    def _unlike(self, alike: Mapping[str, float]) -> Collection[str]:
        """The layers below their similarity threshold; if there are none, the least similar quarter."""
        unlike = [path for path, value in alike.items() if value < self.targets[path].threshold]
        return unlike or sorted(alike, key=lambda path: alike[path])[: math.ceil(len(alike) / 4)]

    def _advance(self, paths: Collection[str]) -> None:
        """Takes the next configuration for these layers; layers without one become the original again."""
        for path in paths:
            self.targets[path].advance()

    def _fine_tune(self, model: keras.Model, number: int) -> None:
        self.recorder.tuned(model, self.settings.fine_tuning, self.settings.seed + number)

    def _loss(self, model: keras.Model) -> float:
        score = self.recorder.judged(model)
        return math.inf if score is None or score.loss is None else score.loss

    def _layers(self, plan: Plan, alike: Mapping[str, float]) -> tuple[LayerRecord, ...]:
        """Every target's choice; layers that are the original again have no method."""
        records = []
        for path, target in self.targets.items():
            if target.solution is None:
                records.append(LayerRecord(path, None, target.original, 1.0, 0.0))
                continue
            one = target.solution
            error = self.errors[path, plan[path]]
            records.append(LayerRecord(path, one.configuration, one.cost, alike.get(path), error))
        return tuple(records)


def _without(plan: Plan, path: str) -> Plan:
    return {other: choice for other, choice in plan.items() if other != path}


def _check_weights(model: keras.Model) -> None:
    for weight in model.weights:
        if "float" in weight.dtype and not bool(keras.ops.all(keras.ops.isfinite(weight))):
            raise UserError(f"weight '{weight.path}' of '{model.name}' holds NaN or infinity; train or load it again")
