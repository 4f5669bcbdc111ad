"""The figures of a run: its path, the similarities and reductions of its layers, and a sweep's curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rankline.src.db.records.runs import CHOSEN, ORIGINAL
from rankline.src.dse.metric import BUDGETS, FLOPS, Metric
from rankline.src.reports.figures.drawn import Drawn
from rankline.src.reports.report.layers import ReportedLayer
from rankline.src.reports.report.outcome import Outcome


def drawn_path(result: Outcome) -> Drawn | None:
    """Accuracy, or another score, against params, trial by trial; None if none is known."""
    import pandas as pd

    from rankline.src.reports.figures.run_path import run_path

    measure = result.measure
    if not any(measure.of(trial) is not None for trial in result.tried):
        return None
    best = result.best.number if result.best else None
    rows = [
        {
            "number": trial.number,
            "status": CHOSEN if trial.number == best else trial.status,
            "accuracy": measure.of(trial),
            "params": trial.cost.params,
        }
        for trial in result.trials
        if measure.of(trial) is not None
    ]
    frame = pd.DataFrame(rows, columns=["number", "status", "accuracy", "params"])
    figure = run_path(frame, result.original_value, result.run.settings.get("max_drop"), measure)
    return Drawn("run-path", f"Validation {measure.name} against params, trial by trial", figure)


def drawn_similarity(result: Outcome) -> Drawn | None:
    """Each layer's similarity in each trial; None if none is known."""
    import pandas as pd

    from rankline.src.reports.figures.similarity import similarity

    rows = [
        {"trial": trial.number, "layer": choice.layer, "similarity": choice.similarity}
        for trial in result.trials
        if trial.status != ORIGINAL
        for choice in trial.layers
        if choice.similarity is not None
    ]
    if not rows:
        return None
    return Drawn("similarity", "Similarity of each layer in each trial", similarity(pd.DataFrame(rows)))


def drawn_reductions(layers: Sequence[ReportedLayer]) -> Drawn | None:
    """The reductions of each factorized layer in the best trial; None without any."""
    import pandas as pd

    from rankline.src.reports.figures.layer_reductions import layer_reductions

    rows = [
        {
            "layer": layer.name,
            "method": layer.choice.method,
            "params_reduction": layer.params_saved,
            "flops_reduction": layer.flops_saved,
        }
        for layer in layers
        if layer.choice
    ]
    if not rows:
        return None
    return Drawn("reductions", "Reductions of params and FLOPs of each layer", layer_reductions(pd.DataFrame(rows), ""))


def drawn_curve(result: Outcome) -> Drawn | None:
    """The accuracy or damage at each budget of a sweep; None for other runs."""
    import pandas as pd

    from rankline.src.reports.figures.sweep_curve import sweep_curve

    swept = [trial for trial in result.tried if "damage" in trial.made_by]
    if len(swept) < 2 or result.original is None:
        return None
    of = _metric(swept[0].made_by)
    whole = of.of(result.original.cost)
    rows = [(of.of(one.cost) / whole, None, result.measure.of(one), one.made_by["damage"]) for one in swept]
    rows = [*sorted(rows, key=lambda row: row[0]), (1.0, None, result.original_value, None)]
    frame = pd.DataFrame(rows, columns=["kept", "test", "validation", "damage"], dtype=float)
    return Drawn("sweep-curve", "What is left at each share of the cost", sweep_curve(frame, of.title, result.measure))


def _metric(made_by: Mapping[str, Any]) -> Metric:
    """The metric of a budget, from a trial's ``keep_...``."""
    return next((BUDGETS[name] for name in BUDGETS if f"keep_{name}" in made_by), FLOPS)
