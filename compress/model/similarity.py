"""The similarity of a factorized layer's feature maps to the original's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.model.surgery import factor_chain, find_layer
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.keras_model.graph import Call, feature_maps, peak_elements, trace

MAP_BYTES = 512 * 2**20
"""Memory for feature maps held at once, the original's and the factorized layers'; it determines the batch size."""

LARGEST_BATCH = 128

KEPT_BYTES = 2**30
"""Memory for the original's feature maps kept during a search; those beyond are recomputed for every trial."""

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
"""Layers that belong to the layer before them: activation, normalisation and pooling."""


class Reference:
    """The original's feature maps, with which factorized layers are compared on the same samples every time.

    As many batches as fit into ``KEPT_BYTES`` are kept; the others pass through the original again. The similarities
    are the same either way, bit for bit.
    """

    def __init__(
        self,
        original: keras.Model,
        paths: Collection[str],
        samples: NDArray[Any] | Sequence[NDArray[Any]],
        batch_size: int | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """paths: the layers that may be compared; samples: (n, ...) inputs of the model, of several a list;
        batch_size: by default as many samples as ``MAP_BYTES`` allows."""
        self.original = original
        self.samples = [samples] if isinstance(samples, np.ndarray) else list(samples)
        self.calls = trace(original)
        self.inputs = {index for index, call in enumerate(self.calls) if not call.inputs}
        self.size = batch_size or fitting_batch(self.calls)
        self.places = {index: call.path for index, call in enumerate(self.calls) if call.path in paths}
        self.tails = {index: _tail(self.calls, index) for index in self.places}
        self.place_of_end = {tail[-1] if tail else index: index for index, tail in self.tails.items()}
        self.room = kept_bytes
        kept = {*map(self._source, self.places), *self.place_of_end} - self.inputs
        self.bytes_per_sample = 4 * sum(map(self._elements, kept))
        self.kept: dict[int, dict[int, NDArray[Any]]] = {}

    def similarities(self, compressed: keras.Model, plan: Mapping[str, Configuration]) -> dict[str, float]:
        """Mean cosine between the feature maps of each planned layer in the original and in the compressed model.

        Every factorized layer gets the original's input feature map, and is compared after the activation,
        normalisation and pooling that follow it (the compressed model's on its side). A layer used in several places is
        averaged over all of them.
        """
        places = {index: path for index, path in self.places.items() if path in plan}
        ours = {
            index: [
                *factor_chain(compressed, path, plan[path]),
                *_layers_at(compressed, self.calls, self.tails[index]),
            ]
            for index, path in places.items()
        }
        sums, counts = dict.fromkeys(plan, 0.0), Counter[str]()
        waiting: dict[int, Any] = {}

        def receive(index: int, given: Any, output: Any) -> None:
            if index in places:
                waiting[index] = through(ours[index], keras.ops.convert_to_tensor(given))
            place = self.place_of_end.get(index)
            if place is not None and place in places:
                sums[places[place]] += _cosines(output, waiting.pop(place))
                counts[places[place]] += len(output)

        count = len(self.samples[0])
        for start in range(0, count, self.size):
            self._pass(start, receive)
        return {path: total / counts[path] for path, total in sums.items()}

    def _pass(self, start: int, receive: Callable[[int, Any, Any], None]) -> None:
        """Passes a batch's maps to ``receive`` in the order of the calls: the call's index, its input, its output."""
        wanted = {*self.places, *self.place_of_end}
        batch = [keras.ops.convert_to_tensor(one[start : start + self.size]) for one in self.samples]
        if start in self.kept:
            maps = {**dict(zip(sorted(self.inputs), batch, strict=True)), **self.kept[start]}
            for index in sorted(wanted):
                given = maps[self._source(index)] if index in self.places else None
                receive(index, given, maps.get(index))
            return
        size = self.bytes_per_sample * len(batch[0])
        seen: dict[int, Any] = {}

        def receive_and_keep(index: int, given: Sequence[Any], output: Any) -> None:
            receive(index, given[0], output)
            if size > self.room:
                return
            if index in self.places and self._source(index) not in self.inputs:
                seen[self._source(index)] = given[0]
            if index in self.place_of_end:
                seen[index] = output

        feature_maps(self.original, batch, wanted, receive_and_keep)
        if size <= self.room:
            self.room -= size
            self.kept[start] = {key: keras.ops.convert_to_numpy(map_) for key, map_ in seen.items()}

    def _source(self, index: int) -> int:
        """The call whose output goes into a call; if that has several outputs, a unique key below zero."""
        source = self.calls[index].inputs[0]
        return source if len(self.calls[source].out_shapes) == 1 else ~index

    def _elements(self, key: int) -> int:
        """The elements, for one sample, of the map kept under a key."""
        call = self.calls[max(key, ~key)]
        entries, shape = (call.out_entries, call.out_shapes) if key >= 0 else (call.in_entries, call.in_shapes)
        return prod(size or 1 for size in (entries[0], *shape[0]))


def fitting_batch(calls: Sequence[Call]) -> int:
    """Number of samples that can pass through both models at once within ``MAP_BYTES``, from 1 to ``LARGEST_BATCH``."""
    bytes_per_sample = 2 * 4 * peak_elements(calls)
    return max(1, min(LARGEST_BATCH, MAP_BYTES // bytes_per_sample))


def _layers_at(model: keras.Model, calls: Sequence[Call], indices: Sequence[int]) -> list[Any]:
    return [find_layer(model, calls[index].path) for index in indices]


def _tail(calls: list[Call], index: int) -> list[int]:
    """The calls of TAIL layers that follow one another, each the only user of the one before."""
    tail: list[int] = []
    while True:
        users = [user for user, call in enumerate(calls) if index in call.inputs]
        if len(users) != 1 or calls[index].is_output or type(calls[users[0]].layer) not in TAIL:
            return tail
        index = users[0]
        tail.append(index)


def through(layers: Sequence[Any], tensor: Any) -> Any:
    """The output of a chain of layers for a tensor, in inference mode."""
    for layer in layers:
        tensor = layer(tensor, training=False) if layer._call_has_training_arg else layer(tensor)
    return tensor


def _cosines(one: Any, other: Any) -> float:
    """The sum over the batch of the cosine between two maps of equal shape; two zero maps are alike."""
    a, b = (np.asarray(keras.ops.convert_to_numpy(x), np.float32).reshape(len(x), -1) for x in (one, other))
    products, norms = _dots(a, b), np.sqrt(_dots(a, a) * _dots(b, b))
    alike = np.where(a.any(axis=1) | b.any(axis=1), 0.0, 1.0)
    return float(np.where(norms > 0, products / np.maximum(norms, np.finfo(np.float64).tiny), alike).sum())


def _dots(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """The dot product of each row, summed in float64 without a copy of the maps."""
    return np.asarray(np.einsum("ij,ij->i", a, b, dtype=np.float64))
