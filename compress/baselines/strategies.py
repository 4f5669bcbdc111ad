"""The baselines as runs on record, behind the same interface as the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from compress.baselines.under_drop import Limits, Outcome, best_of, pruning_under_drop, vbmf_under_drop
from compress.baselines.vbmf import vbmf_plan
from compress.data import Data
from compress.plan import Choice, Plan
from compress.recording import facts_of
from compress.search import Run, cost_of, weight_error
from compress.settings import Settings
from compress.surgery import factor_names
from compress.training import Metric, Score
from db.database import Database
from db.runs import (
    CHOSEN,
    FELL_SHORT,
    ORIGINAL,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
    record_trial,
    recorded_end,
    start_run,
)
from dse.errors import UserError
from dse.formula import Cost
from dse.reader import describe
from dse.totals import known_cost

AMOUNTS = tuple(step / 20 for step in range(1, 21))
"""How far VBMF's ranks are taken, and shares of the filters that are pruned (all but the last of these)."""


def vbmf(
    model: keras.Model,
    data: Data,
    database: Database,
    network: str,
    settings: Settings,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    metric: Metric | None = None,
    request: Mapping[str, Any] | None = None,
) -> Run:
    """The ranks of VBMF, weakened as little as ``max_drop`` allows (see ``vbmf_under_drop``); arguments as ``search``.

    Raises UserError where a metric other than the accuracy, or a choice of layers, is asked for.
    """
    limits = _limits(settings, metric)
    run_id = _started(model, data, database, network, settings, {"strategy": "vbmf", **(request or {})})
    with recorded_end(database.engine, run_id):
        outcome = vbmf_under_drop(model, AMOUNTS, data, limits)
        plan, skipped = vbmf_plan(model, weaken=outcome.best.amount) if outcome.best else ({}, {})
        return _recorded(model, database, run_id, [outcome], outcome, plan, skipped, on_trial)


def pruning(
    model: keras.Model,
    data: Data,
    database: Database,
    network: str,
    settings: Settings,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    metric: Metric | None = None,
    request: Mapping[str, Any] | None = None,
) -> Run:
    """Filter pruning by L1, L2 and the geometric median, the best of the three; arguments and errors as ``vbmf``."""
    limits = _limits(settings, metric)
    run_id = _started(model, data, database, network, settings, {"strategy": "pruning", **(request or {})})
    with recorded_end(database.engine, run_id):
        outcomes = pruning_under_drop(model, AMOUNTS[:-1], data, limits)
        name = best_of(outcomes) or next(iter(outcomes))
        return _recorded(model, database, run_id, list(outcomes.values()), outcomes[name], {}, {}, on_trial)


def _limits(settings: Settings, metric: Metric | None) -> Limits:
    if metric is not None or settings.metric != "accuracy":
        raise UserError("the baselines are judged by accuracy; leave out the other metric")
    if settings.include or settings.exclude:
        raise UserError("the baselines take every layer that they can; leave out include and exclude")
    return Limits(settings.max_drop, settings.fine_tuning, settings.seed)


def _started(
    model: keras.Model, data: Data, database: Database, network: str, settings: Settings, request: Mapping[str, Any]
) -> int:
    values = {**facts_of(model, data, settings), **request}
    return start_run(database.engine, database.network_id(network), values, settings.seed)


def _recorded(
    model: keras.Model,
    database: Database,
    run_id: int,
    outcomes: Sequence[Outcome],
    chosen: Outcome,
    plan: Plan,
    skipped: Mapping[str, str],
    on_trial: Callable[[TrialRecord], None],
) -> Run:
    """All outcomes' trials on record. Where none is good enough, the original is what is handed over."""

    layers = _layers(model, chosen.model, plan) if chosen.model else ()

    def record(number: int, status: str, score: Score, cost: Cost, seconds: float) -> TrialRecord:
        made_of = layers if status == CHOSEN else ()
        trial = TrialRecord(number, status, score.accuracy, score.loss, cost, seconds, made_of)
        record_trial(database.engine, run_id, trial)
        on_trial(trial)
        return trial

    trials = [record(0, ORIGINAL, chosen.original, cost_of(model), 0.0)]
    best = 0
    for one in (trial for outcome in outcomes for trial in outcome.trials):
        status = CHOSEN if one is chosen.best else TRIED
        trials.append(record(len(trials), status, one.score, one.cost, one.seconds))
        best = trials[-1].number if status == CHOSEN else best
    status = FELL_SHORT if chosen.best is None else SUCCESS
    return Run(run_id, status, chosen.model or model, plan, trials[0], trials[best], tuple(trials), skipped)


def _layers(model: keras.Model, made: keras.Model, plan: Plan) -> tuple[LayerRecord, ...]:
    """What a plan has made of each layer; none where the model was not made by one."""
    costs = {layer.name: known_cost(layer) for layer in describe(made).layers}

    def record(path: str, choice: Choice) -> LayerRecord:
        chain = [costs[name] for name in factor_names(path, choice) if name in costs]
        cost = Cost(*(sum(one[j] or 0 for one in chain) for j in range(3)))
        error = weight_error(model, path, choice)
        return LayerRecord(path, choice.method, choice.ranks, choice.shape, cost, None, error)

    return tuple(record(path, choice) for path, choice in plan.items())
