"""A model made under a budget, handed over: its file as it loads again, its plan and a page about it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from compress.data import Array
from compress.model_file import save_model
from compress.plan import Plan, write_plan
from compress.search import cost_of
from dse.errors import UserError
from dse.formula import Cost
from dse.source import load_model
from rankline.calibration import outputs_of

SOME = 64
"""Samples on which the outputs of a file and of the model in memory are compared."""


def hand_over(model: keras.Model, plan: Plan, cost: Cost, path: Path, samples: Sequence[Array]) -> keras.Model:
    """Writes a model and, next to it, its plan; returns the model that the file gives.

    Raises UserError where the file can't be written, RuntimeError where it gives other outputs than the model in
    memory or doesn't have the cost.
    """
    loaded = _saved_and_loaded(model, path, samples)
    if (counted := cost_of(loaded)) != cost:
        raise RuntimeError(f"{path} has {counted.params:,} params and {counted.flops:,} FLOPs, not those allocated")
    write_plan(plan, path.with_suffix(".plan.json"))
    return loaded


def check_hand_over(model: keras.Model, samples: Sequence[Array]) -> None:
    """Raises UserError where a model can't be saved and loaded again: before the work, not after."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _saved_and_loaded(model, Path(folder) / "model.keras", samples)
        except Exception as error:  # whatever a foreign layer raises
            raise UserError(
                f"model '{model.name}' cannot be saved and loaded again, nor could what is made of it: {error}; use "
                "layers of Keras, or own ones with a get_config and @keras.saving.register_keras_serializable()"
            ) from error


def check_folder(folder: Path) -> None:
    """Raises UserError where files can't be written into a folder, which may not be there yet."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"a sweep is written into a folder; {folder} is a file")
    first = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(first, os.W_OK):
        raise UserError(f"cannot write {folder}: the folder {first} is read-only; give another")


def _saved_and_loaded(model: keras.Model, path: Path, samples: Sequence[Array]) -> keras.Model:
    save_model(model, path)
    loaded = load_model(str(path))
    sides = [outputs_of(side, [one[:SOME] for one in samples]) for side in (model, loaded)]
    for one, other in zip(*sides, strict=True):
        # Wrong weights give other outputs altogether; equal ones may differ in the last bits of what a GPU computes.
        if not np.allclose(one, other, rtol=2e-3, atol=2e-3 * float(np.abs(one).max())):
            raise RuntimeError(f"{path} gives other outputs than the model in memory")
    return loaded
