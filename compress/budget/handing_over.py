"""A model made under a budget, handed over: its file as it loads again, its plan and a page about it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras

from rankline.src.compress.data.sets import Array
from rankline.src.compress.model.files import saved_and_loaded
from rankline.src.compress.search.search import cost_of
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.plan import Plan, write_plan


def hand_over(model: keras.Model, plan: Plan, cost: Cost, path: Path, samples: Sequence[Array]) -> keras.Model:
    """Writes a model and, next to it, its plan; returns the model that the file gives.

    Raises UserError where the file can't be written, RuntimeError where it gives other outputs than the model in
    memory or doesn't have the cost.
    """
    loaded = saved_and_loaded(model, path, samples)
    if (counted := cost_of(loaded)) != cost:
        raise RuntimeError(f"{path} has {counted.params:,} params and {counted.flops:,} FLOPs, not those allocated")
    write_plan(plan, path.with_suffix(".plan.json"))
    return loaded


def check_folder(folder: Path) -> None:
    """Raises UserError where files can't be written into a folder, which may not be there yet."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"a sweep is written into a folder; {folder} is a file")
    first = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(first, os.W_OK):
        raise UserError(f"cannot write {folder}: the folder {first} is read-only; give another")
