"""Re-estimates BatchNorm moments in a network that has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.fitted_layer import Reals
from rankline.src.compress.model.forward_pass import batches_of
from rankline.src.compress.model.similarity import fitting_batch
from rankline.src.dse.keras_model.graph import trace


def set_moments(norm: keras.Layer, mean: Reals, variance: Reals, wanted: Reals) -> None:
    """Makes a BatchNorm shift inputs of this mean to the mean ``wanted``, and change nothing else.

    Its moments are those of its inputs, so that it does the same in training.
    """
    scale = np.sqrt(variance + norm.epsilon)
    if norm.scale:
        norm.gamma.assign(scale)
    else:
        variance = np.full_like(variance, 1 - norm.epsilon)
    if norm.center:
        norm.beta.assign(wanted)
    else:
        mean = mean - wanted
    norm.moving_mean.assign(mean)
    norm.moving_variance.assign(variance)


def reestimate(
    norm: keras.Layer, maps: Sequence[Any], original: keras.Layer | None = None, before: Sequence[Any] = ()
) -> None:
    """Sets a BatchNorm's moments to the mean and variance of its input maps.

    original, before: the original BatchNorm and its input maps on the same samples. The moments are then the
    original's, corrected by the difference between the maps, so that unchanged maps leave them unchanged on any
    samples.
    """
    mean, variance = _moments(maps, norm.axis)
    if original is not None:
        their_mean, their_variance = _moments(before, norm.axis)
        old_mean, old_variance = (
            np.asarray(keras.ops.convert_to_numpy(one), np.float64)
            for one in (original.moving_mean, original.moving_variance)
        )
        mean = old_mean + mean - their_mean
        variance = old_variance * (variance + norm.epsilon) / (their_variance + norm.epsilon)
    norm.moving_mean.assign(mean)
    norm.moving_variance.assign(variance)


def _moments(maps: Sequence[Any], axis: int) -> tuple[Reals, Reals]:
    """The mean and variance of each channel, in float64."""
    first = keras.ops.shape(maps[0])
    axes = tuple(place for place in range(len(first)) if place != axis % len(first))
    channels = first[axis]
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for x in maps:
        values = np.asarray(keras.ops.convert_to_numpy(x), np.float64)
        total += values.sum(axis=axes)
        squares += (values**2).sum(axis=axes)
        count += values.size // channels
    mean = total / count
    return mean, (squares / count - mean**2).clip(0)


def reestimate_all(model: keras.Model, samples: Sequence[NDArray[Any]]) -> None:
    """Sets the moments of every BatchNorm in a model to those of its inputs on samples, first to last and in place.

    samples: an array for each input of the model. Frozen BatchNorms are left unchanged.
    """
    calls = trace(model)
    batches = list(batches_of(samples, fitting_batch(calls), calls))
    inputs = [index for index, call in enumerate(calls) if not call.inputs]
    values: dict[int, list[list[Any]]] = {
        index: [[batch[number]] for batch in batches] for number, index in enumerate(inputs)
    }
    left = Counter(source for call in calls for source in call.inputs)
    for index, call in enumerate(calls):
        if not call.inputs:
            continue
        pairs = list(zip(call.inputs, call.sources, strict=True))
        given = [[values[source][number][output] for source, output in pairs] for number in range(len(batches))]
        if _is_free(call.layer):
            reestimate(call.layer, [one[0] for one in given])
        values[index] = [call.run(one) for one in given]
        for source in call.inputs:
            left[source] -= 1
            if not left[source]:
                del values[source]


def reestimate_if_better(
    model: keras.Model, samples: Callable[[], Sequence[NDArray[Any]]], loss: Callable[[], float]
) -> None:
    """``reestimate_all`` if it lowers the model's loss; else no moments change.

    Neither samples nor loss are called if no BatchNorm can change.

    The moving averages of a short training lag behind weights that change fast (Wu and Johnson, "Rethinking 'Batch' in
    BatchNorm", arXiv:2105.07576, section 3).
    """
    norms = [call.layer for call in trace(model) if _is_free(call.layer)]
    if not norms:
        return
    before, averaged = loss(), [layer.get_weights() for layer in norms]
    reestimate_all(model, samples())
    if not loss() < before:
        for layer, weights in zip(norms, averaged, strict=True):
            layer.set_weights(weights)


def _is_free(layer: Any) -> bool:
    return type(layer) is keras.layers.BatchNormalization and layer.trainable
