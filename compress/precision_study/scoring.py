"""What models are worth in Keras, and as files through a runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
from numpy.typing import NDArray

from rankline.src.compress.deploy.deployed import ready
from rankline.src.compress.deploy.judged import Judged
from rankline.src.compress.deploy.runtime import Runtime
from rankline.src.compress.fit.rounding import ROUNDINGS
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.files import outputs_of
from rankline.src.compress.precision_study.rows import Filed
from rankline.src.dse.cost import Cost
from rankline.src.dse.progress import Progress, no_progress

BATCH = 256
"""Samples in a call of Keras. Files take one: the ranges of int8-dynamic are those of a call."""


@dataclass(frozen=True, eq=False)
class Scoring:
    """Scores models made of an original on one set of samples.

    samples: an array for each input, without labels, for ranges and fits.
    """

    original: keras.Model
    runtime: Runtime
    samples: Sequence[NDArray[Any]]
    judged: Judged
    progress: Progress = no_progress

    def in_keras(self, model: keras.Model) -> float:
        """The score of a Keras model. Raises DivergedError where its outputs are NaN or infinite."""
        return self.judged.score(lambda given: outputs_of(model, given), BATCH, model.name, self.progress)

    def in_file(self, model: keras.Model, precision: str, is_fitted: bool, float_score: float) -> Filed:
        """A model as a file. float_score: its own in Keras, which many files share.

        Raises UserError where it can't be written or run.
        """
        has_fit = is_fitted and precision in ROUNDINGS
        made = ready(model, self.runtime.name, precision, self.samples) if has_fit else model
        cost = cost_of(model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{self.runtime.suffix}"
            self.runtime.export(made, path, 1, precision, self.samples)
            session = self.runtime.load(path, 1)
            return Filed(
                params=cost.params / self.whole.params,
                flops=cost.flops / self.whole.flops,
                precision=precision,
                is_fitted=has_fit,
                bytes=path.stat().st_size,
                float_score=float_score,
                score=self.judged.score(session.run, 1, model.name, self.progress),
            )

    @cached_property
    def whole(self) -> Cost:
        """The cost of the original."""
        return cost_of(self.original)

    @cached_property
    def float_score(self) -> float:
        """The original's score in Keras."""
        return self.in_keras(self.original)

    def lost(self, score: float) -> float:
        """How much worse a score is than the original's in Keras; above zero is worse."""
        change = self.float_score - score
        return change if self.judged.task.measure.is_higher_better else -change
