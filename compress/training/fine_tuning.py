"""Training, one-shot fine-tuning and evaluation of classifiers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from rankline.src.compress.data.classifier import is_binary, output_activation
from rankline.src.compress.data.sets import Array
from rankline.src.compress.fit.batch_norm import reestimate_if_better
from rankline.src.compress.training.settings import FineTuning
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import peak_elements, trace

NORM_SAMPLES = 1000
"""Training samples on which BatchNorm moments are re-estimated after training, ..."""

NORM_BYTES = 2**30
"""... or as many as have feature maps that fit into this many bytes."""

ScoreFunction = Callable[[Array, Array], float]
"""The user's own score, of labels and the model's outputs; higher is better."""


class DivergedError(UserError):
    """The loss or the outputs are NaN or infinite."""


class GuessWarning(UserWarning):
    """Even a constant guess would stay within the limit on the accuracy's drop."""


@dataclass(frozen=True)
class Score:
    """Accuracy as a fraction, the mean loss, and the user's own metric."""

    accuracy: float
    loss: float
    metric: float | None = None


def fine_tune(
    model: keras.Model,
    train: tuple[Array, Array],
    validation: tuple[Array, Array],
    settings: FineTuning,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains the model in place; the same seed gives the same weights. A model of frozen layers isn't changed.

    BatchNorm moments are then re-estimated on training samples if that lowers the validation loss; callbacks, which
    have ended by then, don't see this.

    Raises DivergedError if no epoch has a finite loss.
    """
    if settings.epochs == 0 or not model.trainable_weights:
        return
    keras.utils.set_random_seed(seed)
    _compile(model, settings.learning_rate)
    monitor = {"monitor": "val_loss", "mode": "min"}
    size = _shared_out(settings.batch_size, len(validation[0]), model)
    history = model.fit(
        *train,
        validation_data=validation,
        epochs=settings.epochs,
        batch_size=_shared_out(settings.batch_size, len(train[0]), model),
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
        model, lambda: [_some(model, train[0], seed)], lambda: float(model.evaluate(*validation, size, verbose=0)[0])
    )


def _some(model: keras.Model, x: Array, seed: int) -> Array:
    """The samples, in order, on which BatchNorm moments are re-estimated."""
    count = min(NORM_SAMPLES, NORM_BYTES // (4 * peak_elements(trace(model))), len(x))
    return x[np.sort(np.random.default_rng(seed).choice(len(x), max(count, 1), replace=False))]


def evaluate(
    model: keras.Model, x: Array, y: Array, batch_size: int = 256, metric: ScoreFunction | None = None
) -> Score:
    """Accuracy, loss and ``metric`` on labelled samples.

    Raises DivergedError if the model's outputs or the metric are NaN or infinite.
    """
    outputs = model.predict(x, batch_size=_shared_out(batch_size, len(x), model), verbose=0)
    if not np.isfinite(outputs).all():
        raise DivergedError(
            f"model '{model.name}' gives NaN or infinite outputs; check its weights and the data's range"
        )
    predicted = outputs[:, 0] > 0.5 if is_binary(model) else outputs.argmax(axis=-1)
    # Per sample, because Keras divides its mean by the number of ``tf.distribute`` devices in scope.
    loss = keras.ops.mean(_loss(model, reduction=None)(y.reshape(-1, 1), outputs))
    own = None if metric is None else float(metric(y, outputs))
    if own is not None and not np.isfinite(own):
        raise DivergedError(f"the metric of model '{model.name}' is {own}; it must be a finite number")
    return Score(float((predicted == y).mean()), float(keras.ops.convert_to_numpy(loss)), own)


def warn_of_guesses(model: keras.Model, score: Score, labels: Array, max_drop: float) -> None:
    """Issues a GuessWarning if always guessing the commonest label stays within ``max_drop`` of the accuracy."""
    commonest = float(np.bincount(labels).max() / len(labels))
    if score.accuracy - max_drop <= commonest:
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


def _compile(model: keras.Model, learning_rate: float) -> None:
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=_loss(model), metrics=["accuracy"])


def _loss(model: keras.Model, reduction: str | None = "sum_over_batch_size") -> keras.losses.Loss:
    """Cross-entropy, on probabilities if the model ends in a softmax or one sigmoid, else on logits."""
    if is_binary(model):
        return keras.losses.BinaryCrossentropy(reduction=reduction)
    is_logits = output_activation(model) != "softmax"
    return keras.losses.SparseCategoricalCrossentropy(from_logits=is_logits, reduction=reduction)
