"""Calibration samples, with or without labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.arrays import Array, each
from rankline.src.compress.data.classifier import fitting, shaped_for
from rankline.src.compress.data.sets import Data, DataWarning, inputs_of
from rankline.src.compress.fit.covariance import check_samples
from rankline.src.compress.model.files import outputs_of
from rankline.src.compress.training.labelled import opened, with_task
from rankline.src.compress.training.settings import AS_COMPILED, Aim
from rankline.src.compress.training.task import Task, task_of
from rankline.src.dse.errors import UserError

FINITE_ON = 64
"""Calibration samples on which the model's outputs are checked before the work starts."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """``samples``: an array (n, ...) for each input of a model, without labels; data: the labelled data from whose
    training part they were drawn, None without labels; task: what its labels are for; preparation: how the inputs were
    scaled."""

    name: str
    samples: list[Array]
    data: Data | None
    preparation: Mapping[str, Any] = field(default_factory=dict)
    task: Task = field(default_factory=Task)


def calibration_of(
    model: keras.Model,
    given: Any,
    samples: int = 1024,
    seed: int = 0,
    source: str | None = None,
    aim: Aim = AS_COMPILED,
) -> Calibration:
    """Up to ``samples`` calibration samples for a model, drawn with ``seed``.

    - ``given``: inputs as the model takes them (an array, or one for each input), or any data that
      ``rankline.compress`` takes, of which the training part is used. No labels are needed; those that can't be used
      are left out with a DataWarning
    - ``source``: the model's MODEL text, where it was loaded from one
    - ``aim``: the loss and score that the user gives for the labels

    Raises UserError if there are no samples, if the model doesn't accept them, or if its outputs are NaN or infinite.
    """
    if samples < 1:
        raise UserError(f"samples must be at least 1; got {samples}")
    if given is None or (isinstance(given, Sequence) and not given):
        raise UserError("there is no calibration data; give some hundreds of the model's inputs, without labels")
    inputs, found = _training_part(model, given, source, aim, samples, seed)
    drawn = _drawn(_as_taken(inputs, model), samples, seed)
    check_samples(model, drawn)
    _check_outputs(model, [one[:FINITE_ON] for one in drawn])
    return Calibration(found.name, drawn, found.data, found.preparation, found.task)


def training_inputs(model: keras.Model, given: Any, samples: int | None = None, seed: int = 0) -> list[Array]:
    """The inputs of the training part of a name, ``Data`` or arrays, in order; labels are ignored where they are of no
    use. samples: so many pictures are enough. Raises UserError if the model doesn't accept them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{UNUSED}", category=DataWarning)
        inputs, _ = _training_part(model, given, None, AS_COMPILED, samples, seed)
    return _as_taken(inputs, model)


UNUSED = "labels are not used"


def _training_part(
    model: keras.Model, given: Any, source: str | None, aim: Aim, samples: int | None, seed: int
) -> tuple[Sequence[Array], Calibration]:
    """The inputs to draw from, and where they are from, still without samples."""
    if isinstance(given, Data):
        try:
            task = task_of(model, each(given.y_train), source, aim, given.name)
            data = fitting(given, model, task.classifies)
            return each(data.x_train), Calibration(data.name, [], data, data.preparation, task)
        except UserError as error:
            if aim.is_given:
                raise
            inputs = shaped_for(model, each(given.x_train), given.name)
            _tell_unused(given.name, error)
            return inputs, Calibration(given.name, [], None, given.preparation)
    named, held = opened(given, model, needs_labels=False, samples=samples, seed=seed)
    preparation = {**asdict(named.scaling), **held.facts}
    if held.lacks:
        if aim.is_given:
            raise UserError(f"{held.lacks}; --loss and --score need labels")
        if held.has_labels:
            _tell_unused(held.name, held.lacks)
    else:
        try:
            data, task = with_task(model, held, named, source, aim)
            return each(data.x_train), Calibration(data.name, [], data, data.preparation, task)
        except UserError as error:
            if aim.is_given:
                raise
            why = str(error)
        inputs = shaped_for(model, inputs_of(held, named.scaling), held.name)
        _tell_unused(held.name, why)
        return inputs, Calibration(held.name, [], None, preparation)
    return inputs_of(held, named.scaling), Calibration(held.name, [], None, preparation)


def _tell_unused(name: str, why: Any) -> None:
    warnings.warn(f"{name}: its {UNUSED} ({why})", DataWarning, stacklevel=4)


def _as_taken(arrays: Sequence[Array], model: keras.Model) -> list[Array]:
    """One array for each input, in the model's dtype; a missing channel axis is added."""
    found = []
    for array, wanted in zip(arrays, model.inputs, strict=False):
        if array.ndim == len(wanted.shape) - 1 and wanted.shape[-1] == 1:
            array = array[..., None]
        with np.errstate(over="ignore", invalid="ignore"):
            taken = np.asarray(array, wanted.dtype)
        if not np.isfinite(taken).all():
            raise UserError("calibration samples must be finite numbers")
        found.append(taken)
    if len({len(one) for one in found}) > 1:
        raise UserError(f"all inputs need the same number of calibration samples; got {[len(one) for one in found]}")
    return [*found, *arrays[len(found) :]]


def _drawn(arrays: list[Array], samples: int, seed: int) -> list[Array]:
    count = len(arrays[0]) if arrays else 0
    if not count:
        raise UserError("there are no calibration samples; give some hundreds of the model's inputs")
    # In random order, so that the first of them can represent all where fewer are enough.
    chosen = np.random.default_rng(seed).choice(count, min(samples, count), replace=False)
    return [one[chosen] for one in arrays]


def _check_outputs(model: keras.Model, samples: list[Array]) -> None:
    if not all(np.isfinite(one).all() for one in outputs_of(model, samples)):
        raise UserError(
            f"model '{model.name}' gives NaN or infinity on the calibration samples; check its weights and the data's "
            "range (--rescale, --mean, --std)"
        )
