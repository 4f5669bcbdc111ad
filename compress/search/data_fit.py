"""Fits a run's trials to data before fine-tuning."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.arrays import Array, count_of, each
from rankline.src.compress.data.sets import Data
from rankline.src.compress.fit.fitted_layer import Reals, fitted_layers_of
from rankline.src.compress.fit.output_metric import METRIC_SAMPLES, output_metrics
from rankline.src.compress.fit.refit import FitSettings, Start, refit
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.compress.runs.settings import Settings
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.plan import Plan
from rankline.src.dse.progress import Progress, no_progress


def samples_of(data: Data, settings: Settings) -> list[Array]:
    """The training samples of a run, an array for each input, drawn with its seed, for measuring similarity and fits.

    They are in random order, so that the first of them can represent all where fewer are enough.
    """
    total = count_of(data.x_train)
    count = min(settings.samples, total)
    chosen: np.ndarray[Any, Any] = np.random.default_rng(settings.seed).choice(total, count, replace=False)
    return [np.asarray(one[chosen]) for one in each(data.x_train)]


class DataFit:
    """Fits factorized models to the outputs of the original, always on the same samples.

    progress: called as the output metrics are computed, the first time, and after each fitted layer.
    """

    def __init__(
        self, model: keras.Model, samples: Sequence[Array], seed: int, progress: Progress = no_progress
    ) -> None:
        self.model = model
        self.samples = samples
        self.seed = seed
        self.progress = progress

    def __call__(self, made: keras.Model, plan: Plan, paths: Collection[str] | None = None) -> None:
        """Fits a model of this plan in place: the layers at these paths, by default all (see ``refit``)."""
        settings = FitSettings(seed=self.seed)
        refit(self.model, plan, self.samples, self._metrics, settings, Start(made), paths, self.progress)

    @cached_property
    def _metrics(self) -> dict[str, Reals]:
        calls = trace(self.model)
        forward, samples = ForwardPass(calls, fitted_layers_of(calls)), [one[:METRIC_SAMPLES] for one in self.samples]
        return output_metrics(forward, samples, self.seed, self.progress)
