"""The errors of all configurations of a trained model in one call, from its weights and optional data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.data.sets import Data, load_inputs
from rankline.src.compress.fit.covariance import covariances
from rankline.src.compress.fit.error_tables import MeasuredErrors, store_spectra
from rankline.src.compress.methods import DECOMPOSITIONS, get
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.surgery import refusal
from rankline.src.db.database import Database, open_database
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model, network_name
from rankline.src.dse.progress import Progress, no_progress


def measure_errors(
    model: keras.Model | str,
    db: Database | str = "rankline.db",
    *,
    network: str | None = None,
    methods: Sequence[str] | None = None,
    calibrate: Data | str | Any = None,
    samples: int = 1024,
    progress: Progress = no_progress,
) -> list[MeasuredErrors]:
    """Stores the error of every explored configuration of a trained model, for use in queries.

    - ``model``: the trained Keras model that was explored, or its MODEL text
    - ``db``: the database, or its path or URL
    - ``network``: its name in the database
    - ``methods``: by default all that were explored
    - ``calibrate``: inputs as the model takes them (an array, batches, a tf.data set), ``Data`` or a data name,
      without labels; methods that can, then measure the error of the layer's outputs
    - ``samples``: how many training inputs are used, the first ones; batches are all used
    - ``progress``: called after each layer and method

    Returns the new tables, one entry for each layer and method; stored tables of the same weights and data are kept.
    Raises UserError.
    """
    if samples < 1:
        raise UserError(f"samples must be at least 1; got {samples}")
    trained = load_model(model) if isinstance(model, str) else model
    database = open_database(db, create=False) if isinstance(db, str) else db
    name = network or (network_name(model) if isinstance(model, str) else trained.name)
    known = [row.name for row in database.networks()]
    if name not in known:
        raise UserError(
            f"network '{name}' is not explored (the database has: {', '.join(known) or 'none'}); give its name, or "
            f"explore it first with: rankline explore MODEL --name {name}"
        )
    matrices = {}
    if calibrate is not None:
        inputs = _inputs(calibrate, samples)
        parts = split(trained)
        found = covariances(parts, inputs, _calibrated(parts, database, name, methods))
        matrices = {path: one.matrix for path, one in found.items()}
    return store_spectra(trained, database, name, methods, matrices, progress)


def _calibrated(trained: keras.Model, database: Database, network: str, methods: Sequence[str] | None) -> list[str]:
    """The layers with a method that can measure the error of their outputs. Raises UserError if there is none."""
    able = [name for name, one in DECOMPOSITIONS.items() if one.uses_covariance]
    asked = {get(name).name for name in methods or able}
    paths = {row.layer for row in database.spaces(network) if row.method in asked & set(able)}
    found = sorted(path for path in paths if refusal(trained, path) is None)
    if not found:
        raise UserError(
            "none of these layers and methods can use calibration data; leave it out, or explore the layers "
            f"by one of {', '.join(able)}"
        )
    return found


def _inputs(calibrate: Any, samples: int) -> Any:
    if isinstance(calibrate, str | Path):
        calibrate = load_inputs(str(calibrate))
    if isinstance(calibrate, Data):
        calibrate = calibrate.x_train
    return calibrate[:samples] if hasattr(calibrate, "shape") else calibrate
