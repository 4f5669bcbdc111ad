"""Labelled data for a model, and the task that it is trained for."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from rankline.src.compress.data.arrays import each
from rankline.src.compress.data.classifier import fitting
from rankline.src.compress.data.given import Held, held_by
from rankline.src.compress.data.sets import Data, DataWarning, Named, labelled, tell
from rankline.src.compress.data.sources import held_in
from rankline.src.compress.data.takes import takes_of
from rankline.src.compress.training.settings import AS_COMPILED, Aim
from rankline.src.compress.training.task import Task, task_of
from rankline.src.dse.errors import UserError


def labelled_for(
    model: keras.Model, given: Any, source: str | None = None, aim: Aim = AS_COMPILED
) -> tuple[Data, Task]:
    """The data for a model in three parts, and what the model is trained for and judged by.

    - ``given``: ``Data``, a name, or Python values as ``held_by`` takes them
    - ``source``: the model's MODEL text, where it was loaded from one
    - ``aim``: the loss and score that the user gives

    Raises UserError for data that lacks labels or doesn't fit, and where no loss is known.
    """
    data, task = judged_for(model, given, source, aim)
    if not task.can_train:
        raise UserError("a score is given but no loss to train with; give --loss, such as --loss mean_squared_error")
    return data, task


def judged_for(model: keras.Model, given: Any, source: str | None = None, aim: Aim = AS_COMPILED) -> tuple[Data, Task]:
    """The same for a model that is only judged, so that no loss need be known."""
    if isinstance(given, Data):
        task = task_of(model, each(given.y_train), source, aim, given.name)
        data = fitting(given, model, task.classifies)
        _tell_task(model, task)
    else:
        named, held = opened(given, model)
        data, task = with_task(model, held, named, source, aim)
    return data, task


def opened(
    given: Any, model: keras.Model, needs_labels: bool = True, samples: int | None = None, seed: int = 0
) -> tuple[Named, Held]:
    """A name with its settings (of Python values: the defaults), and what it holds for a model; see ``held_in``."""
    takes = takes_of(model)
    named = given if isinstance(given, Named) else Named(given if isinstance(given, str) else "arrays")
    if isinstance(given, str | Named):
        held = held_in(named.source, takes, needs_labels, samples, seed)
    else:
        held = held_by(given, named.source, takes)
    tell(held)
    return named, held


def with_task(
    model: keras.Model, held: Held, named: Named, source: str | None = None, aim: Aim = AS_COMPILED
) -> tuple[Data, Task]:
    """What a source holds as data for a model, and its task. Raises UserError where labels are missing or don't fit."""
    if held.lacks:
        raise UserError(held.lacks)
    task = task_of(model, held.first.y, source, aim, held.name)
    data = labelled(held, named.scaling, named.validation, named.split_seed, task.targets)
    data = fitting(data, model, task.classifies)
    _tell_task(model, task)
    return data, task


def _tell_task(model: keras.Model, task: Task) -> None:
    if not task.measure.is_accuracy:
        warnings.warn(f"{model.name} is {task.told}", DataWarning, stacklevel=3)
