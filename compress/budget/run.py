"""A run under budgets: its models made, judged, recorded and written, one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import keras

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.budget.handing_over import hand_over
from rankline.src.compress.data.calibration import Calibration
from rankline.src.compress.fit.covariance import CalibrationWarning
from rankline.src.compress.fit.refit import FitSettings
from rankline.src.compress.model.similarity import Reference
from rankline.src.compress.search.search import cost_of
from rankline.src.compress.training.epochs import EpochProgress
from rankline.src.compress.training.fine_tuning import FineTuning, Score, evaluate, fine_tune
from rankline.src.db.database import Database
from rankline.src.db.records.runs import CHOSEN, ORIGINAL, TRIED, LayerRecord, TrialRecord, record_trial
from rankline.src.dse.cost import Cost
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.plan import Plan
from rankline.src.dse.progress import Progress

SIMILARITY_SAMPLES = 256
"""Calibration samples on which feature maps are compared."""


@dataclass(frozen=True, eq=False)
class Point:
    """One budget: what was allocated, the model that came of it, and its last trial on record.

    keep: the budgets as they were asked for; held: the model where it is in memory, not in its file alone; test: the
    score of the saved and reloaded model on the test part, where there is one; file: where it lies; fit_seconds: of the
    closed-form fit alone.
    """

    keep: Mapping[str, float | int]
    allocation: Allocation
    held: keras.Model | None
    trial: TrialRecord
    test: Score | None
    file: Path | None
    fit_seconds: float

    @property
    def model(self) -> keras.Model:
        """The model; one of a sweep that was written is loaded from its file each time."""
        return load_model(str(self.file)) if self.held is None else self.held

    @property
    def plan(self) -> Plan:
        """Each factorized layer's method and ranks."""
        return self.allocation.plan


@dataclass(eq=False)
class BudgetRun:
    """A run under way: makes, judges, records and writes one model after the other.

    models: how many it makes; fit, fit_settings: how (see ``CalibratedModel.fit``).
    """

    database: Database
    run: int
    engine: CalibratedModel
    calibration: Calibration
    models: int
    fit: str
    fit_settings: FitSettings
    fine_tuning: FineTuning | None
    on_trial: Callable[[TrialRecord], None]
    callbacks: Sequence[keras.callbacks.Callback]
    progress: Progress
    count: int = 0

    def __post_init__(self) -> None:
        samples = self.calibration.samples
        # The feature maps of a network with several inputs aren't compared.
        alone = samples[0][:SIMILARITY_SAMPLES] if len(samples) == 1 else None
        self.reference = None if alone is None else Reference(self.engine.model, self.engine.paths, alone)

    def original(self) -> TrialRecord:
        """The model as it is, on record."""
        started = perf_counter()
        return self._record(ORIGINAL, self._score(self.engine.model), self.engine.total, started, ())

    def point(
        self, number: int, keep: Mapping[str, float | int], allocation: Allocation, path: Path | None, is_chosen: bool
    ) -> Point:
        """The model of an allocation: fitted, fine-tuned if that is wanted, on record and in its file.

        number: of this model among all, from 1; is_chosen: whether it is the run's result, and not one of a sweep,
        whose models are let go of as soon as they are written.
        """
        started = perf_counter()
        of = "" if self.models == 1 else f"model {number} of {self.models}: "

        def progress(label: str, done: int, total: int) -> None:
            self.progress(f"{of}{label}", done, total)

        progress(f"fitting to {'data' if self.fit == 'data' else 'weights'}", 0, 0)
        with silent() if self.engine.value != "uniform" else told_once():
            model = self.engine.fit(allocation.plan, self.fit, self.fit_settings, progress)
        fitted = perf_counter() - started
        progress("judging", 0, 0)
        # Taken with the fit alone: fine-tuning moves feature maps on purpose.
        layers = self._layers(allocation, model)
        last = CHOSEN if is_chosen else TRIED
        made_by: dict[str, Any] = {f"keep_{metric}": value for metric, value in keep.items()}
        made_by["damage"] = float(f"{allocation.damage:.4g}")
        status = last if self.fine_tuning is None else TRIED
        trial = self._record(status, self._score(model), cost_of(model), started, layers, fitted, made_by)
        if self.fine_tuning is not None and self.calibration.data is not None:
            data, started = self.calibration.data, perf_counter()
            train, validation = (data.x_train, data.y_train), (data.x_validation, data.y_validation)
            callbacks = [*self.callbacks, EpochProgress(progress)]
            fine_tune(model, train, validation, self.fine_tuning, self.engine.seed, callbacks)
            made_by |= {"fine_tuned": f"{self.fine_tuning.epochs} epochs"}
            trial = self._record(last, self._score(model), cost_of(model), started, layers, 0.0, made_by)
        written = model
        if path is not None:
            progress("writing", 0, 0)
            path.parent.mkdir(parents=True, exist_ok=True)
            written = hand_over(model, allocation.plan, allocation.cost, path, self.calibration.samples)
        test = None if self.calibration.data is None else evaluate(written, *labelled_test(self.calibration))
        held = model if is_chosen or path is None else None
        return Point(keep, allocation, held, trial, test, path, fitted)

    def _score(self, model: keras.Model) -> Score | None:
        """On the validation part, where there is one."""
        data = self.calibration.data
        return None if data is None else evaluate(model, data.x_validation, data.y_validation)

    def _layers(self, allocation: Allocation, model: keras.Model) -> tuple[LayerRecord, ...]:
        plan = allocation.plan
        alike = self.reference.similarities(model, plan) if self.reference is not None and plan else {}
        records = []
        for path, option in allocation.options.items():
            # Fitted to data, a layer that keeps its shape has other weights.
            same = None if self.fit == "data" else 1.0
            similarity = same if option.configuration is None else alike.get(path)
            records.append(LayerRecord(path, option.configuration, option.cost, similarity))
        return tuple(records)

    def _record(
        self,
        status: str,
        score: Score | None,
        cost: Cost,
        started: float,
        layers: tuple[LayerRecord, ...],
        making: float = 0.0,
        made_by: Mapping[str, Any] | None = None,
    ) -> TrialRecord:
        accuracy, loss = (score.accuracy, score.loss) if score else (None, None)
        seconds = perf_counter() - started
        trial = TrialRecord(self.count, status, accuracy, loss, cost, seconds, layers, making, made_by=made_by or {})
        record_trial(self.database.engine, self.run, trial)
        self.count += 1
        self.on_trial(trial)
        return trial


def labelled_test(calibration: Calibration) -> tuple[Any, Any]:
    """Inputs and labels that are used for nothing but the figures that are told."""
    assert calibration.data is not None
    return calibration.data.x_test, calibration.data.y_test


@contextmanager
def told_once() -> Iterator[None]:
    """Warnings of calibration, each once: several statistics are taken of the same samples."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CalibrationWarning)
        yield
    for text, category in dict.fromkeys((str(one.message), one.category) for one in caught):
        warnings.warn(text, category, stacklevel=4)


@contextmanager
def silent() -> Iterator[None]:
    """Without what was told of the samples already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        yield
