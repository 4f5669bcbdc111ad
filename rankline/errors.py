"""The errors of a trained model's configurations in one call: look at the weights, and at data if there is any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from compress.covariance import covariances
from compress.data import Data, load
from compress.methods import DECOMPOSITIONS
from compress.spectra import Looked, store_spectra
from db.database import Database, open_database
from dse.errors import UserError
from dse.source import load_model, network_name


def measure_errors(
    model: keras.Model | str,
    db: Database | str = "rankline.db",
    *,
    network: str | None = None,
    methods: Sequence[str] | None = None,
    calibrate: Data | str | Any = None,
    samples: int = 1024,
    progress: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> list[Looked]:
    """Stores the error of every explored configuration of a trained model, so that queries can ask for it.

    model: the trained Keras model that was explored, or its MODEL text; network: its name in the database.
    calibrate: inputs as the model takes them (an array, batches, a tf.data set), ``compress.data.Data`` or a data
    name, of which the first ``samples`` training inputs are used: the methods that can then tell the error of the
    layer's outputs; no labels are needed.
    Returns what was made now, a line a layer and method. Raises UserError.
    """
    if samples < 1:
        raise UserError(f"samples must be at least 1; got {samples}")
    trained = load_model(model) if isinstance(model, str) else model
    database = open_database(db, create=False) if isinstance(db, str) else db
    name = network or (network_name(model) if isinstance(model, str) else trained.name)
    matrices = {}
    if calibrate is not None:
        paths = {
            row["layer"]
            for row in database.spaces(name)
            if row["method"] in DECOMPOSITIONS and DECOMPOSITIONS[row["method"]].uses_covariance
        }
        found = covariances(trained, _inputs(calibrate, samples), sorted(paths))
        matrices = {path: one.matrix for path, one in found.items()}
    return store_spectra(trained, database, name, methods, matrices, progress)


def _inputs(calibrate: Any, samples: int) -> Any:
    if isinstance(calibrate, str | Path):
        calibrate = load(str(calibrate))
    if isinstance(calibrate, Data):
        calibrate = calibrate.x_train
    return calibrate[:samples] if hasattr(calibrate, "__getitem__") else calibrate
