"""How alike a factorized layer's feature maps are to the original's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from compress.plan import Choice
from compress.surgery import factor_chain, find_layer
from dse.graph import Call, feature_maps, trace

TAIL = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)
"""Layers that belong to the one before them: activation, normalisation and pooling."""


def similarities(
    original: keras.Model,
    compressed: keras.Model,
    plan: Mapping[str, Choice],
    samples: NDArray[Any],
    batch_size: int = 128,
) -> dict[str, float]:
    """Mean cosine between the feature maps of each planned layer in the original and in the compressed model.

    Every factorized layer is fed with the original's input feature map, and compared after the activation,
    normalisation and pooling that follow it (those of the compressed model on its side). A layer that is used
    in several places counts all of them. samples: (n, ...) inputs of the model.
    """
    calls = trace(original)
    places = {path: [index for index, call in enumerate(calls) if call.path == path] for path in plan}
    tails = {index: _tail(calls, index) for indices in places.values() for index in indices}
    wanted = {*tails, *(tail[-1] for tail in tails.values() if tail)}
    chains = {path: factor_chain(compressed, path, choice) for path, choice in plan.items()}
    sums = dict.fromkeys(plan, 0.0)
    for start in range(0, len(samples), batch_size):
        maps = feature_maps(original, [keras.ops.convert_to_tensor(samples[start : start + batch_size])], wanted)
        for path, indices in places.items():
            for index in indices:
                tail = tails[index]
                after = [find_layer(compressed, calls[step].path) for step in tail]
                ours = _through([*chains[path], *after], maps[index][0][0])
                sums[path] += _cosines(maps[tail[-1] if tail else index][1], ours) / len(indices)
    return {path: total / len(samples) for path, total in sums.items()}


def _tail(calls: list[Call], index: int) -> list[int]:
    """The calls of TAIL layers that follow one another, each the only user of the one before."""
    tail: list[int] = []
    while True:
        users = [user for user, call in enumerate(calls) if index in call.inputs]
        if len(users) != 1 or calls[index].is_output or type(calls[users[0]].layer) not in TAIL:
            return tail
        index = users[0]
        tail.append(index)


def _through(layers: list[Any], tensor: Any) -> Any:
    for layer in layers:
        tensor = layer(tensor, training=False) if layer._call_has_training_arg else layer(tensor)
    return tensor


def _cosines(one: Any, other: Any) -> float:
    """The sum over the batch of the cosine between two maps of equal shape; two zero maps are alike."""
    a, b = (np.asarray(keras.ops.convert_to_numpy(x), np.float64).reshape(len(x), -1) for x in (one, other))
    products, norms = (a * b).sum(axis=1), np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    alike = np.where(a.any(axis=1) | b.any(axis=1), 0.0, 1.0)
    return float(np.where(norms > 0, products / np.maximum(norms, np.finfo(np.float64).tiny), alike).sum())
