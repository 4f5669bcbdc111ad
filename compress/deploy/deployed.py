"""A Keras model written for a runtime, and what became of it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.arrays import Array, joined
from rankline.src.compress.data.calibration import Calibration
from rankline.src.compress.data.trained_scale import check_scale
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.batches import in_batches
from rankline.src.compress.deploy.conversion import input_shapes
from rankline.src.compress.deploy.digests import weights_digest
from rankline.src.compress.deploy.formats import target_of
from rankline.src.compress.deploy.judged import Judged
from rankline.src.compress.deploy.measure import check_counts
from rankline.src.compress.deploy.measured_file import batch_of, measured
from rankline.src.compress.deploy.runtime import Arrays, Session, random_input
from rankline.src.compress.deploy.settings import DeploySettings
from rankline.src.compress.fit.balanced import balanced
from rankline.src.compress.fit.rounded_refit import refit_rounded
from rankline.src.compress.fit.rounding import ROUNDINGS, rounded_as
from rankline.src.compress.model.files import outputs_of
from rankline.src.compress.model.rebuild import is_graph
from rankline.src.compress.training.fine_tuning import evaluate
from rankline.src.db.records.measurements import Measurement
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import precision_named
from rankline.src.dse.progress import Progress, no_progress
from rankline.src.dse.whole_file import whole_file

COMPARED = 32
"""Samples on which the file's outputs are compared with the Keras model's."""

MOST_APART = 4
"""How many times larger the root mean square of the data to score on may be than that of the calibration data, or
smaller."""


def deploy(
    model: keras.Model,
    path: Path,
    settings: DeploySettings,
    calibration: Calibration | None = None,
    judged: Judged | None = None,
    progress: Progress = no_progress,
) -> Measurement:
    """Writes a model for a runtime, then loads and measures what was written.

    - ``path``: the file
    - ``calibration``: samples for a precision that needs them
    - ``judged``: what to score the file and the Keras model on; None: nothing

    The file is there when all of it went well. Raises UserError as ``Runtime.export`` does, and for calibration data of
    another range than the data to score on.
    """
    runtime, precision = runtimes.get(target_of(path, settings.to)), precision_named(settings.precision)
    check_counts(settings.threads, settings.batch)
    samples = calibration.samples if calibration else None
    if precision.needs_samples and samples:
        check_scale(model, samples)
        if judged is not None and calibration is not None and calibration.name != judged.name:
            _check_ranges(samples, judged)
    made = ready(model, runtime.name, precision.name, samples, progress) if settings.fit else model
    with whole_file(path) as partial:
        progress(f"converting for {runtime.title}", 0, 0)
        runtime.export(made, partial, settings.batch, precision.name, samples)
        session = runtime.load(partial, settings.threads)
        facts: dict[str, Any] = {
            "precision": precision.name,
            "model": weights_digest(model),
            "difference": difference(model, session, _compared(model, samples, judged)),
            "settings": _settings(calibration, precision.needs_samples, made is not model),
        }
        if judged is not None:
            facts["keras_score"] = _keras_score(model, judged)
        return measured(partial, path.name, runtime, session, settings.threads, judged, facts, progress)


def ready(
    model: keras.Model, runtime: str, precision: str, samples: Arrays | None, progress: Progress = no_progress
) -> keras.Model:
    """The model that a precision harms least in a runtime: balanced factors, fitted to what is left after rounding.

    The model itself at precisions that round nothing that matters, without samples, and where its graph isn't known.
    """
    if precision not in ROUNDINGS or samples is None or not is_graph(model):
        return model
    even = balanced(model, samples, progress=progress)
    return refit_rounded(even, samples, rounded_as(runtime, precision), progress=progress)


def difference(model: keras.Model, session: Session, samples: Arrays) -> float:
    """The largest difference of a file's outputs from the Keras model's, as a fraction of the range of these: of all
    outputs that there are."""
    apart = []
    for one, other in zip(outputs_through(session, samples), outputs_of(model, samples), strict=True):
        span = float(np.ptp(other)) or float(np.abs(other).max()) or 1.0
        apart.append(float(np.abs(one - other).max()) / span)
    return max(apart)


def outputs_through(session: Session, samples: Arrays) -> list[Array]:
    """All outputs of a file for samples, an array (n, ...) for each input."""
    batches = [session.run(one) for one in in_batches(samples, batch_of(session))]
    return [np.concatenate(parts)[: len(samples[0])] for parts in zip(*batches, strict=True)]


def _compared(model: keras.Model, samples: Arrays | None, judged: Judged | None) -> list[Array]:
    """Real inputs where there are any."""
    given = judged.x if judged is not None else samples
    if given:
        return [np.asarray(one[:COMPARED], wanted.dtype) for one, wanted in zip(given, model.inputs, strict=True)]
    shapes = input_shapes(model, COMPARED)
    return [random_input(shape, one.dtype) for shape, one in zip(shapes, model.inputs, strict=True)]


def _keras_score(model: keras.Model, judged: Judged) -> float | None:
    found = evaluate(model, joined(judged.x), joined(list(judged.y)), task=judged.task)
    return found.accuracy if judged.task.measure.is_accuracy else found.metric


def _check_ranges(samples: Arrays, judged: Judged) -> None:
    """Raises UserError for calibration samples of floats that are scaled otherwise than those to score on."""
    for one, other in zip(samples, judged.x, strict=False):
        here, there = (float(np.sqrt(np.mean(np.square(some, dtype=np.float64)))) for some in (one, other))
        is_float = np.issubdtype(one.dtype, np.floating)
        if is_float and here and there and not here * MOST_APART >= there >= here / MOST_APART:
            low, high, least, most = one.min(), one.max(), other.min(), other.max()
            raise UserError(
                f"the calibration data ranges from {low:.4g} to {high:.4g}, the data to score on from {least:.4g} to "
                f"{most:.4g}; scale both as the model takes them (--rescale, --mean, --std)"
            )


def _settings(calibration: Calibration | None, is_calibrated: bool, is_fitted: bool) -> dict[str, Any]:
    if calibration is None or not (is_calibrated or is_fitted):
        return {}
    facts = {"data": calibration.name, "samples": len(calibration.samples[0]), "is_fitted": is_fitted}
    return {"calibration": facts}
