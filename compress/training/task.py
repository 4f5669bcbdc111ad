"""What a model is trained for, and what it is judged by.

A classifier is trained on cross-entropy and judged by its accuracy. Any other model has the loss and the score that it
was compiled with, or those that the user names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.arrays import Array, Arrays, joined
from rankline.src.compress.data.classifier import check_classifier, output_activation
from rankline.src.compress.data.sets import CLASSES, Targets, class_labels
from rankline.src.compress.data.takes import Slot, Takes, fits, takes_of
from rankline.src.compress.training.compiled import Compiled, by_output, compiled_of
from rankline.src.compress.training.losses import Metric, loss_of, metric_of, readable
from rankline.src.compress.training.settings import AS_COMPILED, Aim
from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.dse.errors import UserError

CROSS_ENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")

HOW = (
    "compile the model with its loss before it is saved, or give --loss and --score, such as --loss mean_squared_error "
    "--score mean_absolute_error"
)


@dataclass(frozen=True)
class Scored:
    """A score of one output, by its number."""

    output: int
    metric: Metric


@dataclass(frozen=True, eq=False)
class Task:
    """A model's loss and score; by default those of a classifier.

    - ``losses``: one for each output, as ``loss_of`` takes it; empty for a classifier, whose loss follows from its last
      layer, and where no loss is known
    - ``weights``: of the losses
    - ``scored``: what models are judged by; None: a classifier's accuracy, or else the loss
    - ``classifies``: whether there is an accuracy
    - ``takes``: the model's inputs and outputs
    """

    losses: tuple[Any, ...] = ()
    weights: tuple[float, ...] = ()
    scored: Scored | None = None
    classifies: bool = True
    takes: Takes = field(default_factory=Takes)

    @property
    def measure(self) -> Measure:
        """The name and the direction of what models are judged by."""
        if self.scored is not None:
            of = f" of {self.takes.outputs[self.scored.output].name}" if len(self.takes.outputs) > 1 else ""
            return Measure(f"{self.scored.metric.name}{of}", self.scored.metric.is_higher_better)
        if self.classifies:
            return ACCURACY
        return Measure("loss" if len(self.losses) > 1 else self.loss_names[0], is_higher_better=False)

    @property
    def loss_names(self) -> list[str]:
        """The names of the losses for people."""
        return [readable(loss_of(one).name) for one in self.losses]

    @property
    def can_train(self) -> bool:
        """Whether a loss is known."""
        return self.classifies or bool(self.losses)

    @property
    def targets(self) -> Targets:
        """How labels become what the model is trained on."""
        return CLASSES if self.classifies else Targets(self._targets)

    @property
    def told(self) -> str:
        """In words, for people and for the record."""
        better = "higher" if self.measure.is_higher_better else "lower"
        trained = f"trained with {' and '.join(self.loss_names)}, " if self.losses else ""
        return f"{trained}judged by {self.measure.name} ({better} is better)"

    def _targets(self, y: tuple[Array, ...], name: str) -> Arrays:
        for one, slot in zip(y, self.takes.outputs, strict=True):
            if not np.isfinite(one).all():
                raise UserError(f"data '{name}': labels must be finite numbers")
            _check_shape(one, slot, name)
        return joined([one if one.dtype.kind in "iub" else np.asarray(one, np.float32) for one in y])


def task_of(
    model: keras.Model,
    y: Sequence[Array],
    source: str | None = None,
    aim: Aim = AS_COMPILED,
    name: str = "arrays",
) -> Task:
    """What a model is trained for, with some of its labels.

    - ``y``: an array for each output
    - ``source``: its MODEL text, where it was loaded from one
    - ``aim``: the loss and score that the user gives
    - ``name``: of the data

    Raises UserError where no loss or score is known or can be made.
    """
    takes, loss, score = takes_of(model), aim.loss, aim.score
    compiled = compiled_of(model, source, takes)
    if loss is None and _classifies(model, y, compiled):
        return Task(scored=_given_score(score, model, y, takes), takes=takes)
    if loss is not None:
        losses, weights = _given_losses(loss, takes), (1.0,) * len(takes.outputs)
    elif compiled is not None:
        losses, weights = compiled.losses, compiled.weights
    else:
        losses, weights = _natural(model, y), (1.0,)
    if any(one is None for one in losses):
        names = [slot.name for slot, one in zip(takes.outputs, losses, strict=True) if one is None]
        raise UserError(f"model '{model.name}' has no loss for its output {', '.join(names)}; {HOW}")
    known = tuple(losses)
    for one in known:
        loss_of(one)
    if not known and score is None:
        raise UserError(f"{_why_no_classifier(model, y, name)}; {HOW}")
    scored = _given_score(score, model, y, takes)
    if scored is None:
        metrics = compiled.metrics if compiled is not None and loss is None else ()
        scored = _compiled_score(metrics, model, y, takes)
    if scored is None and not compiled and loss is None:
        scored = Scored(0, metric_of("accuracy", takes.outputs[0].shape, y[0], output_activation(model)))
    return Task(known, weights, scored, classifies=False, takes=takes)


def _classifies(model: keras.Model, y: Sequence[Array], compiled: Compiled | None) -> bool:
    """Whether a model gives one class for each sample, and labels are such."""
    try:
        check_classifier(model)
        class_labels(tuple(y), "")
    except (UserError, ValueError):
        return False
    are_numbers = y[0].size == len(y[0])  # of classes: no other loss takes them
    if output_activation(model) in ("softmax", "sigmoid") or compiled is None or are_numbers:
        return True
    return _name_of(compiled.losses[0]) in CROSS_ENTROPIES


def _why_no_classifier(model: keras.Model, y: Sequence[Array], name: str) -> str:
    try:
        check_classifier(model)
        class_labels(tuple(y), name)
    except UserError as error:
        return str(error)
    return f"nothing tells what model '{model.name}' is trained for"


def _name_of(loss: Any) -> str:
    """The name of a loss in Keras's way, whatever it is."""
    try:
        return str(loss_of(loss).name)
    except UserError:
        return ""


def _natural(model: keras.Model, y: Sequence[Array]) -> tuple[str, ...]:
    """The loss that follows from a last softmax or sigmoid at every position; empty if there is none."""
    if len(model.outputs) != 1:
        return ()
    shape, end = tuple(model.outputs[0].shape[1:]), output_activation(model)
    if end == "sigmoid" and np.isin(y[0], (0, 1)).all():
        return ("binary_crossentropy",)
    if end == "softmax" and len(shape) > 1:
        one_hot = y[0].ndim - 1 == len(shape) and y[0].shape[-1] == shape[-1]
        return ("categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy",)
    return ()


def _given_losses(given: Any, takes: Takes) -> tuple[Any, ...]:
    if isinstance(given, str) and "=" in given:
        given = dict(part.strip().split("=", 1) for part in given.split(",") if "=" in part)
    if isinstance(given, Mapping):
        _check_outputs(given, takes)
    return by_output(given, takes)


def _given_score(given: Any, model: keras.Model, y: Sequence[Array], takes: Takes) -> Scored | None:
    if given is None:
        return None
    output = 0
    if isinstance(given, str) and "=" in given:
        name, _, given = given.partition("=")
        _check_outputs([name], takes)
        output = [slot.name for slot in takes.outputs].index(name)
    elif len(takes.outputs) > 1:
        raise UserError(
            f"model '{model.name}' has {len(takes.outputs)} outputs; give the score of one as --score OUTPUT=NAME, "
            f"with one of {', '.join(slot.name for slot in takes.outputs)}"
        )
    return Scored(output, metric_of(given, takes.outputs[output].shape, y[output], _activation(model, output)))


def _compiled_score(
    metrics: Sequence[tuple[int, Any]], model: keras.Model, y: Sequence[Array], takes: Takes
) -> Scored | None:
    """The first metric that can be made, of a model with one output; of several, the only one."""
    found = []
    for output, spec in metrics:
        try:
            metric = metric_of(spec, takes.outputs[output].shape, y[output], _activation(model, output))
        except UserError:
            continue
        found.append(Scored(output, metric))
    return found[0] if found and (len(takes.outputs) == 1 or len(found) == 1) else None


def _activation(model: keras.Model, output: int) -> str:
    return output_activation(model) if len(model.outputs) == 1 else ""


def _check_outputs(names: Any, takes: Takes) -> None:
    known = [slot.name for slot in takes.outputs]
    for name in names:
        if name not in known:
            raise UserError(f"model '{takes.model}' has no output '{name}'; it has {', '.join(known)}")


def _check_shape(y: Array, slot: Slot, name: str) -> None:
    """Raises UserError for labels that neither have the shape of an output, nor number its classes."""
    given, shape = y.shape[1:], slot.shape
    if fits(given, shape) or (shape[-1:] == (1,) and fits(given, shape[:-1])):
        return
    numbers = given[:-1] if given[-1:] == (1,) else given
    if fits(numbers, shape[:-1]) and (shape[-1] or 0) > 1 and (y == np.floor(y)).all():
        low, top = int(y.min()), int(y.max())
        if low >= 0 and top < (shape[-1] or 0):
            return
        raise UserError(
            f"data '{name}' has labels from {low} to {top:,}; output '{slot.name}' has {shape[-1]} classes, from 0 to "
            f"{(shape[-1] or 0) - 1}"
        )
    raise UserError(
        f"data '{name}' has labels of shape {given}; output '{slot.name}' has shape {shape} (or numbers of its "
        f"classes, {shape[:-1]})"
    )
