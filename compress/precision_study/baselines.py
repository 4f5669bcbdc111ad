"""What a plan for a precision is compared with: rounding alone, a plan that knows no rounding, and filter pruning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.data.sets import Data
from rankline.src.compress.precision_study.pruned import mended, pruned_to
from rankline.src.compress.precision_study.rows import Baseline
from rankline.src.compress.precision_study.scoring import Scoring
from rankline.src.compress.precision_study.settings import PrecisionSettings
from rankline.src.dse.metric import FLOPS

FITTED, NOT_FITTED = "fitted to what is rounded", "not fitted"


def rounding_alone(scoring: Scoring, precisions: Sequence[str]) -> Iterator[Baseline]:
    """The original, not fitted and fitted."""
    for precision in precisions:
        for how, is_fitted in ((NOT_FITTED, False), (FITTED, True)):
            filed = scoring.in_file(scoring.original, precision, is_fitted, scoring.float_score)
            yield Baseline(f"the original, {how}", None, filed, scoring.lost(filed.score))


def by_flops_alone(
    engine: CalibratedModel, scoring: Scoring, precisions: Sequence[str], share: float
) -> Iterator[Baseline]:
    """A plan by all methods whose damage is that in floats, not fitted and fitted. Raises UserError."""
    made = engine.fit(engine.allocate({FLOPS.name: share}).plan)
    float_score = scoring.in_keras(made)
    for precision in precisions:
        for how, is_fitted in ((NOT_FITTED, False), (FITTED, True)):
            filed = scoring.in_file(made, precision, is_fitted, float_score)
            yield Baseline(f"plan by FLOPs alone, {how}", share, filed, scoring.lost(filed.score))


def with_rounding(engine: CalibratedModel, scoring: Scoring, precision: str, share: float) -> Baseline:
    """A plan by all methods whose damage includes the rounding of ``engine``'s precision. Raises UserError."""
    made = engine.fit(engine.allocate({FLOPS.name: share}).plan)
    filed = scoring.in_file(made, precision, True, scoring.in_keras(made))
    return Baseline(f"plan with rounding in the damage, {FITTED}", share, filed, scoring.lost(filed.score))


def at_precision(engine: CalibratedModel, precision: str, runtime: str) -> CalibratedModel:
    """The same engine with the rounding of a precision in the damage of its options."""
    settings = replace(engine.settings, precision=precision, runtime=runtime)
    return CalibratedModel(engine.model, engine.samples, (FLOPS.name,), settings, engine.progress)


def by_pruning(
    scoring: Scoring, data: Data, precisions: Sequence[str], share: float, settings: PrecisionSettings
) -> Iterator[Baseline]:
    """Filters pruned to a share of the FLOPs, not fitted to what is rounded. Raises UserError."""
    made = pruned_to(scoring.original, share)
    how = mended(made, data, scoring.judged.task, scoring.samples, settings.prune_epochs, settings.seed)
    float_score = scoring.in_keras(made)
    for precision in precisions:
        filed = scoring.in_file(made, precision, False, float_score)
        yield Baseline(f"filters pruned by L1, {how}, {NOT_FITTED}", share, filed, scoring.lost(filed.score))
