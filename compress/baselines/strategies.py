"""The baselines as recorded runs, with the same interface as the search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import keras

from rankline.src.compress.baselines.importance import CRITERIA
from rankline.src.compress.baselines.pruning import prune
from rankline.src.compress.baselines.under_drop import Family, Made, smallest_under_drop
from rankline.src.compress.baselines.vbmf import vbmf_plan
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.surgery import factor_names, factorize_and_measure
from rankline.src.compress.runs.facts import facts_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.recorder import recording
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.targets import chosen_layers
from rankline.src.db.records.runs import LayerRecord
from rankline.src.dse.cost import total
from rankline.src.dse.devices.latency import UnmeasuredError
from rankline.src.dse.devices.network import layer_latency
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.metric import metric
from rankline.src.dse.network_cost import counted_cost
from rankline.src.dse.plan import Plan

AMOUNTS = tuple(step / 20 for step in range(1, 21))
"""Values of ``weaken`` for VBMF's ranks, and shares of the filters to prune (without the last)."""


def vbmf(job: Job, settings: Settings) -> Run:
    """The ranks of VBMF, weakened as little as the settings allow (see ``vbmf_plan``).

    Raises UserError for a name or pattern that matches no layer.
    """
    job = replace(job, model=split(job.model))
    names = [row.name for row in job.database.layers(job.network)]
    layers = chosen_layers(names, settings)
    left_out = {name: "left out by include or exclude" for name in names if name not in layers}

    def family(weaken: float) -> Made:
        plan, skipped = vbmf_plan(job.model, layers, weaken)
        if metric(settings.objective).needs_device:
            plan, unmeasured = _measured(plan, job)
            skipped |= unmeasured
        made, errors = factorize_and_measure(job.model, plan, progress=job.progress)
        return Made(made, {"weaken": weaken}, plan, _records(made, plan, errors), left_out | skipped)

    return _recorded(job, settings, "vbmf", [family], AMOUNTS)


def pruning(job: Job, settings: Settings) -> Run:
    """Filter pruning by L1, L2 and the geometric median in turn; the best of the three is the result.

    The amounts are shares of the filters of each convolution. ``smallest_under_drop`` says how it ends. Raises
    UserError for a name or pattern that matches no layer, and if no filters can be pruned.
    """
    names = [row.name for row in job.database.layers(job.network)]
    layers = {name.removesuffix("/pointwise") for name in chosen_layers(names, settings)}
    families = [_pruned_by(job.model, criterion, layers) for criterion in CRITERIA]
    return _recorded(job, settings, "pruning", families, AMOUNTS[:-1])


def _measured(plan: Plan, job: Job) -> tuple[Plan, dict[str, str]]:
    """The plan without the layers whose chains the job's device has no numbers for, and why they are left out."""
    if job.numbers is None:
        return plan, {}
    shapes = {layer.name: layer for layer in describe(job.model).layers}
    left_out: dict[str, str] = {}
    for path, choice in plan.items():
        try:
            layer_latency(job.numbers, shapes[path], choice)
        except UnmeasuredError as error:
            left_out[path] = error.lacking
    return {path: choice for path, choice in plan.items() if path not in left_out}, left_out


def _pruned_by(model: keras.Model, criterion: str, layers: Collection[str]) -> Family:
    def family(removed: float) -> Made:
        pruned = prune(model, 1 - removed, criterion, layers=layers)
        return Made(pruned.model, {"criterion": criterion, "removed": removed}, skipped=pruned.skipped)

    return family


def _recorded(job: Job, settings: Settings, strategy: str, families: Sequence[Family], amounts: Sequence[float]) -> Run:
    with recording(job, {**facts_of(job, settings), "strategy": strategy}, settings.seed) as recorder:
        return smallest_under_drop(recorder, settings, families, amounts)


def _records(made: keras.Model, plan: Plan, errors: Mapping[str, float]) -> tuple[LayerRecord, ...]:
    """The record of each layer in the plan."""
    costs = {layer.name: counted_cost(layer) for layer in describe(made).layers}
    records = []
    for path, choice in plan.items():
        cost = total(costs[name] for name in factor_names(path, choice) if name in costs)
        records.append(LayerRecord(path, choice, cost, None, errors[path]))
    return tuple(records)
