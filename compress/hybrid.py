"""The hybrid: a search with every pair of methods, then for each layer the method that has served it best.

Searches with the same model, data and settings are not made twice: those on record are taken over, and those that
were stopped, or may now try more than then, go on. So a hybrid that was stopped goes on when it is asked for again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import keras

from compress.checkpoints import checkpoints_of
from compress.data import Data
from compress.plan import Plan
from compress.recording import facts_of, key_of
from compress.search import Run, cost_of, plan_of, search, weight_error
from compress.settings import Settings
from compress.surgery import factorize
from compress.targets import targets_of
from compress.training import DivergedError, Metric, evaluate, fine_tune
from db.database import Database
from db.runs import (
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
    finish_run,
    record_trial,
    recorded_end,
    start_run,
    trial_records,
)
from db.windows import metric_of
from dse.errors import UserError

CONV_METHODS = ("tucker", "cp", "tt")
DENSE_METHODS = ("svd", "qr", "t3f")
"""The published framework's; spatial SVD, and SVD on convolutions, can be added."""

ROUNDS = 3
"""Fine-tunings of the hybrid, one after the other, while it falls short."""


@dataclass(frozen=True)
class Job:
    """What every search is of: a model, the data to train it on, and the database that has its configurations."""

    model: keras.Model
    data: Data
    database: Database
    network: str
    on_trial: Callable[[TrialRecord], None]
    callbacks: Sequence[keras.callbacks.Callback]
    metric: Metric | None

    def search(self, settings: Settings, resume: int | None = None) -> Run:
        """The search itself, closed on record. Raises KeyboardInterrupt where Ctrl-C ended it."""
        run = search(
            self.model, self.data, self.database, self.network, settings,
            self.on_trial, self.callbacks, self.metric, resume=resume,
        )  # fmt: skip
        finish_run(self.database.engine, run.id, run.status)
        if run.status == INTERRUPTED:
            raise KeyboardInterrupt
        return run


@dataclass(frozen=True)
class Part:
    """A finished search with one pair of methods: how it ended, and the trial that it chose."""

    run: int
    settings: Settings
    status: str
    original: TrialRecord
    chosen: TrialRecord


def hybrid(
    model: keras.Model,
    data: Data,
    database: Database,
    network: str,
    settings: Settings,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    metric: Metric | None = None,
    request: Mapping[str, Any] | None = None,
    conv_methods: Sequence[str] = CONV_METHODS,
    dense_methods: Sequence[str] = DENSE_METHODS,
    on_part: Callable[[Settings], None] = lambda settings: None,
) -> Run:
    """Compresses ``model`` by each pair of methods, and by the best of them for each layer; arguments as ``search``.

    For a layer, that method counts which, among the searches that succeeded, leaves it with the lowest objective; if
    none did, those of the search that came nearest. The model of these is made from the original weights, and
    fine-tuned up to ROUNDS times until it is good enough. If it falls short all the same, the smallest model that a
    search succeeded with is returned.
    ``max_trials`` and ``max_minutes`` are those of each search. ``on_part`` is told the settings of each before it
    starts. Raises UserError as ``search``, and KeyboardInterrupt: what was found till then is taken over next time.
    """
    job = Job(model, data, database, network, on_trial, callbacks, metric)
    pairs, skipped = _pairs(job, settings, conv_methods, dense_methods)
    parts, diverged = [], DivergedError("")
    for pair in pairs:
        on_part(pair)
        try:
            parts.append(_part(job, pair))
        except DivergedError as error:
            diverged = error
    if not parts:
        raise diverged
    passed = [part for part in parts if part.status == SUCCESS]
    nearest = max(parts, key=lambda part: settings.merit(part.chosen, metric is not None))
    layers = _best_layers(passed or [nearest], settings.objective)
    values = {
        **facts_of(model, data, settings, metric),
        "conv_method": list(conv_methods),
        "dense_method": list(dense_methods),
        "skipped": skipped,
        "strategy": "hybrid",
        "parts": {f"{part.settings.conv_method} {part.settings.dense_method}": part.run for part in parts},
        **(request or {}),
    }
    run_id = start_run(database.engine, database.network_id(network), values, settings.seed)
    with recorded_end(database.engine, run_id):
        trials, made, good = _tuned(job, run_id, parts[0].original, layers, settings)
        if not good and passed:
            smallest = min(passed, key=lambda part: metric_of(part.chosen.cost, settings.objective))
            taken, made = _model_of(smallest, job)
            _record(job, run_id, trials, replace(taken, number=len(trials), status=TRIED))
            good = True
        if trials[-1].status == FAILED:
            raise DivergedError("neither a search nor the hybrid gave a model that is good enough; the last diverged")
        choose_trial(database.engine, run_id, trials[-1].number)
        trials[-1] = replace(trials[-1], status=CHOSEN)
    status = SUCCESS if good else FELL_SHORT
    return Run(run_id, status, made, plan_of(trials[-1]), trials[0], trials[-1], tuple(trials), skipped)


def _pairs(
    job: Job, settings: Settings, conv_methods: Sequence[str], dense_methods: Sequence[str]
) -> tuple[list[Settings], dict[str, str]]:
    """The settings of every pair of methods that gives other targets than those before it; and the layers that no
    pair factorizes, with the reason.

    Without a dense layer to factorize, all methods for dense layers come to the same.
    """
    pairs: dict[frozenset[tuple[str, str]], Settings] = {}
    skips: list[dict[str, str]] = []
    reasons = []
    for conv_method in conv_methods:
        for dense_method in dense_methods:
            pair = replace(settings, conv_method=conv_method, dense_method=dense_method)
            try:
                targets, skipped = targets_of(job.model, job.database, job.network, pair)
            except UserError as error:
                reasons.append(str(error))
                continue
            found = {(path, target.choice.method) for path, target in targets.items() if target.choice}
            pairs.setdefault(frozenset(found), pair)
            skips.append(skipped)
    if not pairs:
        raise UserError(reasons[0] if reasons else "the hybrid needs at least one method for each kind of layer")
    always = {path: why for path, why in skips[0].items() if all(path in other for other in skips)}
    return list(pairs.values()), always


def _part(job: Job, settings: Settings) -> Part:
    """A search that is on record, goes on, or is made."""
    key, resume = key_of(job.model, job.data, settings, job.metric), None
    for row in job.database.runs():
        if row["settings"].get("key") != key:
            continue
        checkpoints = checkpoints_of(job.database.location, row["id"])
        kept = checkpoints is not None and checkpoints.folder.exists()
        if row["status"] == SUCCESS or (row["status"] == FELL_SHORT and not (kept and _may_go_on(row, settings))):
            records = trial_records(job.database.engine, row["id"])
            chosen = next((one for one in records if one.status == CHOSEN), None)
            if chosen is not None:
                return Part(row["id"], settings, row["status"], records[0], chosen)
        elif kept:
            resume = row["id"]
    run = job.search(settings, resume)
    return Part(run.id, settings, run.status, run.original, run.chosen)


def _may_go_on(row: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a run that fell short had fewer trials or minutes than these settings allow."""
    trials, minutes = row["settings"]["max_trials"], row["settings"]["max_minutes"]
    return trials <= row["trials"] < settings.max_trials or (
        minutes is not None and (settings.max_minutes or math.inf) > minutes
    )


def _best_layers(parts: Sequence[Part], objective: str) -> tuple[LayerRecord, ...]:
    """Each layer as the part left it that left it with the lowest objective, the first of equals."""
    best: dict[str, LayerRecord] = {}
    for part in parts:
        for one in part.chosen.layers:
            if one.layer not in best or metric_of(one.cost, objective) < metric_of(best[one.layer].cost, objective):
                best[one.layer] = one
    return tuple(best.values())


def _tuned(
    job: Job, run_id: int, original: TrialRecord, layers: tuple[LayerRecord, ...], settings: Settings
) -> tuple[list[TrialRecord], keras.Model, bool]:
    """The hybrid's trials, the last model, and whether it is good enough."""
    trials: list[TrialRecord] = []
    _record(job, run_id, trials, replace(original, number=0, status=ORIGINAL))
    plan: Plan = plan_of(replace(original, layers=layers))
    data, validation = job.data, (job.data.x_validation, job.data.y_validation)
    started = perf_counter()
    keras.utils.set_random_seed(settings.seed)
    made = factorize(job.model, plan)
    constructed = perf_counter() - started
    measured = tuple(
        replace(one, similarity=None, error=weight_error(job.model, one.layer, plan[one.layer])) if one.method else one
        for one in layers
    )
    good = False
    while not good and len(trials) <= ROUNDS:
        trial = TrialRecord(len(trials), FAILED, None, None, cost_of(made), 0.0, measured, constructed)
        try:
            seed = settings.seed + len(trials)
            fine_tune(made, (data.x_train, data.y_train), validation, settings.fine_tuning, seed, job.callbacks)
            score = evaluate(made, *validation, metric=job.metric)
        except DivergedError:
            _record(job, run_id, trials, replace(trial, seconds=perf_counter() - started))
            break
        found = {"accuracy": score.accuracy, "loss": score.loss, "metric": score.metric}
        trial = replace(trial, status=TRIED, seconds=perf_counter() - started, **found)  # type: ignore[arg-type]
        _record(job, run_id, trials, trial)
        good = settings.is_good(trial, original, job.metric is not None)
        started, constructed = perf_counter(), 0.0
    return trials, made, good


def _record(job: Job, run_id: int, trials: list[TrialRecord], trial: TrialRecord) -> None:
    record_trial(job.database.engine, run_id, trial)
    trials.append(trial)
    job.on_trial(trial)


def _model_of(part: Part, job: Job) -> tuple[TrialRecord, keras.Model]:
    """The trial that a search chose, with its model. Where its file is gone, the search is made again, for the same."""
    checkpoints = checkpoints_of(job.database.location, part.run)
    try:
        if checkpoints is not None:
            return part.chosen, checkpoints.load(part.chosen.number)
    except UserError:
        pass
    run = job.search(part.settings)
    return run.chosen, run.model
