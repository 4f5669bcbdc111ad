"""The plans of a study: each method alone under budgets, and the published ways to choose Tucker's ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rankline.src.compress.baselines.vbmf import vbmf_plan
from rankline.src.compress.budget.allocate import allocate
from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.precision_study.later_first import later_first
from rankline.src.compress.precision_study.settings import PrecisionSettings
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS, PARAMS
from rankline.src.dse.numbers import percent
from rankline.src.dse.plan import Plan

ALLOCATED, LATER_FIRST, VBMF = "allocated", "later layers first", "VBMF"
"""How ranks are chosen: by least damage over all layers, as published from the last layer on, without data."""

PUBLISHED = "tucker"
"""The method whose published ways are studied beside ours."""


@dataclass(frozen=True)
class Asked:
    """A plan that is asked for: by which method, how its ranks are chosen, and what it keeps of which metric."""

    method: str
    ranks: str
    metric: str | None
    share: float | None
    make: Callable[[], Plan]

    @property
    def told(self) -> str:
        """In words."""
        kept = "" if self.share is None else f", {percent(self.share)} of the {self.metric}"
        return f"{self.method}, {self.ranks}{kept}"


def asked_plans(engine: CalibratedModel, settings: PrecisionSettings) -> Iterator[Asked]:
    """All plans of a study. ``make`` raises UserError where there is none."""
    for method in engine.methods:
        for share in settings.keep:
            yield Asked(method, ALLOCATED, FLOPS.name, share, partial(allocated, engine, method, FLOPS.name, share))
    if PUBLISHED not in engine.methods:
        return
    for share in settings.keep:
        yield Asked(PUBLISHED, ALLOCATED, PARAMS.name, share, partial(allocated, engine, PUBLISHED, PARAMS.name, share))
        for metric in (FLOPS.name, PARAMS.name):
            yield Asked(PUBLISHED, LATER_FIRST, metric, share, partial(later_first, engine, PUBLISHED, metric, share))
    yield Asked(PUBLISHED, VBMF, None, None, partial(by_vbmf, engine))


def allocated(engine: CalibratedModel, method: str, metric: str, share: float) -> Plan:
    """The plan by one method alone with the least damage within a share of a metric.

    Raises UserError where the method can't keep it, on the layers that it applies to.
    """
    own = {
        path: [one for one in some if one.configuration is None or one.configuration.method == method]
        for path, some in engine.options.items()
    }
    return allocate(own, engine.limits({metric: share}), engine.kept).plan


def by_vbmf(engine: CalibratedModel) -> Plan:
    """The plan of ``vbmf_plan``. Raises UserError where it changes no layer."""
    plan, skipped = vbmf_plan(engine.model, engine.paths)
    if not plan:
        raise UserError(f"VBMF changes none of {len(skipped)} layers")
    return plan
