"""Budgets as given, and the least that is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import Metric, metric
from rankline.src.dse.space import Branch, spaces_of

if TYPE_CHECKING:
    from rankline.src.compress.budget.calibrated_model import CalibratedModel, Keep


def least_possible(engine: CalibratedModel, metric: Metric) -> int:
    """The least of a metric that the whole model can have, with layers that may change at rank one if that is less."""
    saved = 0
    for path in engine.paths:
        spaces = spaces_of(engine.layers[path], engine.methods)
        saved += max(
            (_saved(space.original, branch, metric) for space in spaces for branch in space.branches), default=0
        )
    return metric.of(engine.total) - saved


def _saved(original: Cost, branch: Branch, metric: Metric) -> int:
    """What a tensor shape at rank one saves; 0 if it is not better than the original."""
    cost = branch.polynomials.cost((1,) * len(branch.steps))
    if not min(branch.steps) or cost.params >= original.params or cost.flops >= original.flops:
        return 0
    return max(0, metric.of(original) - metric.of(cost))


def check_possible(engine: CalibratedModel, keep: Mapping[str, Keep]) -> None:
    """Raises UserError if a budget is below what is possible; called before the statistics, which take long."""
    for name, limit in engine.limits(keep).items():
        if limit < (least := least_possible(engine, metric(name))):
            whole = metric(name).of(engine.total)
            least_share = -(-10_000 * least // whole) / 100
            percent = f"; for {limit} % give {limit / 100:g}" if 1 < limit <= 100 else ""
            raise UserError(
                f"a budget of {limit:,} {name} ({100 * limit / whole:.2f} % of {whole:,}) is below what is possible "
                f"with these methods and layers; the least is {least:,} ({least_share:.2f} %){percent}"
            )


def recorded(keep: Mapping[str, Keep]) -> dict[str, float | int]:
    """Budgets as JSON values: a share as a float, a whole number as an int."""
    return {metric: float(value) if value <= 1 else int(value) for metric, value in keep.items()}


def budgets_of(keep: Mapping[str, Keep | None], sweep: Mapping[str, Sequence[float]] | None) -> list[dict[str, Keep]]:
    """What each model may keep, by metric: one model for the budgets, or one for each share of a sweep, the smallest
    first.

    Raises UserError for an unknown metric, and if there is no budget, or more than two.
    """
    given = {name: value for name, value in keep.items() if value is not None}
    for name in (*given, *(sweep or {})):
        metric(name, what="budget")
    if sweep is None:
        if not 1 <= len(given) <= 2:
            raise UserError(
                "give a budget, or two at once: keep_flops, keep_params, keep_memory (--keep-flops 0.5), or a sweep"
            )
        return [given]
    if given:
        raise UserError("give a budget or a sweep, not both")
    if len(sweep) != 1 or not all(map(len, sweep.values())):
        raise UserError('a sweep is of one metric and at least one share, such as {"flops": [0.3, 0.5]}')
    return [{name: float(share)} for name, shares in sweep.items() for share in sorted(set(shares))]
