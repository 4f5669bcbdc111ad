"""Plans that prefer later layers, as published: layers are decomposed from the last to the first, all to one ratio."""

from __future__ import annotations

from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import budget_metric
from rankline.src.dse.plan import Plan

RATIO = 0.5
"""What each decomposed layer keeps, as a share of what the network keeps: below 1, so that not all are needed."""


def later_first(engine: CalibratedModel, method: str, metric: str, share: float) -> Plan:
    """The last layers by one method, as few as keep the network within a share of a metric.

    Each takes its option of least damage within RATIO of that share; a layer without one is passed over. Raises
    UserError where all layers together don't reach the share.
    """
    counted, limit = budget_metric(metric), engine.limits({metric: share})[metric]
    spent, plan = counted.of(engine.total), Plan()
    for path in reversed(engine.paths):
        if spent <= limit:
            break
        whole = counted.of(engine.options[path][0].cost)
        small = [
            one
            for one in engine.options[path]
            if one.configuration is not None
            and one.configuration.method == method
            and counted.of(one.cost) <= RATIO * share * whole
        ]
        if small:
            best = min(small, key=lambda one: one.damage)
            assert best.configuration is not None
            plan[path] = best.configuration
            spent -= whole - counted.of(best.cost)
    if spent > limit:
        raise UserError(f"all layers together keep {spent:,} {metric}, above the {limit:,} asked")
    return plan
