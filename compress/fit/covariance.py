"""The second moment of a layer's input patches on calibration data without labels.

With it, a factorization minimises the error of the layer's outputs instead of that of its weights:
``Decomposition.spectrum`` and ``decompose`` take it, and ``surgery.factorize`` passes it on.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rankline.src.compress.data.memory import available_bytes
from rankline.src.compress.data.takes import fits
from rankline.src.compress.fit.in_threads import in_threads
from rankline.src.compress.fit.products import add_products, less_product
from rankline.src.compress.model.similarity import MAP_BYTES, fitting_batch
from rankline.src.compress.model.surgery import refusal_of
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.graph import Call, feature_maps, places_of, trace
from rankline.src.dse.layer import conv_out_size
from rankline.src.dse.progress import Progress, no_progress

LARGEST_PATCH = 8192
"""The most patch dimensions of a layer that gets a covariance: the matrix alone then takes 0.5 GiB."""

ENOUGH = 10
"""Patches per dimension that bring the error on other data close to the error on the calibration data."""

CHUNK_ELEMENTS = 2**23
"""Elements of patches of a layer held at once (32 or 64 MiB)."""


class CalibrationWarning(UserWarning):
    """The calibration data says too little about a layer."""


@dataclass(frozen=True, eq=False)
class Covariance:
    """What the patches x of a layer are like, rows in the order of ``kernel.reshape(K C, F)`` (for a dense layer its N
    inputs).

    centred (K C, K C): the mean of (x - mean) (x - mean)^T; patches: their number; mean (K C,): their mean.
    """

    centred: NDArray[np.float64]
    patches: int
    mean: NDArray[np.float64]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The mean of x x^T, not centred."""
        return less_product(self.centred.copy(), -self.mean, self.mean)


def covariances(
    model: keras.Model,
    samples: Any,
    paths: Sequence[str],
    positions: float | Mapping[str, float] = 1.0,
    seed: int = 0,
    progress: Progress = no_progress,
    single: bool = False,
) -> dict[str, Covariance]:
    """The second moments of layers' input patches, by path, from one pass of the samples through the model.

    - ``samples``: an array (n, ...), or batches of inputs (arrays, or a tf.data set); a batch may be a tuple with
      labels, which are ignored, and holds one array for each input of the model
    - ``paths``: of Dense, Conv1D, Conv2D and Conv3D layers; a layer that is used in several places counts all of them
    - ``positions``: the share of patches that is used, for all layers or by path, drawn with ``seed``
    - ``progress``: called after each batch with the number of batches (0 if a generator yields them)
    - ``single``: whether single precision is enough for the products (see ``products.add_products``)

    Patches include the zero padding. A layer whose patches have more than ``LARGEST_PATCH`` dimensions is left out;
    this, and fewer than ``ENOUGH`` patches per dimension, issue a CalibrationWarning.
    Raises UserError for an unknown path, no samples, samples that don't fit the model, and NaN or infinite activations.
    """
    shares = positions if isinstance(positions, Mapping) else dict.fromkeys(paths, positions)
    for share in shares.values():
        if not 0 < share <= 1:
            raise UserError(f"positions must be a share above 0 and at most 1; got {share}")
    calls = trace(model)
    layers = {path: _layer_at(calls, path) for path in paths}
    moments = _moments(calls, layers)
    places = {index: moment for moment in moments.values() for index in moment.calls}
    share_of: dict[_Moment, float] = {}
    for path, moment in moments.items():
        share_of[moment] = max(shares[path], share_of.get(moment, 0.0))
    rng = np.random.default_rng(seed)
    waiting: dict[_Moment, list[tuple[NDArray[Any], NDArray[np.intp]]]] = {}
    held = 0

    def settle() -> None:
        nonlocal held
        list(in_threads(partial(moment.add, views, single) for moment, views in waiting.items()))
        waiting.clear()
        held = 0

    def receive(index: int, given: Sequence[Any], output: Any) -> None:
        nonlocal held
        moment, x = places[index], keras.ops.convert_to_numpy(given[0])
        view = patches(moment.layer, x)
        waiting.setdefault(moment, []).append((view, moment.chosen(view, share_of[moment], rng)))
        held += x.nbytes
        if held > MAP_BYTES:
            settle()

    size = fitting_batch(calls)
    total = _count(samples, size)
    for done, batch in enumerate(_batches(model, samples, size), start=1):
        feature_maps(model, batch, places, receive)
        settle()
        progress("batches looked at", done, total)
    made: dict[_Moment, Covariance] = {}
    for path, moment in moments.items():
        if moment not in made:
            made[moment] = moment.covariance(path)
    found = {path: made[moment] for path, moment in moments.items()}
    _warn(found, {path: _dimensions(layer) for path, layer in layers.items()})
    return found


def _moments(calls: Sequence[Call], layers: Mapping[str, keras.Layer]) -> dict[str, _Moment]:
    """The sums for each layer, by path; layers that get the same patches, such as the first and the shortcut of a
    residual block, share theirs."""
    places = places_of(calls)
    where = {path: places[id(layer)] for path, layer in layers.items() if _dimensions(layer) <= LARGEST_PATCH}
    keys = {
        path: (tuple((calls[index].inputs, calls[index].sources) for index in some), geometry_of(layers[path]))
        for path, some in where.items()
    }
    _check_memory(keys, layers)
    made: dict[tuple[Any, ...], _Moment] = {}
    for path, key in keys.items():
        if key not in made:
            made[key] = _Moment(layers[path], where[path])
    return {path: made[key] for path, key in keys.items()}


def _check_memory(keys: Mapping[str, tuple[Any, ...]], layers: Mapping[str, keras.Layer]) -> None:
    """Raises UserError if the sums of the layers with these keys would take more memory than is free."""
    sizes = {key: 8 * _dimensions(layers[path]) ** 2 for path, key in keys.items()}
    needed, free = sum(sizes.values()), available_bytes()
    if free is not None and needed > free:
        widest = max(keys, key=lambda path: sizes[keys[path]])
        raise UserError(
            f"the covariances of {len(keys)} layers take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
            f"free; leave the widest out, such as '{widest}'"
        )


def geometry_of(layer: keras.Layer) -> tuple[Any, ...]:
    """What decides about the patches of a layer, except its inputs."""
    if isinstance(layer, keras.layers.Dense):
        return ()
    return (layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate, layer.data_format)


def check_samples(model: keras.Model, arrays: Sequence[NDArray[Any]]) -> None:
    """Raises UserError if a batch, an array for each input of the model, doesn't fit the model."""
    given, wanted = [array.shape[1:] for array in arrays], [tuple(x.shape[1:]) for x in model.inputs]
    if len(given) != len(wanted) or not all(map(fits, given, wanted)):
        raise UserError(
            f"calibration samples are of shape {', '.join(map(str, given))}; model '{model.name}' takes "
            f"{', '.join(map(str, wanted))}"
        )


def patches(layer: keras.Layer, x: NDArray[Any]) -> NDArray[Any]:
    """A view of a layer's input map as patches: (batch, positions .., K_1, .., K_d, C); a Dense's (batch, .., N) is x.

    x: the input map (batch, ...) of a built Conv1D, Conv2D, Conv3D or Dense; it is zero-padded as the convolution
    does.
    """
    if isinstance(layer, keras.layers.Dense):
        return x
    if layer.data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    axes = tuple(range(1, x.ndim - 1))
    extents = [dilation * (k - 1) + 1 for k, dilation in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    around = [
        _zeros_around(size, extent, stride, layer.padding)
        for size, extent, stride in zip(x.shape[1:-1], extents, layer.strides, strict=True)
    ]
    windows = sliding_window_view(np.pad(x, [(0, 0), *around, (0, 0)]), extents, axis=axes)
    steps = [slice(None, None, step) for step in (1, *layer.strides, 1, *layer.dilation_rate)]
    return np.moveaxis(windows[tuple(steps)], len(axes) + 1, -1)


@dataclass(eq=False)
class _Moment:
    """Running sums of x and of (x - shift) (x - shift)^T over the patches of a layer in the given calls."""

    layer: keras.Layer
    calls: Sequence[int]
    count: int = 0
    shift: NDArray[Any] | None = None
    sum: NDArray[np.float64] = field(init=False)
    total: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.sum = np.zeros(_dimensions(self.layer))
        self.total = np.zeros((_dimensions(self.layer),) * 2)

    def chosen(self, view: NDArray[Any], share: float, rng: np.random.Generator) -> NDArray[np.intp]:
        """The places of a share of the patches in a view (see ``patches``)."""
        count = prod(self._places(view))
        return np.arange(count) if share == 1 else rng.choice(count, max(1, round(share * count)), replace=False)

    def add(self, views: Sequence[tuple[NDArray[Any], NDArray[np.intp]]], single: bool) -> None:
        """Adds the patches in views, each at its chosen places."""
        rows = max(1, CHUNK_ELEMENTS // len(self.total))
        for view, chosen in views:
            size = self._places(view)
            for start in range(0, len(chosen), rows):
                index = np.unravel_index(chosen[start : start + rows], size)
                chunk = view[index].reshape(-1, len(self.total))  # a copy
                if self.shift is None:
                    self.shift = chunk.mean(axis=0, dtype=np.float64).astype(chunk.dtype)
                self.sum += chunk.sum(axis=0, dtype=np.float64)
                add_products(self.total, chunk, None, (self.shift, 0.0), single)
            self.count += len(chosen)

    def _places(self, view: NDArray[Any]) -> tuple[int, ...]:
        return view.shape[: view.ndim - self.layer.kernel.ndim + 1]

    def covariance(self, path: str) -> Covariance:
        if not self.count:
            raise UserError("there are no calibration samples; give some hundreds of the model's inputs")
        if not np.isfinite(self.total).all():
            raise UserError(
                f"layer '{path}' gets NaN or infinity on the calibration samples; check their scaling and the weights"
            )
        mean = self.sum / self.count
        self.total /= self.count
        left = mean - (0.0 if self.shift is None else self.shift)
        return Covariance(less_product(self.total, left, left), self.count, mean)


def _dimensions(layer: keras.Layer) -> int:
    """K C, or N: the inputs of one output."""
    return prod(layer.kernel.shape[:-1])


def _zeros_around(size: int, extent: int, stride: int, padding: str) -> tuple[int, int]:
    """Zeros before and after an axis of the map; with "same" padding an odd one goes after, as in TensorFlow."""
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return extent - 1, 0
    total = max(0, (conv_out_size(size, extent, stride, padding) - 1) * stride + extent - size)
    return total // 2, total - total // 2


def _layer_at(calls: Sequence[Call], path: str) -> keras.Layer:
    """The layer at a path. Raises UserError if it has no patches."""
    layers = {call.path: call.layer for call in calls if refusal_of(call.layer) is None}
    if path not in layers:
        raise one_of("layer", path, list(layers))
    return layers[path]


def _batches(model: keras.Model, samples: Any, size: int) -> Iterator[list[Any]]:
    """One tensor for each input of the model, of at most ``size`` samples."""
    batches: Iterable[Any] = [samples] if hasattr(samples, "shape") else samples
    for batch in batches:
        arrays = [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(batch)[: len(model.inputs)]]
        check_samples(model, arrays)
        for start in range(0, len(arrays[0]), size):
            yield [
                keras.ops.convert_to_tensor(array[start : start + size], dtype=x.dtype)
                for array, x in zip(arrays, model.inputs, strict=True)
            ]


def _count(samples: Any, size: int) -> int:
    """How many batches ``_batches`` yields; 0 if that isn't known in advance."""
    if not isinstance(samples, Sequence) and not hasattr(samples, "shape"):
        return 0
    batches = [samples] if hasattr(samples, "shape") else samples
    return sum(-(-len(keras.tree.flatten(batch)[0]) // size) for batch in batches)


def _warn(found: dict[str, Covariance], dimensions: dict[str, int]) -> None:
    """Warns of layers without a covariance, and once of all that have too few patches."""
    for path, size in dimensions.items():
        if path not in found:
            reason = f"its patches have {size:,} dimensions, above {LARGEST_PATCH:,}"
            warnings.warn(f"layer '{path}' gets no covariance: {reason}", CalibrationWarning, stacklevel=3)
    few = {path: one.patches / len(one.mean) for path, one in found.items() if one.patches < ENOUGH * len(one.mean)}
    if few:
        least = min(few, key=lambda path: few[path])
        more = f" (and {len(few) - 1} more with fewer than {ENOUGH} for each)" if len(few) > 1 else ""
        warnings.warn(
            f"layer '{least}': {found[least].patches:,} patches of {dimensions[least]:,} dimensions, fewer than "
            f"{ENOUGH} for each{more}; the error on other data will be larger; more samples (--samples) make it "
            "smaller",
            CalibrationWarning,
            stacklevel=3,
        )
