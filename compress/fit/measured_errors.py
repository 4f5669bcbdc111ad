"""The errors of all configurations of a trained model in one call, from its weights and optional data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.data.calibration import training_inputs
from rankline.src.compress.data.sets import Data, Named
from rankline.src.compress.fit.covariance import covariances
from rankline.src.compress.fit.error_tables import MeasuredErrors, store_spectra
from rankline.src.compress.methods import DECOMPOSITIONS, get
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.stored_layers import paths_in
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

    A network that was built again is the same one even where Keras numbers its layers on (``conv2d_7``). Returns the
    new tables, one entry for each layer and method; stored tables of the same weights and data are kept. Warns with
    LayersMissing of stored layers that the model lacks; raises UserError if it lacks all.
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
        inputs = _inputs(trained, calibrate, samples)
        parts = split(trained)
        paths = _calibrated(trained, parts, database, name, methods)
        found = covariances(parts, inputs, list(paths.values()))
        matrices = {layer: found[path].matrix for layer, path in paths.items() if path in found}
    return store_spectra(trained, database, name, methods, matrices, progress)


def _calibrated(
    trained: keras.Model, parts: keras.Model, database: Database, network: str, methods: Sequence[str] | None
) -> dict[str, str]:
    """The path in the model of each layer with a method that can measure the error of its outputs; parts: the model
    with its separable convolutions split. Raises UserError if there is none."""
    paths = paths_in(trained, database.network(network), database.layers(network))
    able = [name for name, one in DECOMPOSITIONS.items() if one.uses_covariance]
    asked = {get(name).name for name in methods or able}
    names = {row.layer for row in database.spaces(network) if row.method in asked & set(able)}
    found = {name: paths[name] for name in sorted(names & set(paths)) if refusal(parts, paths[name]) is None}
    if not found:
        raise UserError(
            "none of these layers and methods can use calibration data; leave it out, or explore the layers "
            f"by one of {', '.join(able)}"
        )
    return found


def _inputs(model: keras.Model, calibrate: Any, samples: int) -> Any:
    """An array for a model with one input, else batches."""
    if isinstance(calibrate, str | Path | Data | Named):
        given = str(calibrate) if isinstance(calibrate, Path) else calibrate
        arrays = [one[:samples] for one in training_inputs(model, given, samples)]
        return arrays[0] if len(arrays) == 1 else [arrays]
    return calibrate[:samples] if hasattr(calibrate, "shape") else calibrate
