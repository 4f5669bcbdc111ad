"""The opening sentences of a report: what was saved, what it cost, and what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

from rankline.src.db.records.networks import NetworkRow, SpaceRow
from rankline.src.db.records.runs import CHOSEN, SUCCESS, RunRow
from rankline.src.dse.methods import METHODS
from rankline.src.dse.network_cost import uncounted, uncounted_sentence
from rankline.src.dse.numbers import change, count, si
from rankline.src.reports.report.layers import ReportedLayer
from rankline.src.reports.report.outcome import Outcome

NAMED = 5
"""Up to this many factorized layers are named; if there are more, they are counted."""

ENDS = {SUCCESS: "met the goal", "fell short": "fell short of the goal"}


def is_under_budget(run: RunRow) -> bool:
    """Whether the run allocated a budget instead of searching."""
    return bool(run.settings.get("strategy") == "budget")


def answer(
    network: NetworkRow, layers: Sequence[ReportedLayer], spaces: Sequence[SpaceRow], result: Outcome | None
) -> list[str]:
    """The sentences; without a trial, what is known and what to do."""
    names = uncounted(layer.shape for layer in layers)
    unknown = [f"FLOPs are at least those told: {uncounted_sentence(names)}."] if names else []
    if result is not None and result.best is not None:
        return [_gain(result), _chosen(layers), *_short(result), *unknown]
    total, better = (count(sum(some)) for some in ((row.n_total for row in spaces), (row.n_better for row in spaces)))
    known = (
        f"{len(layers)} layers, {si(network.params)} params, {'at least ' if names else ''}{si(network.flops)} FLOPs a "
        f"sample. {total} "
        f"configurations are known, {better} of them with fewer params and fewer FLOPs than the layer as it is."
    )
    if result is None:
        return [known, "Nothing is compressed yet: rankline compress does it.", *unknown]
    return [known, f"Run {result.run.id} ended without a trial to show: {result.run.status}.", *unknown]


def _gain(result: Outcome) -> str:
    whole, tried = result.changes[0], len(result.tried)
    saved = {metric: change(whole.reduction(metric)) for metric in ("params", "flops", "memory")}
    cost = f"at {result.change} of validation {result.measure.name}."
    if not result.measure.is_accuracy and result.value is not None:
        before, after = map(result.measure.text, (result.original_value, result.value))
        cost = f"validation {result.measure.name} {before} → {after}."
    elif result.best is not None and result.value is None:
        cost = "no accuracy is known: there were no labels."
    return (
        f"Run {result.run.id} {_end(result)} after {tried} trial{'s' if tried != 1 else ''}: "
        f"params {saved['params']}, FLOPs {saved['flops']} and memory {saved['memory']}, {cost}"
    )


def _end(result: Outcome) -> str:
    if is_under_budget(result.run):
        if result.best is not None and result.best.status == CHOSEN:
            return "kept within the budget"
        if result.run.status == SUCCESS:
            return "swept budgets"
    status = result.run.status
    return ENDS.get(status, f"ended: {status}")


def _chosen(layers: Sequence[ReportedLayer]) -> str:
    """Which method replaces which layers."""
    by_method: dict[str, list[str]] = {}
    for layer in layers:
        if layer.choice is not None and layer.choice.method is not None:
            by_method.setdefault(layer.choice.method, []).append(layer.name)
    made = sum(map(len, by_method.values()))
    if not made:
        return "Every layer is as it was."
    parts = []
    for method, names in by_method.items():
        what = " and ".join(names) if made <= NAMED else f"{len(names)} layer{'s' if len(names) != 1 else ''}"
        parts.append(f"{METHODS[method].title if method in METHODS else method} for {what}")
    left = len(layers) - made
    rest = f"; {left} layer{'s are as they were' if left > 1 else ' is as it was'}" if left else ""
    return f"Chosen: {', '.join(parts)}{rest}."


def _short(result: Outcome) -> list[str]:
    """Which trial the numbers are from, if none was chosen."""
    best = result.best
    if best is None or best.status == CHOSEN:
        return []
    if is_under_budget(result.run):
        which = "the last" if result.value is None else _best_of(result)
        return [f"The numbers are those of trial {best.number}, {which}."]
    return [
        f"No trial was within the drop allowed; the numbers are those of {_best_of(result)} one, trial {best.number}."
    ]


def _best_of(result: Outcome) -> str:
    return "the most accurate" if result.measure.is_accuracy else "the best"
