"""The hybrid: a search with every pair of methods, then the best method for each layer.

Searches with the same model, data and settings are not repeated: finished ones are reused, and those that were
stopped, or may now try more than before, are resumed. So a stopped hybrid resumes when it is called again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import keras

from rankline.src.compress.approach import CONV_METHODS, DENSE_METHODS
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.surgery import factorize_and_measure
from rankline.src.compress.runs.facts import facts_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.recorder import Clock, Recorder, recording
from rankline.src.compress.runs.run import Run, plan_of
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import OnPart
from rankline.src.compress.search.data_fit import DataFit, samples_of
from rankline.src.compress.search.pair_search import PairSearch, model_of, pairs_of
from rankline.src.compress.search.side_by_side import searched
from rankline.src.compress.training.fine_tuning import DivergedError
from rankline.src.db.records.runs import (
    FAILED,
    FELL_SHORT,
    ORIGINAL,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
)
from rankline.src.dse.devices.network import layer_latency
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.metric import metric
from rankline.src.dse.plan import Plan

ROUNDS = 3
"""The most times that the hybrid is fine-tuned, one after the other, until it is good enough."""


def hybrid(
    job: Job,
    settings: Settings,
    conv_methods: Sequence[str] = CONV_METHODS,
    dense_methods: Sequence[str] = DENSE_METHODS,
    on_part: OnPart = lambda settings, number, count: None,
    jobs: int = 1,
) -> Run:
    """Compresses the job's model with each pair of methods, then with the best of them for each layer.

    A layer takes its configuration from the successful search that leaves it with the lowest objective; if none
    succeeded, from the search that came nearest. This model is made from the original weights and fine-tuned up to
    ROUNDS times until it is good enough. If it still falls short, the smallest model of a successful search is
    returned.
    ``max_trials`` and ``max_minutes`` apply to each search. ``on_part`` and ``jobs``: see ``searched``. Raises
    UserError as ``search`` does, and KeyboardInterrupt, after which the results so far are reused next time.
    """
    job = replace(job, model=split(job.model))
    pairs, skipped = pairs_of(job, settings, conv_methods, dense_methods)
    parts = searched(job, pairs, on_part, jobs)
    passed = [part for part in parts if part.status == SUCCESS]
    nearest = max(parts, key=lambda part: settings.merit(part.chosen, job.judged_by))
    layers = _best_layers(passed or [nearest], _size_of(job, settings))
    values = {
        **facts_of(job, settings),
        "conv_method": list(conv_methods),
        "dense_method": list(dense_methods),
        "skipped": skipped,
        "strategy": "hybrid",
        "parts": {f"{part.settings.conv_method} {part.settings.dense_method}": part.run for part in parts},
    }
    with recording(job, values, settings.seed) as recorder:
        made, good = _tuned(recorder, parts[0].original, layers, settings)
        if not good and passed:
            smallest = min(passed, key=lambda part: metric(settings.objective).of(part.chosen.cost))
            taken, made = model_of(smallest, job)
            recorder.taken(replace(taken, status=TRIED))
            good = True
        if recorder.trials[-1].status == FAILED:
            raise DivergedError("neither a search nor the hybrid gave a model that is good enough; the last diverged")
        chosen = recorder.chosen(len(recorder.trials) - 1)
    run = recorder.finished(SUCCESS if good else FELL_SHORT, made, plan_of(chosen), chosen, skipped)
    return replace(run, parts=tuple(one.run for one in parts))


def _size_of(job: Job, settings: Settings) -> Callable[[LayerRecord], int]:
    """The objective of a recorded layer: a latency is not on record, but follows from the device's numbers."""
    objective, numbers = metric(settings.objective), job.numbers
    if numbers is None or not objective.needs_device:
        return lambda one: objective.of(one.cost)
    shapes = {layer.name: layer for layer in describe(job.model).layers}
    return lambda one: layer_latency(numbers, shapes[one.layer], one.configuration)


def _best_layers(parts: Sequence[PairSearch], size: Callable[[LayerRecord], int]) -> tuple[LayerRecord, ...]:
    """Each layer's record from the search that leaves it with the lowest objective, the first of equals."""
    best: dict[str, LayerRecord] = {}
    for part in parts:
        for one in part.chosen.layers:
            if one.layer not in best or size(one) < size(best[one.layer]):
                best[one.layer] = one
    return tuple(best.values())


def _tuned(
    recorder: Recorder, original: TrialRecord, layers: tuple[LayerRecord, ...], settings: Settings
) -> tuple[keras.Model, bool]:
    """Makes the hybrid's trials; returns the last model and whether it is good enough."""
    job = recorder.job
    recorder.taken(replace(original, status=ORIGINAL))
    plan: Plan = plan_of(replace(original, layers=layers))
    clock = Clock()
    keras.utils.set_random_seed(settings.seed)
    made, errors = factorize_and_measure(job.model, plan, progress=job.progress)
    if settings.fit == "data":
        DataFit(job.model, samples_of(job.labelled, settings), settings.seed, job.progress)(made, plan)
    clock.pause()
    measured = [replace(one, similarity=None, error=errors[one.layer]) if one.configuration else one for one in layers]
    good = False
    while not good and len(recorder.trials) <= ROUNDS:
        try:
            recorder.tuned(made, settings.fine_tuning, settings.seed + len(recorder.trials))
            score = recorder.judged(made)
        except DivergedError:
            recorder.record(FAILED, cost_of(made), clock, None, measured)
            break
        trial = recorder.record(TRIED, cost_of(made), clock, score, measured)
        good = settings.is_good(trial, original, job.judged_by)
        clock = Clock()
    return made, good
