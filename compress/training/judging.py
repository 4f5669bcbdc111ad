"""The value of a score from outputs that anything computed, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.training.fine_tuning import DivergedError, value_of
from rankline.src.compress.training.losses import loss_of, loss_value
from rankline.src.compress.training.task import Task

Pair = tuple[Sequence[Array], Sequence[Array]]
"""Labels, and outputs: an array (n, ...) for each of a model's outputs."""


def score_of(task: Task, pairs: Iterable[Pair], name: str) -> float:
    """What a task judges by, over batches of labels and outputs: a classifier's accuracy, a score, or the loss.

    name: of what made the outputs. Raises DivergedError where outputs or the score are NaN or infinite.
    """
    value = _of(task)(_finite(pairs, name))
    if not np.isfinite(value):
        raise DivergedError(f"the {task.measure.name} of {name} is {value}; check the data's range")
    return value


def _of(task: Task) -> Callable[[Iterable[Pair]], float]:
    if task.scored is not None:
        return lambda pairs: _metric(task, pairs)
    return _accuracy if task.classifies else lambda pairs: _loss(task, pairs)


def _finite(pairs: Iterable[Pair], name: str) -> Iterable[Pair]:
    for labels, outputs in pairs:
        if not all(np.isfinite(one).all() for one in outputs):
            raise DivergedError(f"{name} gives NaN or infinite outputs; check its weights and the data's range")
        yield labels, outputs


def _accuracy(pairs: Iterable[Pair]) -> float:
    right = total = 0
    for (labels, *_), (outputs, *_) in pairs:
        predicted = outputs[:, 0] > 0.5 if outputs.shape[-1] == 1 else outputs.argmax(axis=-1)
        right, total = right + int((predicted == labels).sum()), total + len(labels)
    return right / total


def _metric(task: Task, pairs: Iterable[Pair]) -> float:
    scored = task.scored
    assert scored is not None
    metric = scored.metric.made()
    for labels, outputs in pairs:
        one, made = labels[scored.output], outputs[scored.output]
        one_hot = task.classifies and made.shape[-1] > 1 and scored.metric.takes_one_hot
        metric.update_state(np.eye(made.shape[-1])[one] if one_hot else one, made)
    return value_of(metric)


def _loss(task: Task, pairs: Iterable[Pair]) -> float:
    losses = [loss_of(one) for one in task.losses]
    total = count = 0.0
    for labels, outputs in pairs:
        parts = zip(losses, task.weights, labels, outputs, strict=False)
        total += len(labels[0]) * sum(weight * loss_value(loss, one, made) for loss, weight, one, made in parts)
        count += len(labels[0])
    return total / count
