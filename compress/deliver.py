"""Handing over a compressed model: its file, its plan, and the figures of the file as it loads again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from compress.data import Data
from compress.plan import write_plan
from compress.search import Run
from compress.surgery import factorize
from compress.training import Score, evaluate
from db.database import Database
from db.runs import finish_run
from dse.errors import UserError
from dse.source import load_model


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

    The score is that of the saved and reloaded model, whose outputs must equal those in memory.
    Raises UserError where the folder can't be written, RuntimeError where the file gives other outputs.
    """
    save_model(run.model, path)
    plan = path.with_suffix(".plan.json")
    write_plan(run.plan, plan)
    loaded = load_model(str(path))
    some = data.x_test[:64]
    if not np.array_equal(loaded.predict(some, verbose=0), run.model.predict(some, verbose=0)):
        raise RuntimeError(f"{path} gives other outputs than the model in memory")
    test = evaluate(loaded, data.x_test, data.y_test)
    before = evaluate(original, data.x_test, data.y_test)
    finish_run(database.engine, run.id, run.status, test.accuracy, test.loss, before.accuracy)
    return Delivered(path, plan, test, before, path.stat().st_size)


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
