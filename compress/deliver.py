"""Handing over a compressed model: its file, its plan, and the figures of the file as it loads again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from compress.data import Array, Data
from compress.model_card import model_card
from compress.model_file import save_model
from compress.plan import write_plan
from compress.search import Run, cost_of
from compress.training import Score, evaluate
from db.database import Database
from db.export import write_text
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
    card: Path
    test: Score
    original_test: Score
    bytes_on_disk: int


def deliver(run: Run, original: keras.Model, data: Data, database: Database, path: Path) -> Delivered:
    """Writes the run's model to ``path``, its plan and a model card next to it; closes the run with the test scores.

    The score is that of the saved and reloaded model, whose outputs must be those in memory. A run whose delivery
    fails is recorded as ``failed``.
    Raises UserError where the folder can't be written, RuntimeError where the file gives other outputs.
    """
    with recorded_end(database.engine, run.id):
        loaded = _saved_and_loaded(run.model, path, data.x_test[:SOME])
        plan = path.with_suffix(".plan.json")
        write_plan(run.plan, plan)
        counted = cost_of(loaded)
        if counted != run.chosen.cost:
            raise RuntimeError(f"{path} has {counted.params:,} params and {counted.flops:,} FLOPs, not those on record")
        test = evaluate(loaded, data.x_test, data.y_test)
        before = evaluate(original, data.x_test, data.y_test)
        card = path.with_suffix(".md")
        write_text(card, model_card(run, original.name, data, test, before))
        finish_run(database.engine, run.id, run.status, test.accuracy, test.loss, before.accuracy)
    return Delivered(path, plan, card, test, before, path.stat().st_size)


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


def _saved_and_loaded(model: keras.Model, path: Path, samples: Array) -> keras.Model:
    """The model of the file that ``model`` is written to. Raises RuntimeError where it gives other outputs."""
    save_model(model, path)
    loaded = load_model(str(path))
    one, other = (side.predict(samples, batch_size=SOME, verbose=0) for side in (model, loaded))
    # Wrong weights give other outputs altogether. Equal ones may differ in the last of the ten bits of mantissa that
    # a GPU can compute with (TF32): it chooses an algorithm for each model by trying several.
    if not np.allclose(one, other, rtol=2e-3, atol=2e-3 * float(np.abs(one).max())):
        raise RuntimeError(f"{path} gives other outputs than the model in memory")
    return loaded
