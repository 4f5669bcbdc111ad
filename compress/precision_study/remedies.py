"""CP in eight bits, before and after each remedy: smaller terms, balanced factors, and the fit to what is rounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras

from rankline.src.compress.budget.allocate import Allocation, Option, allocate
from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.fit.balanced import balanced
from rankline.src.compress.fit.refit import FitSettings, Start, refit
from rankline.src.compress.model.growth import growths
from rankline.src.compress.precision_study.rows import Remedied
from rankline.src.compress.precision_study.scoring import Scoring
from rankline.src.dse.metric import FLOPS

CP = "cp"

Step = tuple[str, keras.Model, bool]
"""Remedies in words, a model, and whether it is fitted to what its precision rounds."""


def remedied(engine: CalibratedModel, scoring: Scoring, precisions: Sequence[str], share: float) -> Iterator[Remedied]:
    """A row for each set of remedies and precision, for CP alone at a share of the FLOPs.

    Raises UserError where CP can't keep the share.
    """
    own = {path: [one for one in some if _is_cp(one)] for path, some in engine.options.items()}
    chosen = allocate(own, engine.limits({FLOPS.name: share}), engine.kept)
    for remedies, model, is_fitted in steps(engine, chosen):
        float_score = scoring.in_keras(model)
        growth = max(growths(model, chosen.plan).values())
        for precision in precisions:
            filed = scoring.in_file(model, precision, is_fitted, float_score)
            yield Remedied(remedies, share, growth, filed, scoring.lost(filed.score))


def steps(engine: CalibratedModel, chosen: Allocation) -> Iterator[Step]:
    """The models in their order. In all of them the last factors are fitted to data in floats."""
    yield "none: factors as least squares leave them", _plain(engine, chosen), False
    stable = engine.fit(chosen.plan)
    yield "small terms", stable, False
    yield "small terms, balanced factors", balanced(stable, engine.samples), False
    yield "small terms, balanced factors, fit to what is rounded", stable, True


def _is_cp(option: Option) -> bool:
    return option.configuration is None or option.configuration.method == CP


def _plain(engine: CalibratedModel, chosen: Allocation) -> keras.Model:
    """The plan with the factors that priced it, which are not corrected."""
    factors = {path: one.factors for path, one in chosen.options.items() if one.factors is not None}
    settings = FitSettings(seed=engine.settings.seed)
    start = Start(engine.made(chosen.plan), factors)
    return refit(engine.model, chosen.plan, engine.samples, engine.output_metrics, settings, start, engine.paths)
