"""The hybrid: a search with every pair of methods, then for each layer the method that has served it best.

Searches with the same model, data and settings are not made twice: those on record are taken over, and those that
were stopped go on. So a hybrid that was stopped goes on when it is asked for again.
"""

from __future__ import annotations

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
from compress.training import Metric, evaluate, fine_tune
from db.database import Database
from db.runs import (
    CHOSEN,
    FELL_SHORT,
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

    For a layer, that method counts which, among the searches that succeeded (all, if none did), leaves it with the
    lowest objective. The model of these is made from the original weights, and fine-tuned up to ROUNDS times until
    it is good enough. If it falls short all the same, the smallest model that a search succeeded with is returned.
    ``on_part`` is told the settings of each search before it starts. Raises UserError as ``search``.
    """
    parts = []
    for pair in _pairs(model, database, network, settings, conv_methods, dense_methods):
        on_part(pair)
        parts.append(_part(model, data, database, network, pair, on_trial, callbacks, metric))
    passed = [part for part in parts if part.status == SUCCESS]
    layers = _best_layers(passed or parts, settings.objective)
    values = {
        **facts_of(model, data, settings, metric),
        "strategy": "hybrid",
        "parts": {f"{part.settings.conv_method} {part.settings.dense_method}": part.run for part in parts},
        **(request or {}),
    }
    run_id = start_run(database.engine, database.network_id(network), values, settings.seed)
    with recorded_end(database.engine, run_id):
        trials, made, good = _tuned(
            model, data, database, run_id, parts[0].original, layers, settings, callbacks, metric
        )
        for trial in trials:
            on_trial(trial)
        if not good and passed:
            smallest = min(passed, key=lambda part: metric_of(part.chosen.cost, settings.objective))
            taken = replace(smallest.chosen, number=len(trials), status=CHOSEN)
            record_trial(database.engine, run_id, taken)
            trials.append(taken)
            made, good = _model_of(smallest, database), True
        choose_trial(database.engine, run_id, trials[-1].number)
        trials[-1] = replace(trials[-1], status=CHOSEN)
        skipped = targets_of(model, database, network, settings)[1]
    status = SUCCESS if good else FELL_SHORT
    return Run(run_id, status, made, plan_of(trials[-1]), trials[0], trials[-1], tuple(trials), skipped)


def _pairs(
    model: keras.Model,
    database: Database,
    network: str,
    settings: Settings,
    conv_methods: Sequence[str],
    dense_methods: Sequence[str],
) -> list[Settings]:
    """The settings of every pair of methods that gives other targets than those before it.

    Without a dense layer to factorize, all methods for dense layers come to the same.
    """
    pairs: dict[frozenset[tuple[str, str]], Settings] = {}
    reasons = []
    for conv_method in conv_methods:
        for dense_method in dense_methods:
            pair = replace(settings, conv_method=conv_method, dense_method=dense_method)
            try:
                targets, _ = targets_of(model, database, network, pair)
            except UserError as error:
                reasons.append(str(error))
                continue
            found = {(path, target.choice.method) for path, target in targets.items() if target.choice}
            pairs.setdefault(frozenset(found), pair)
    if not pairs:
        raise UserError(reasons[0] if reasons else "the hybrid needs at least one method for each kind of layer")
    return list(pairs.values())


def _part(
    model: keras.Model,
    data: Data,
    database: Database,
    network: str,
    settings: Settings,
    on_trial: Callable[[TrialRecord], None],
    callbacks: Sequence[keras.callbacks.Callback],
    metric: Metric | None,
) -> Part:
    """A search that is on record, goes on, or is made."""
    key, resume = key_of(model, data, settings, metric), None
    for row in database.runs():
        if row["settings"].get("key") != key:
            continue
        if row["status"] in (SUCCESS, FELL_SHORT):
            records = trial_records(database.engine, row["id"])
            chosen = next((one for one in records if one.status == CHOSEN), None)
            if chosen is not None:
                return Part(row["id"], settings, row["status"], records[0], chosen)
        elif checkpoints_of(database.location, row["id"]):
            resume = row["id"]
    run = search(model, data, database, network, settings, on_trial, callbacks, metric, None, resume)
    finish_run(database.engine, run.id, run.status)
    return Part(run.id, settings, run.status, run.original, run.chosen)


def _best_layers(parts: Sequence[Part], objective: str) -> tuple[LayerRecord, ...]:
    """Each layer as the part left it that left it with the lowest objective, the first of equals."""
    best: dict[str, LayerRecord] = {}
    for part in parts:
        for one in part.chosen.layers:
            if one.layer not in best or metric_of(one.cost, objective) < metric_of(best[one.layer].cost, objective):
                best[one.layer] = one
    return tuple(best.values())


def _tuned(
    model: keras.Model,
    data: Data,
    database: Database,
    run_id: int,
    original: TrialRecord,
    layers: tuple[LayerRecord, ...],
    settings: Settings,
    callbacks: Sequence[keras.callbacks.Callback],
    metric: Metric | None,
) -> tuple[list[TrialRecord], keras.Model, bool]:
    """The hybrid's trials, the last model, and whether it is good enough."""
    record_trial(database.engine, run_id, original)
    trials = [original]
    plan: Plan = plan_of(replace(original, layers=layers))
    started = perf_counter()
    keras.utils.set_random_seed(settings.seed)
    made = factorize(model, plan)
    constructed = perf_counter() - started
    measured = tuple(
        replace(one, similarity=None, error=weight_error(model, one.layer, plan[one.layer])) if one.method else one
        for one in layers
    )
    good = False
    while not good and len(trials) <= ROUNDS:
        started = perf_counter()
        train, validation = (data.x_train, data.y_train), (data.x_validation, data.y_validation)
        fine_tune(made, train, validation, settings.fine_tuning, settings.seed + len(trials), callbacks)
        score = evaluate(made, *validation, metric=metric)
        seconds = perf_counter() - started
        trial = TrialRecord(
            len(trials), TRIED, score.accuracy, score.loss, cost_of(made), seconds, measured, constructed, score.metric
        )
        record_trial(database.engine, run_id, trial)
        trials.append(trial)
        good = settings.is_good(trial, original, metric is not None)
    return trials, made, good


def _model_of(part: Part, database: Database) -> keras.Model:
    checkpoints = checkpoints_of(database.location, part.run)
    if checkpoints is None:
        raise UserError(f"the model of run {part.run} is not kept; use an SQLite file as database")
    return checkpoints.load(part.chosen.number)
