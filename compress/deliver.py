"""Handing over a compressed model: its file, its plan, and the figures of the file as it loads again."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from compress.data import Array, Data
from compress.plan import write_plan
from compress.search import Run
from compress.surgery import factorize
from compress.training import Score, evaluate
from db.database import Database
from db.runs import finish_run, recorded_end
from dse.errors import UserError
from dse.source import load_model

SOME = 64
"""Test samples on which the outputs of a file and of the model in memory are compared."""


@dataclass(frozen=True)
class Delivered:
    """The written files, and the scores of the reloaded model and of the original on the test part."""

    model: Path
    plan: Path
    test: Score
    original_test: Score
    bytes_on_disk: int


def deliver(run: Run, original: keras.Model, data: Data, database: Database, path: Path) -> Delivered:
    """Writes the run's model to ``path`` and its plan next to it, and closes the run with the test scores.

    The score is that of the saved and reloaded model, whose outputs must be those in memory. A run whose delivery
    fails is recorded as ``failed``.
    Raises UserError where the folder can't be written, RuntimeError where the file gives other outputs.
    """
    with recorded_end(database.engine, run.id):
        loaded = _saved_and_loaded(run.model, path, data.x_test[:SOME])
        plan = path.with_suffix(".plan.json")
        write_plan(run.plan, plan)
        test = evaluate(loaded, data.x_test, data.y_test)
        before = evaluate(original, data.x_test, data.y_test)
        finish_run(database.engine, run.id, run.status, test.accuracy, test.loss, before.accuracy)
    return Delivered(path, plan, test, before, path.stat().st_size)


def check_delivery(model: keras.Model, data: Data, folder: Path | None = None) -> None:
    """Raises UserError where a model can't be saved and loaded again: before hours of training, not after.

    What is made of the model has the same layers but for stock ones. folder: where to try, by default a temporary.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        try:
            _saved_and_loaded(model, Path(temporary) / "model.keras", data.x_test[:SOME])
        except Exception as error:  # whatever a foreign layer raises
            raise UserError(
                f"model '{model.name}' cannot be saved and loaded again, nor could what is made of it: {error}; use "
                "layers of Keras, or own ones with a get_config and @keras.saving.register_keras_serializable()"
            ) from error


def check_target(path: Path) -> None:
    """Raises UserError where a model cannot be written to ``path``: before hours of training, not after."""
    if path.suffix != ".keras":
        raise UserError(f"a model is written as a .keras file; got '{path.name}'")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: the folder {path.parent} is read-only; give another")


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a .keras file whole or not at all, without the optimizer. Raises UserError on a bad name or folder."""
    check_target(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        factorize(model, {}).save(partial)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _saved_and_loaded(model: keras.Model, path: Path, samples: Array) -> keras.Model:
    """The model of the file that ``model`` is written to. Raises RuntimeError where it gives other outputs."""
    save_model(model, path)
    loaded = load_model(str(path))
    one, other = (side.predict(samples, verbose=0) for side in (model, loaded))
    # Wrong weights give other outputs altogether. Equal ones may differ in the last of the ten bits of mantissa that
    # a GPU can compute with (TF32): it chooses an algorithm for each model by trying several.
    if not np.allclose(one, other, rtol=2e-3, atol=2e-3 * float(np.abs(one).max())):
        raise RuntimeError(f"{path} gives other outputs than the model in memory")
    return loaded
