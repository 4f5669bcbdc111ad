"""BatchNorm in a network that has changed: the moments of what it is given now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from compress.passage import batches_of
from compress.similarity import fitting_batch
from compress.units import Reals
from dse.graph import trace


def set_moments(norm: keras.Layer, mean: Reals, variance: Reals, wanted: Reals) -> None:
    """Makes a BatchNorm move outputs of that mean to a mean of ``wanted``, and change nothing else.

    Its moments are the real ones, so that it does the same while it is trained.
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


def reestimate(norm: keras.Layer, maps: Sequence[Any]) -> None:
    """Gives a BatchNorm the mean and variance of the maps that really go into it."""
    axes = [axis for axis in range(len(maps[0].shape)) if axis != norm.axis % len(maps[0].shape)]
    sums = [np.zeros(norm.moving_mean.shape), np.zeros(norm.moving_mean.shape)]
    count = 0
    for x in maps:
        values = np.asarray(keras.ops.convert_to_numpy(x), np.float64)
        sums[0] += values.sum(axis=tuple(axes))
        sums[1] += (values**2).sum(axis=tuple(axes))
        count += values.size // len(sums[0])
    mean = sums[0] / count
    norm.moving_mean.assign(mean)
    norm.moving_variance.assign((sums[1] / count - mean**2).clip(0))


def reestimate_all(model: keras.Model, samples: Sequence[NDArray[Any]]) -> None:
    """Gives every BatchNorm of a model, first to last and in place, the moments of what it is given on samples.

    samples: an array for each input of the model.
    """
    calls = trace(model)
    batches = list(batches_of(samples, fitting_batch(calls)))
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
        if type(call.layer) is keras.layers.BatchNormalization:
            reestimate(call.layer, [one[0] for one in given])
        values[index] = [call.run(one) for one in given]
        for source in call.inputs:
            left[source] -= 1
            if not left[source]:
                del values[source]
