"""Training, one-shot fine-tuning and evaluation of models."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.arrays import Array, Arrays, count_of, each, rows_of
from rankline.src.compress.data.classifier import is_binary, output_activation
from rankline.src.compress.fit.batch_norm import reestimate_if_better
from rankline.src.compress.training.losses import ScoreFunction, loss_of, loss_value
from rankline.src.compress.training.settings import FineTuning
from rankline.src.compress.training.task import Task
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import peak_elements, trace

NORM_SAMPLES = 1000
"""Training samples on which BatchNorm moments are re-estimated after training, ..."""

NORM_BYTES = 2**30
"""... or as many as have feature maps that fit into this many bytes."""


class DivergedError(UserError):
    """The loss or the outputs are NaN or infinite."""


class GuessWarning(UserWarning):
    """Even a constant guess would stay within the limit on the accuracy's drop."""


@dataclass(frozen=True)
class Score:
    """A classifier's accuracy as a fraction, the mean loss, and the score or the user's own metric; None where there is
    none."""

    accuracy: float | None
    loss: float | None
    metric: float | None = None


def fine_tune(
    model: keras.Model,
    train: tuple[Arrays, Arrays],
    validation: tuple[Arrays, Arrays],
    settings: FineTuning,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    task: Task | None = None,
) -> None:
    """Trains the model in place; the same seed gives the same weights. A model of frozen layers isn't changed.

    task: what it is trained for, by default as a classifier. BatchNorm moments are then re-estimated on training
    samples if that lowers the validation loss; callbacks, which have ended by then, don't see this.

    Raises DivergedError if no epoch has a finite loss.
    """
    if settings.epochs == 0 or not model.trainable_weights:
        return
    keras.utils.set_random_seed(seed)
    _compile(model, settings.learning_rate, task or Task())
    monitor = {"monitor": "val_loss", "mode": "min"}
    size = _shared_out(settings.batch_size, count_of(validation[0]), model)
    x, y = _as_taken(model, *train)
    held_out = _as_taken(model, *validation)
    history = model.fit(
        x,
        y,
        validation_data=held_out,
        epochs=settings.epochs,
        batch_size=_shared_out(settings.batch_size, count_of(train[0]), model),
        validation_batch_size=size,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=settings.patience, restore_best_weights=True, **monitor),
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=max(1, settings.patience // 2), **monitor),
            *callbacks,
        ],
    ).history
    if not np.isfinite(history["val_loss"]).any():
        raise DivergedError(
            f"the loss of '{model.name}' is {history['val_loss'][-1]}; "
            "check the data's range (--rescale, --mean, --std) or lower the learning rate"
        )
    reestimate_if_better(
        model,
        lambda: each(_some(model, train[0], seed)),
        lambda: float(np.ravel(model.evaluate(*held_out, size, verbose=0))[0]),
    )


def _some(model: keras.Model, x: Arrays, seed: int) -> Arrays:
    """The samples, in order, on which BatchNorm moments are re-estimated."""
    total = count_of(x)
    count = min(NORM_SAMPLES, NORM_BYTES // (4 * peak_elements(trace(model))), total)
    return rows_of(x, np.sort(np.random.default_rng(seed).choice(total, max(count, 1), replace=False)))


def evaluate(
    model: keras.Model,
    x: Arrays,
    y: Arrays,
    batch_size: int = 256,
    metric: ScoreFunction | None = None,
    task: Task | None = None,
) -> Score:
    """Accuracy, loss and score on labelled samples. task: by default that of a classifier; metric: the user's own
    score, used instead of the task's.

    Raises DivergedError if the model's outputs or the score are NaN or infinite.
    """
    task = task or Task()
    if not task.classifies:
        return _evaluated(model, x, y, batch_size, metric, task)
    (labels,) = each(y)
    outputs = model.predict(inputs_for(model, x), batch_size=_shared_out(batch_size, count_of(x), model), verbose=0)
    _check_finite(model, [outputs])
    predicted = outputs[:, 0] > 0.5 if is_binary(model) else outputs.argmax(axis=-1)
    # Per sample, because Keras divides its mean by the number of ``tf.distribute`` devices in scope.
    loss = keras.ops.mean(_loss(model, reduction=None)(labels.reshape(-1, 1), outputs))
    own = None if metric is None else float(metric(labels, outputs))
    if metric is None and task.scored is not None:
        measured = task.scored.metric.made()
        one_hot = outputs.shape[-1] > 1 and task.scored.metric.takes_one_hot
        measured.update_state(np.eye(outputs.shape[-1])[labels] if one_hot else labels, outputs)
        own = value_of(measured)
    return Score(float((predicted == labels).mean()), float(keras.ops.convert_to_numpy(loss)), _finite(own, model))


def _evaluated(
    model: keras.Model, x: Arrays, y: Arrays, batch_size: int, metric: ScoreFunction | None, task: Task
) -> Score:
    """The loss and the score of a model that is no classifier, batch by batch, so that outputs needn't fit into memory
    at once."""
    scored = None if task.scored is None else task.scored.metric.made()
    total, count, kept = 0.0, count_of(x), []
    losses = [loss_of(one) for one in task.losses]
    for start in range(0, count, batch_size):
        index = slice(start, start + batch_size)
        targets = each(rows_of(y, index))
        outputs = keras.tree.flatten(model.predict_on_batch(inputs_for(model, rows_of(x, index))))
        _check_finite(model, outputs)
        pairs = zip(losses, task.weights, targets, outputs, strict=False)
        total += len(targets[0]) * sum(weight * loss_value(loss, one, made) for loss, weight, one, made in pairs)
        if scored is not None and task.scored is not None:
            scored.update_state(targets[task.scored.output], outputs[task.scored.output])
        if metric is not None:
            kept.append((targets[0], outputs[0]))
    loss = total / count if task.losses else None
    value = loss if scored is None else value_of(scored)
    if metric is not None:
        value = float(metric(*(np.concatenate(some) for some in zip(*kept, strict=True))))
    return Score(None, loss, _finite(value, model))


def value_of(metric: Any) -> float:
    """The value of a metric; the mean of its values where it has one for each class."""
    return float(np.mean(keras.ops.convert_to_numpy(metric.result())))


def _check_finite(model: keras.Model, outputs: Sequence[Array]) -> None:
    if not all(np.isfinite(one).all() for one in outputs):
        raise DivergedError(
            f"model '{model.name}' gives NaN or infinite outputs; check its weights and the data's range"
        )


def _finite(score: float | None, model: keras.Model) -> float | None:
    if score is not None and not np.isfinite(score):
        raise DivergedError(f"the metric of model '{model.name}' is {score}; it must be a finite number")
    return score


def inputs_for(model: keras.Model, x: Arrays) -> Any:
    """The inputs in the structure that a model takes."""
    arrays = each(x)
    return arrays[0] if len(arrays) == 1 else keras.tree.pack_sequence_as(model.input, list(arrays))


def _as_taken(model: keras.Model, x: Arrays, y: Arrays) -> tuple[Any, Any]:
    """Inputs and labels in the structure that a model takes and gives."""
    targets = each(y)
    packed = targets[0] if len(targets) == 1 else keras.tree.pack_sequence_as(model.output, list(targets))
    return inputs_for(model, x), packed


def warn_of_guesses(model: keras.Model, score: Score, labels: Array, max_drop: float) -> None:
    """Issues a GuessWarning if always guessing the commonest label stays within ``max_drop`` of the accuracy."""
    commonest = float(np.bincount(labels).max() / len(labels))
    if score.accuracy is not None and score.accuracy - max_drop <= commonest:
        warnings.warn(
            f"model '{model.name}' has an accuracy of {score.accuracy:.1%}, of which {100 * max_drop:g} points may be "
            f"lost, and the commonest label alone gives {commonest:.1%}: a model that knows nothing would do; check "
            "that it is trained, its labels, and the data's range (--rescale, --mean, --std)",
            GuessWarning,
            stacklevel=2,
        )


def _shared_out(batch_size: int, count: int, model: keras.Model) -> int:
    """The batch size, or the next smaller one that gives every ``tf.distribute`` device a share of every batch.

    Keras fails if a device gets nothing, or less of the first batch than another.
    """
    devices = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)
    for size in range(min(batch_size, count) // devices * devices, 0, -devices):
        rest = count % size
        if (devices - 1) * math.ceil(rest / devices) < rest or not rest:
            return size
    return batch_size


def _compile(model: keras.Model, learning_rate: float, task: Task) -> None:
    optimizer = keras.optimizers.Adam(learning_rate)
    if task.classifies:
        accuracy = keras.metrics.BinaryAccuracy if is_binary(model) else keras.metrics.SparseCategoricalAccuracy
        model.compile(optimizer=optimizer, loss=_loss(model), metrics=[accuracy("accuracy")])
    elif len(task.losses) == 1:
        model.compile(optimizer=optimizer, loss=loss_of(task.losses[0]))
    else:
        losses, weights = (
            keras.tree.pack_sequence_as(model.output, list(some)) for some in (map(loss_of, task.losses), task.weights)
        )
        model.compile(optimizer=optimizer, loss=losses, loss_weights=weights)
    # TensorFlow traces a training step twice where that makes variables.
    model.optimizer.build(model.trainable_variables)


def _loss(model: keras.Model, reduction: str | None = "sum_over_batch_size") -> keras.losses.Loss:
    """Cross-entropy, on probabilities if the model ends in a softmax or one sigmoid, else on logits."""
    if is_binary(model):
        return keras.losses.BinaryCrossentropy(reduction=reduction)
    is_logits = output_activation(model) != "softmax"
    return keras.losses.SparseCategoricalCrossentropy(from_logits=is_logits, reduction=reduction)
