"""Budgets as given, and the least that is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import BYTES, Metric, budget_metric
from rankline.src.dse.numbers import percent
from rankline.src.dse.space import Branch, Space

if TYPE_CHECKING:
    from rankline.src.compress.budget.calibrated_model import CalibratedModel, Keep


def most_saved(engine: CalibratedModel, metric: Metric) -> dict[str, int]:
    """The most of a metric that each layer that may change can save, at rank one; 0 where that is not less."""
    from rankline.src.compress.budget.pricing import spaces_on  # needs Keras, which takes seconds

    return {
        path: max(
            (
                _saved(engine, path, space, branch, metric)
                for space in spaces_on(engine.device, engine.layers[path], engine.methods)
                for branch in space.branches
            ),
            default=0,
        )
        for path in engine.paths
    }


def _saved(engine: CalibratedModel, path: str, space: Space, branch: Branch, metric: Metric) -> int:
    """What a tensor shape at rank one saves of a layer; 0 if it is not better than the original."""
    ranks, original = (1,) * len(branch.steps), space.original
    cost = branch.cost(ranks)
    if not min(branch.steps) or cost.params >= original.params or cost.flops >= original.flops:
        return 0
    if metric == BYTES:
        layer, at = engine.layers[path], engine.precision
        return max(0, at.stored(layer, None) - at.stored(layer, Configuration(space.method, ranks, branch.shape)))
    return max(0, metric.of(original) - metric.of(cost))


def check_possible(engine: CalibratedModel, keep: Mapping[str, Keep]) -> None:
    """Raises UserError if a budget is below what is possible, with the layers that stay as they are and why; called
    before the statistics, which take long."""
    for name, limit in engine.limits(keep).items():
        one = budget_metric(name)
        saved, whole = most_saved(engine, one), one.of(engine.total)
        if limit < (least := one.of(engine.warm) - sum(saved.values())):
            least_share = -(-10_000 * least // whole) / 100
            meant = f"; for {limit} % give {limit / 100:g}" if 1 < limit <= 100 and not one.needs_device else ""
            raise UserError(
                f"a budget of {one.text(limit)} {name} ({100 * limit / whole:.2f} % of {one.text(whole)}) is below "
                f"what is possible with these methods and layers; the least is {one.text(least)} ({least_share:.2f} %)"
                f"{meant}{_unchanged(engine, one, saved)}"
            )


def _unchanged(engine: CalibratedModel, metric: Metric, saved: Mapping[str, int]) -> str:
    """The layers that can't be made smaller, those with the most of the metric first, as the end of a sentence."""
    from rankline.src.compress.budget.calibrated_model import by_reason  # needs Keras, which takes seconds

    reasons = engine.skipped | dict.fromkeys(
        (path for path, most in saved.items() if not most), "no rank of these methods makes it smaller"
    )
    costs = {name: metric.of(engine.costs[name]) for name in reasons}
    named = {name: reasons[name] for name in sorted(costs, key=lambda name: -costs[name]) if costs[name]}
    if not named:
        return ""
    return f"; {percent(sum(costs.values()) / metric.of(engine.total))} are in layers that stay: {by_reason(named)}"


def recorded(keep: Mapping[str, Keep]) -> dict[str, float | int]:
    """Budgets as JSON values: a share as a float, a whole number as an int."""
    return {metric: float(value) if value <= 1 else int(value) for metric, value in keep.items()}


def asked_text(keep: Mapping[str, Keep]) -> str:
    """Budgets as people read them: ``50 % of the FLOPs and 9,000 params``."""
    return " and ".join(
        f"{100 * value:g} % of the {budget_metric(name).title}"
        if isinstance(value, float)
        else f"{budget_metric(name).text(int(value))} {budget_metric(name).title}"
        for name, value in keep.items()
    )


def budgets_of(keep: Mapping[str, Keep | None], sweep: Mapping[str, Sequence[float]] | None) -> list[dict[str, Keep]]:
    """What each model may keep, by metric: one model for the budgets, or one for each share of a sweep, the smallest
    first.

    Raises UserError for an unknown metric, and if there is no budget, or more than two.
    """
    given = {name: value for name, value in keep.items() if value is not None}
    for name in (*given, *(sweep or {})):
        budget_metric(name)
    if sweep is None:
        if not 1 <= len(given) <= 2:
            raise UserError(
                "give a budget, or two at once: keep_flops, keep_params, keep_memory, keep_bytes, keep_latency "
                "(--keep-flops 0.5), or a sweep"
            )
        return [given]
    if given:
        raise UserError("give a budget or a sweep, not both")
    if len(sweep) != 1 or not all(map(len, sweep.values())):
        raise UserError('a sweep is of one metric and at least one share, such as {"flops": [0.3, 0.5]}')
    return [{name: float(share)} for name, shares in sweep.items() for share in sorted(set(shares))]
