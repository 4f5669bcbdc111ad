"""The hybrid: a search with every pair of methods, then for each layer the method that has served it best.

Searches with the same model, data and settings are not made twice: those on record are taken over, and those that
were stopped, or may now try more than then, go on. So a hybrid that was stopped goes on when it is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import keras

from rankline.src.compress.model.surgery import factorize_and_measure
from rankline.src.compress.runs.facts import facts_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.data_fit import DataFit, samples_of
from rankline.src.compress.search.pair_search import PairSearch, model_of, pairs_of
from rankline.src.compress.search.search import Run, cost_of, plan_of
from rankline.src.compress.search.side_by_side import OnPart, searched
from rankline.src.compress.training.fine_tuning import DivergedError, evaluate, fine_tune
from rankline.src.db.records.runs import (
    CHOSEN,
    FAILED,
    FELL_SHORT,
    ORIGINAL,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
    choose_trial,
    record_trial,
    recorded_end,
    start_run,
)
from rankline.src.dse.metric import metric
from rankline.src.dse.plan import Plan

CONV_METHODS = ("tucker", "cp", "tt")
DENSE_METHODS = ("svd", "qr", "t3f")
"""The published framework's; spatial SVD, and SVD on convolutions, can be added."""

ROUNDS = 3
"""Fine-tunings of the hybrid, one after the other, while it falls short."""


def hybrid(
    job: Job,
    settings: Settings,
    conv_methods: Sequence[str] = CONV_METHODS,
    dense_methods: Sequence[str] = DENSE_METHODS,
    on_part: OnPart = lambda settings, number, count: None,
    jobs: int = 1,
) -> Run:
    """Compresses the job's model by each pair of methods, and by the best of them for each layer.

    For a layer, that method counts which, among the searches that succeeded, leaves it with the lowest objective; if
    none did, those of the search that came nearest. The model of these is made from the original weights, and
    fine-tuned up to ROUNDS times until it is good enough. If it falls short all the same, the smallest model that a
    search succeeded with is returned.
    ``max_trials`` and ``max_minutes`` are those of each search. ``on_part`` and ``jobs``: see ``searched``. Raises
    UserError as ``search``, and KeyboardInterrupt: what was found till then is taken over next time.
    """
    database, own = job.database, job.metric is not None
    pairs, skipped = pairs_of(job, settings, conv_methods, dense_methods)
    parts = searched(job, pairs, on_part, jobs)
    passed = [part for part in parts if part.status == SUCCESS]
    nearest = max(parts, key=lambda part: settings.merit(part.chosen, own))
    layers = _best_layers(passed or [nearest], settings.objective)
    values = {
        **facts_of(job, settings),
        "conv_method": list(conv_methods),
        "dense_method": list(dense_methods),
        "skipped": skipped,
        "strategy": "hybrid",
        "parts": {f"{part.settings.conv_method} {part.settings.dense_method}": part.run for part in parts},
    }
    run_id = start_run(database.engine, database.network_id(job.network), values, settings.seed)
    with recorded_end(database.engine, run_id):
        trials, made, good = _tuned(job, run_id, parts[0].original, layers, settings)
        if not good and passed:
            smallest = min(passed, key=lambda part: metric(settings.objective).of(part.chosen.cost))
            taken, made = model_of(smallest, job)
            _record(job, run_id, trials, replace(taken, number=len(trials), status=TRIED))
            good = True
        if trials[-1].status == FAILED:
            raise DivergedError("neither a search nor the hybrid gave a model that is good enough; the last diverged")
        choose_trial(database.engine, run_id, trials[-1].number)
        trials[-1] = replace(trials[-1], status=CHOSEN)
    status = SUCCESS if good else FELL_SHORT
    return Run(
        run_id,
        status,
        made,
        plan_of(trials[-1]),
        trials[0],
        trials[-1],
        tuple(trials),
        skipped,
        tuple(one.run for one in parts),
    )


def _best_layers(parts: Sequence[PairSearch], objective: str) -> tuple[LayerRecord, ...]:
    """Each layer as the part left it that left it with the lowest objective, the first of equals."""
    best: dict[str, LayerRecord] = {}
    size = metric(objective).of
    for part in parts:
        for one in part.chosen.layers:
            if one.layer not in best or size(one.cost) < size(best[one.layer].cost):
                best[one.layer] = one
    return tuple(best.values())


def _tuned(
    job: Job, run_id: int, original: TrialRecord, layers: tuple[LayerRecord, ...], settings: Settings
) -> tuple[list[TrialRecord], keras.Model, bool]:
    """The hybrid's trials, the last model, and whether it is good enough."""
    trials: list[TrialRecord] = []
    _record(job, run_id, trials, replace(original, number=0, status=ORIGINAL))
    plan: Plan = plan_of(replace(original, layers=layers))
    started = perf_counter()
    keras.utils.set_random_seed(settings.seed)
    made, errors = factorize_and_measure(job.model, plan, progress=job.progress)
    if settings.fit == "data":
        DataFit(job.model, samples_of(job.data, settings), settings.seed, job.progress)(made, plan)
    constructed = perf_counter() - started
    measured = tuple(
        replace(one, similarity=None, error=errors[one.layer]) if one.configuration else one for one in layers
    )
    good = False
    while not good and len(trials) <= ROUNDS:
        trial = TrialRecord(len(trials), FAILED, None, None, cost_of(made), 0.0, measured, constructed)
        try:
            seed = settings.seed + len(trials)
            fine_tune(made, job.train, job.validation, settings.fine_tuning, seed, job.tuning_callbacks())
            job.progress("judging", 0, 0)
            score = evaluate(made, *job.validation, metric=job.metric)
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
