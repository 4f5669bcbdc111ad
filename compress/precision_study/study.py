"""The study of one trained model: factorized, rounded, and both.

Published work on Tucker-2 with 8-bit integers finds that what the two take from accuracy nearly adds up, so that each
can be chosen by itself. Here it is measured for every method.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import keras

from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.budget.settings import BudgetSettings
from rankline.src.compress.data.calibration import calibration_of
from rankline.src.compress.data.sets import Data
from rankline.src.compress.data.trained_scale import check_scale
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.conversion import input_shapes
from rankline.src.compress.deploy.judged import judged_in
from rankline.src.compress.fit.rounding import ROUNDINGS
from rankline.src.compress.precision_study.baselines import (
    at_precision,
    by_flops_alone,
    by_pruning,
    rounding_alone,
    with_rounding,
)
from rankline.src.compress.precision_study.plans import Asked, asked_plans
from rankline.src.compress.precision_study.remedies import CP, remedied
from rankline.src.compress.precision_study.rows import ORIGINAL, Baseline, Filed, Pair, PrecisionStudy, Remedied
from rankline.src.compress.precision_study.scoring import Scoring
from rankline.src.compress.precision_study.settings import PrecisionSettings
from rankline.src.compress.training.labelled import judged_for
from rankline.src.compress.training.settings import AS_COMPILED, Aim
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS, PARAMS
from rankline.src.dse.numbers import percent
from rankline.src.dse.progress import Progress, no_progress

T = TypeVar("T")


def study_precisions(
    model: keras.Model,
    given: Any,
    settings: PrecisionSettings | None = None,
    source: str | None = None,
    aim: Aim = AS_COMPILED,
    progress: Progress = no_progress,
) -> PrecisionStudy:
    """Studies a trained model at all precisions of the settings: each method alone, baselines, and CP's remedies.

    - ``given``: labelled data as ``rankline.compress`` takes it; plans and fits take inputs of its training part, and
      scores are those of its test part
    - ``source``: the model's MODEL text, where it was loaded from one
    - ``aim``: by what it is judged, where that doesn't follow from the model

    A plan that can't be made, or whose file can't be written, is left out with the reason. Raises UserError for data
    without labels or that doesn't fit, where a package is missing, and where the model itself can't be written.
    """
    how = settings or PrecisionSettings()
    runtime = runtimes.get(how.runtime)
    for precision in how.precisions:
        runtime.check(precision)
    input_shapes(model, 1)
    data, task = judged_for(model, given, source, aim)
    judged = judged_in(data, task).some(how.test_samples)
    samples = calibration_of(model, data, how.samples, how.seed, source, aim).samples
    check_scale(model, samples)
    scoring = Scoring(model, runtime, samples, judged)
    progress("files of the original", 0, 0)
    originals = {
        one: scoring.in_file(model, one, how.is_fitted, scoring.float_score) for one in dict.fromkeys(how.precisions)
    }
    budget = BudgetSettings(methods=how.methods, samples=how.samples, seed=how.seed)
    engine = CalibratedModel(model, samples, (FLOPS.name, PARAMS.name), budget, progress)
    work = _Work(engine, scoring, how, data, progress)
    return PrecisionStudy(
        network=str(model.name),
        measure=task.measure,
        data=judged.name,
        samples=len(judged.y[0]),
        runtime=f"{runtime.title} {runtime.version()}",
        pairs=tuple(work.pairs(originals)),
        baselines=tuple(work.baselines()),
        remedies=tuple(work.remedies()),
        left_out=tuple(work.left_out),
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """What all parts of a study take, and what they had to leave out so far."""

    engine: CalibratedModel
    scoring: Scoring
    settings: PrecisionSettings
    data: Data
    progress: Progress
    left_out: list[str] = field(default_factory=list)

    @property
    def integers(self) -> Sequence[str]:
        """The precisions that a network can be fitted to."""
        return [one for one in self.settings.precisions if one in ROUNDINGS]

    def pairs(self, originals: Mapping[str, Filed]) -> Iterator[Pair]:
        """The original, and every plan, at every precision."""
        for filed in originals.values():
            yield self._pair(Asked(ORIGINAL, ORIGINAL, None, None, dict), filed, filed)
        asked = list(asked_plans(self.engine, self.settings))
        for number, one in enumerate(asked):
            self.progress(one.told, number, len(asked))
            yield from self._tried(one.told, self._of_plan(one, originals))

    def _of_plan(self, asked: Asked, originals: Mapping[str, Filed]) -> Iterator[Pair]:
        made = self.engine.fit(asked.make())
        float_score = self.scoring.in_keras(made)
        for precision, original in originals.items():
            filed = self.scoring.in_file(made, precision, self.settings.is_fitted, float_score)
            yield self._pair(asked, filed, original)

    def _pair(self, asked: Asked, filed: Filed, original: Filed) -> Pair:
        lost = self.scoring.lost
        rounding, both = lost(original.score), lost(filed.score)
        return Pair(
            asked.method, asked.ranks, asked.metric, asked.share, filed, lost(filed.float_score), rounding, both
        )

    def baselines(self) -> Iterator[Baseline]:
        """Nothing where no precision of integers is studied."""
        if not self.integers:
            return
        yield from rounding_alone(self.scoring, self.integers)
        aware = {one: at_precision(self.engine, one, self.settings.runtime) for one in self.integers}
        for number, share in enumerate(self.settings.keep):
            self.progress("baselines", number, len(self.settings.keep))
            kept = f"at {percent(share)} of the FLOPs"
            made = by_flops_alone(self.engine, self.scoring, self.integers, share)
            yield from self._tried(f"plan by FLOPs alone {kept}", made)
            with_it = (with_rounding(engine, self.scoring, one, share) for one, engine in aware.items())
            yield from self._tried(f"plan with rounding in the damage {kept}", with_it)
            pruned = by_pruning(self.scoring, self.data, self.integers, share, self.settings)
            yield from self._tried(f"pruned filters {kept}", pruned)

    def remedies(self) -> Iterator[Remedied]:
        """Nothing where CP or integers aren't studied."""
        if CP not in self.engine.methods or not self.integers:
            return
        for number, share in enumerate(self.settings.keep):
            self.progress("remedies for CP", number, len(self.settings.keep))
            made = remedied(self.engine, self.scoring, self.integers, share)
            yield from self._tried(f"remedies for CP at {percent(share)} of the FLOPs", made)

    def _tried(self, what: str, rows: Iterable[T]) -> Iterator[T]:
        """The rows, as far as they can be made."""
        try:
            yield from rows
        except UserError as error:
            self.left_out.append(f"{what}: {error}")
