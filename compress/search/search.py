"""The search: all targets at rank one, one-shot fine-tuning, and higher ranks where feature maps are unlike.

Every trial is recorded in the database, with each layer's choice, similarity and error, and its model is kept next to
it, so that a run that was stopped, however, goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from time import perf_counter

import keras

from rankline.src.compress.model.similarity import Reference
from rankline.src.compress.model.surgery import factorize_and_measure
from rankline.src.compress.runs.checkpoints import Checkpoints, checkpoints_of
from rankline.src.compress.runs.facts import facts_of, key_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.data_fit import DataFit, samples_of
from rankline.src.compress.search.targets import Target, targets_of
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
    recorded_end,
    reopen_run,
    run_settings,
    start_run,
    trial_records,
)
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.network_cost import network_cost
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class Run:
    """A finished run: the chosen model with its plan, and all trials as recorded, the original first.

    skipped: why layers were left as they are; parts: the runs that this one was put together from.
    """

    id: int
    status: str
    model: keras.Model
    plan: Plan
    original: TrialRecord
    chosen: TrialRecord
    trials: tuple[TrialRecord, ...]
    skipped: Mapping[str, str]
    parts: tuple[int, ...] = ()


def search(job: Job, settings: Settings, resume: int | None = None) -> Run:
    """Compresses the job's model with the configurations that the database has of its network; see the module.

    resume: a run that goes on, of the same model, data and settings (but for ``max_trials`` and ``max_minutes``),
    instead of a new one.
    Ends with the first trial within ``max_drop`` of the original on validation data (status ``success``), or with
    the best one when configurations, trials or minutes run out (``fell short``) or Ctrl-C is pressed
    (``interrupted``). A trial that diverges is recorded as ``failed``, and the next configurations are tried.
    Layers that are frozen in the model are factorized, and neither they nor their factors are fine-tuned.
    Raises UserError for weights that are not finite, where no layer can be made smaller, where every trial
    diverges, and for a run that can't go on or that another process is at; KeyboardInterrupt where there is no
    trial to return yet.
    """
    _check_weights(job.model)
    database, key = job.database, key_of(job, settings)
    targets, skipped = targets_of(job.model, database, job.network, settings)
    if resume is None:
        values = {**facts_of(job, settings), "skipped": skipped, "key": key}
        run_id = start_run(database.engine, database.network_id(job.network), values, settings.seed)
    else:
        run_id = resume
        if run_settings(database.engine, run_id)[1].get("key") != key:
            raise UserError(f"run {run_id} was made with another model, data or settings; it can't go on with these")
    checkpoints = checkpoints_of(database.location, run_id)
    if resume is not None and checkpoints is None:
        raise UserError("runs go on from the models next to an SQLite file; this database is none")
    held = checkpoints.locked() if checkpoints else nullcontext()
    ending = recorded_end(database.engine, run_id)
    # A new run whose folder can't be made has failed; one that another process is at has not.
    with ending if resume is None else held, held if resume is None else ending:
        if resume is not None:
            reopen_run(database.engine, run_id)
        return _Search(job, settings, targets, run_id, checkpoints).run(skipped)


class _Search:
    """One run under way."""

    def __init__(
        self,
        job: Job,
        settings: Settings,
        targets: Mapping[str, Target],
        run_id: int,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.job = job
        self.model = job.model
        self.engine = job.database.engine
        self.settings = settings
        self.targets = targets
        self.run_id = run_id
        self.checkpoints = checkpoints
        samples = samples_of(job.data, settings)
        self.reference = Reference(job.model, targets, samples)
        self.data_fit = DataFit(job.model, samples, settings.seed, job.progress)
        self.started = perf_counter()
        self.errors: dict[tuple[str, Configuration], float | None] = {}
        self.trials: list[TrialRecord] = []
        self.models: dict[int, keras.Model] = {}  # of the last trial and the best one
        self.last: int | None = None
        self.best: int | None = None

    def run(self, skipped: Mapping[str, str]) -> Run:
        """Trial by trial until one is good enough, nothing is left to try, or Ctrl-C."""
        recorded = trial_records(self.engine, self.run_id)
        try:
            status = self._climb(self._retraced(recorded) if recorded else self._original())
        except KeyboardInterrupt:
            if self.best is None:
                raise
            status = INTERRUPTED
        if self.best is None:
            raise DivergedError(
                f"all {len(self.trials) - 1} trials diverged: their loss is NaN or infinite; lower the learning rate"
            )
        chosen = self.trials[self.best] = replace(self.trials[self.best], status=CHOSEN)
        choose_trial(self.engine, self.run_id, self.best)
        model = self._model(self.best)
        return Run(self.run_id, status, model, plan_of(chosen), self.trials[0], chosen, tuple(self.trials), skipped)

    def _original(self) -> bool:
        """Records the original. Returns whether the run is at its end: never."""
        started = perf_counter()
        score = self._evaluate(self.model)
        if self.settings.metric == "accuracy" and self.job.metric is None:
            warn_of_guesses(self.model, score, self.job.data.y_validation, self.settings.max_drop)
        self._record(ORIGINAL, score, self.model, started, 0.0, ())
        return False

    def _retraced(self, recorded: Sequence[TrialRecord]) -> bool:
        """Takes up the recorded trials. Returns whether the last of them was good enough."""
        self.trials.append(recorded[0])
        for record in recorded[1:]:
            if plan_of(record) != self._plan():
                raise UserError(
                    f"run {self.run_id} can't go on: the database now has other configurations of its layers"
                )
            errors = {one.layer: one.error for one in record.layers}
            self.errors |= {(path, choice): errors[path] for path, choice in plan_of(record).items()}
            self.trials.append(replace(record, status=TRIED) if record.status == CHOSEN else record)
            if self._taken_up(self.trials[-1]):
                return True
        return False

    def _climb(self, done: bool) -> str:
        """Tries until a trial is good enough; returns how that ended."""
        while not done:
            if not self._plan() or len(self.trials) > self.settings.max_trials or self._is_late():
                return FELL_SHORT
            done = self._taken_up(self._try())
            if self.checkpoints:
                self.checkpoints.keep_only({number for number in (self.last, self.best) if number is not None})
        return SUCCESS

    def _try(self) -> TrialRecord:
        """Makes, fine-tunes, evaluates, compares and records the next trial."""
        number, plan, started = len(self.trials), self._plan(), perf_counter()
        keep = None if self.last is None else (self._model(self.last), plan_of(self.trials[self.last]))
        # Only now, because a model that is loaded from its file draws numbers too.
        keras.utils.set_random_seed(self.settings.seed + number)
        compressed = None
        try:
            compressed = self._constructed(plan, keep, number)
            constructed = perf_counter() - started
            self._fine_tune(compressed, number)
            score = self._evaluate(compressed)
        except DivergedError:
            compressed = compressed or self._factorized(plan)  # not there yet where a layer's own tuning diverged
            return self._record(FAILED, None, compressed, started, None, self._layers(plan, {}))
        comparing = perf_counter()
        alike = self.reference.similarities(compressed, plan)
        constructed += perf_counter() - comparing
        self.models[number] = compressed
        if self.checkpoints:
            self.checkpoints.save(number, compressed)
        return self._record(TRIED, score, compressed, started, constructed, self._layers(plan, alike))

    def _taken_up(self, record: TrialRecord) -> bool:
        """Moves the layers on by what a trial has shown. Returns whether it is good enough."""
        if record.status == FAILED:
            plan = plan_of(record)
            before = {} if self.last is None else plan_of(self.trials[self.last])
            changed = [path for path in plan if self.last is not None and plan[path] != before.get(path)]
            self._advance(changed or plan)
            return False
        own, merit = self.job.metric is not None, self.settings.merit
        good = self.settings.is_good(record, self.trials[0], own)
        self.last = record.number
        if self.best is None or good or merit(record, own) > merit(self.trials[self.best], own):
            self.best = record.number
        self.models = {number: model for number, model in self.models.items() if number in (self.last, self.best)}
        if not good:
            alike = {one.layer: one.similarity or 0.0 for one in record.layers if one.configuration}
            self._advance(self._unlike(alike))
        return good

    def _constructed(self, plan: Plan, keep: tuple[keras.Model, Plan] | None, number: int) -> keras.Model:
        """The model of the plan, what hasn't changed taken from the last trial; fine-tuned in between if iterative."""
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
        """The model of the plan, not tuned; notes the errors of what was decomposed for it.

        What was fitted and tuned at other ranks can help or spoil: with a fit to data the model is also made anew from
        the original, and the one with the lower validation loss is taken.
        """
        made, errors = factorize_and_measure(self.model, plan, keep, self.job.progress)
        self.errors |= {(path, plan[path]): error for path, error in errors.items()}
        if self.settings.fit == "weights":
            return made
        if keep is None:
            self.data_fit(made, plan)
            return made
        self.data_fit(made, plan, [path for path in self.targets if plan.get(path) != keep[1].get(path)])
        return min(made, self._factorized(plan), key=lambda model: self._evaluate(model).loss)

    def _model(self, number: int) -> keras.Model:
        if number not in self.models:
            assert self.checkpoints is not None
            self.models[number] = self.checkpoints.load(number)
        return self.models[number]

    def _plan(self) -> Plan:
        return {path: choice for path, target in self.targets.items() if (choice := target.configuration)}

    def _unlike(self, alike: Mapping[str, float]) -> Collection[str]:
        """The layers below their threshold; the least alike quarter if none is."""
        unlike = [path for path, value in alike.items() if value < self.targets[path].threshold]
        return unlike or sorted(alike, key=lambda path: alike[path])[: math.ceil(len(alike) / 4)]

    def _advance(self, paths: Collection[str]) -> None:
        """The next configuration for these layers; those without one go back to what they were."""
        for path in paths:
            self.targets[path].advance()

    def _fine_tune(self, model: keras.Model, number: int) -> None:
        job, seed = self.job, self.settings.seed + number
        fine_tune(model, job.train, job.validation, self.settings.fine_tuning, seed, job.tuning_callbacks())

    def _evaluate(self, model: keras.Model) -> Score:
        self.job.progress("judging", 0, 0)
        return evaluate(model, *self.job.validation, metric=self.job.metric)

    def _is_late(self) -> bool:
        minutes = self.settings.max_minutes
        return minutes is not None and len(self.trials) > 1 and perf_counter() - self.started > 60 * minutes

    def _record(
        self,
        status: str,
        score: Score | None,
        model: keras.Model,
        started: float,
        constructed: float | None,
        layers: tuple[LayerRecord, ...],
    ) -> TrialRecord:
        accuracy, loss, metric = (score.accuracy, score.loss, score.metric) if score else (None, None, None)
        seconds = perf_counter() - started
        record = TrialRecord(
            len(self.trials), status, accuracy, loss, cost_of(model), seconds, layers, constructed, metric
        )
        record_trial(self.engine, self.run_id, record)
        self.trials.append(record)
        self.job.on_trial(record)
        return record

    def _layers(self, plan: Plan, alike: Mapping[str, float]) -> tuple[LayerRecord, ...]:
        """Every target's choice; those that went back to what they were have no method."""
        records = []
        for path, target in self.targets.items():
            if target.solution is None:
                records.append(LayerRecord(path, None, target.original, 1.0, 0.0))
                continue
            one = target.solution
            error = self.errors[path, plan[path]]
            records.append(LayerRecord(path, one.configuration, one.cost, alike.get(path), error))
        return tuple(records)


def plan_of(record: TrialRecord) -> Plan:
    """The plan that a trial was made by."""
    return {one.layer: one.configuration for one in record.layers if one.configuration}


def cost_of(model: keras.Model) -> Cost:
    """Params, feature-map elements and FLOPs of one sample through a model, counted from its layers."""
    shape = describe(model)
    return network_cost(shape.params, shape.layers)


def _without(plan: Plan, path: str) -> Plan:
    return {other: choice for other, choice in plan.items() if other != path}


def _check_weights(model: keras.Model) -> None:
    for weight in model.weights:
        if "float" in weight.dtype and not bool(keras.ops.all(keras.ops.isfinite(weight))):
            raise UserError(f"weight '{weight.path}' of '{model.name}' holds NaN or infinity; train or load it again")
