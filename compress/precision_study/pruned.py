"""Filter pruning to a share of the FLOPs, the peer of a factorization to the same share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from numpy.typing import NDArray

from rankline.src.compress.baselines.pruning import prune
from rankline.src.compress.data.sets import Data
from rankline.src.compress.fit.batch_norm import reestimate_all
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.training.fine_tuning import fine_tune
from rankline.src.compress.training.settings import FineTuning
from rankline.src.compress.training.task import Task
from rankline.src.dse.errors import UserError
from rankline.src.dse.numbers import percent

STEPS = 7
"""Halvings of the interval in which the share of filters is looked for."""

LEARNING_RATE, BATCH = 1e-3, 128


def pruned_to(model: keras.Model, share: float) -> keras.Model:
    """The model with the same share of the filters of every convolution, by their L1 norm, as many as keep at most a
    share of the FLOPs. Raises UserError where none does, or nothing can be pruned."""
    most = share * cost_of(model).flops
    low, high, found = 0.0, 1.0, None
    for _ in range(STEPS):
        middle = (low + high) / 2
        made = prune(model, middle).model
        if cost_of(made).flops <= most:
            low, found = middle, made
        else:
            high = middle
    if found is None:
        raise UserError(f"pruning filters of '{model.name}' doesn't bring it to {percent(share)} of the FLOPs")
    return found


def mended(model: keras.Model, data: Data, task: Task, samples: Sequence[NDArray[Any]], epochs: int, seed: int) -> str:
    """Trains a pruned model in place, with labels, or else gives every BatchNorm the moments of what it gets now.

    samples: an array for each input. Returns what was done, in words.
    """
    if not epochs or not task.can_train:
        reestimate_all(model, samples)
        return "BatchNorm moments re-estimated, not trained"
    settings = FineTuning(epochs, LEARNING_RATE, BATCH)
    train, held_out = (data.x_train, data.y_train), (data.x_validation, data.y_validation)
    fine_tune(model, train, held_out, settings, seed, task=task)
    return f"fine-tuned for {epochs} epoch{'' if epochs == 1 else 's'} with labels"
