"""Evens out the ranges of what neighbouring factors hand on, so that eight bits hold it.

Between two linear layers with nothing in between, any invertible matrix M may be put into the first and its inverse
into the second: the network stays the same. Where a depthwise layer is one of them, M is diagonal. Scales that give
every channel one range are the weight equalization of Nagel et al., "Data-Free Quantization Through Weight Equalization
and Bias Correction", ICCV 2019, section 4.1, taken from maps in place of weights. A rotation after them spreads what is
large in one channel over all, as in Ashkboos et al., "QuaRot", NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.stats import ortho_group

from rankline.src.compress.fit.fitted_layer import Reals
from rankline.src.compress.fit.rounded_refit import DEPTHWISE
from rankline.src.compress.model.forward_pass import ForwardPass, batches_of
from rankline.src.compress.model.similarity import fitting_batch
from rankline.src.compress.model.surgery import factorize, find_layer
from rankline.src.dse.keras_model.graph import Call, trace, users_of
from rankline.src.dse.progress import Progress, no_progress

MIXING = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)

ROWS = 2**14
"""Positions of a map, at most, whose range under a rotation is measured."""

TINY = 1e-6
"""The smallest range of a channel, as a share of the largest."""


@dataclass(frozen=True)
class _Link:
    """Two calls, the second of which takes what the first makes, and nothing else does."""

    first: int
    second: int
    may_mix: bool


def balanced(
    model: keras.Model, samples: Sequence[NDArray[Any]], seed: int = 0, progress: Progress = no_progress
) -> keras.Model:
    """A copy of the model whose neighbouring linear layers hand on channels of even ranges.

    Its outputs are the same, up to the rounding of floats.

    samples: an array for each input of the model; seed: of the rotations. A model without such layers is copied.
    """
    calls = trace(model)
    made = factorize(model, {})
    links = list(_links(calls))
    seen = _maps(calls, [link.first for link in links], samples, seed)
    for done, link in enumerate(links, start=1):
        largest, rows = seen[link.first]
        matrix = _matrix(largest, rows, _takes(find_layer(made, calls[link.second].path)), link.may_mix, seed)
        _put_after(find_layer(made, calls[link.first].path), matrix)
        _put_before(find_layer(made, calls[link.second].path), np.asarray(np.linalg.inv(matrix), np.float64))
        progress("factors balanced", done, len(links))
    return made


def _links(calls: Sequence[Call]) -> Iterator[_Link]:
    users = users_of(calls)
    layers = [id(call.layer) for call in calls]
    for index, call in enumerate(calls):
        if len(users[index]) != 1 or call.is_output or layers.count(id(call.layer)) != 1:
            continue
        (user,) = users[index]
        after = calls[user].layer
        is_alone = layers.count(id(after)) == 1 and _has_channels_first(after) == _has_channels_first(call.layer)
        if is_alone and _is_linear(call.layer) and _is_one_to_one(after):
            yield _Link(index, user, isinstance(call.layer, MIXING) and isinstance(after, MIXING))


def _is_linear(layer: Any) -> bool:
    """Whether a layer's output channels can be recombined: it has weights for each, and no activation."""
    return _is_one_to_one(layer) and getattr(layer, "activation", None) in (None, keras.activations.linear)


def _is_one_to_one(layer: Any) -> bool:
    """Whether a layer mixes all channels, or none."""
    has_groups = getattr(layer, "groups", 1) > 1 or getattr(layer, "depth_multiplier", 1) > 1
    return isinstance(layer, (*MIXING, *DEPTHWISE)) and not has_groups


def _maps(
    calls: Sequence[Call], wanted: Sequence[int], samples: Sequence[NDArray[Any]], seed: int
) -> dict[int, tuple[Reals, Reals]]:
    """The largest magnitude (r,) of each channel of some calls' maps, and some positions (n, r)."""
    forward, rng = ForwardPass(calls, {}), np.random.default_rng(seed)
    found: dict[int, tuple[Reals, list[Reals]]] = {}
    size = fitting_batch(calls)
    count = -(-len(samples[0]) // size)
    for batch in batches_of(samples, size, calls):
        values = forward.run(forward.start(batch), forward.inner)
        for index in wanted:
            channels = _channels_last(calls[index].layer, np.asarray(keras.ops.convert_to_numpy(values[index][0])))
            rows = channels.reshape(-1, channels.shape[-1]).astype(np.float64)
            some = rows[rng.choice(len(rows), min(len(rows), -(-ROWS // count)), replace=False)]
            largest, kept = found.get(index, (np.zeros(rows.shape[1]), []))
            found[index] = np.maximum(largest, np.abs(rows).max(axis=0)), [*kept, some]
    return {index: (largest, np.concatenate(kept)) for index, (largest, kept) in found.items()}


def _matrix(largest: Reals, rows: Reals, takes: Reals, may_mix: bool, seed: int) -> Reals:
    """M (r, r) for maps with these largest magnitudes and rows, which are then multiplied with ``takes`` (r, n).

    The one of the candidates with the least rounding error after the second layer, which is as the square of the map's
    range times the energy of M^-1 ``takes``.
    """
    scales = np.maximum(largest, TINY * largest.max(initial=0.0))
    even = np.diag(1 / np.where(scales > 0, scales, 1.0))
    candidates = [even]
    if may_mix and len(largest) > 1:
        candidates.append(even @ ortho_group.rvs(len(largest), random_state=np.random.default_rng(seed)))

    def error(matrix: Reals) -> float:
        reached = float(np.abs(rows @ matrix).max(initial=0.0))
        return reached**2 * float(np.sum((np.linalg.inv(matrix) @ takes) ** 2))

    return min(candidates, key=error)


def _takes(layer: Any) -> Reals:
    """The weights of a layer by its input channels: (r, n)."""
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.float64)
    return np.moveaxis(kernel, _input_axis(layer), 0).reshape(kernel.shape[_input_axis(layer)], -1)


def _put_after(layer: keras.Layer, matrix: Reals) -> None:
    """Puts a matrix (r, r) after a layer's output channels, in place."""
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.float64)
    if isinstance(layer, DEPTHWISE):
        _scale(layer, np.diag(matrix))
    else:
        layer.kernel.assign(kernel @ matrix)
    if getattr(layer, "use_bias", False):
        layer.bias.assign(np.asarray(keras.ops.convert_to_numpy(layer.bias), np.float64) @ matrix)


def _put_before(layer: keras.Layer, matrix: Reals) -> None:
    """Puts a matrix (r, r) before a layer's input channels, in place."""
    if isinstance(layer, DEPTHWISE):
        _scale(layer, np.diag(matrix))
        return
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.float64)
    layer.kernel.assign(np.einsum("ij,...jf->...if", matrix, kernel))


def _scale(layer: keras.Layer, factors: Reals) -> None:
    """Scales the channels of a depthwise layer, in place."""
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.float64)
    shape = [1] * kernel.ndim
    shape[_input_axis(layer)] = -1
    layer.kernel.assign(kernel * factors.reshape(shape))


def _input_axis(layer: Any) -> int:
    """The axis of a kernel with the input channels."""
    return len(layer.kernel.shape) - (1 if type(layer) is DEPTHWISE[-1] else 2)


def _channels_last(layer: Any, x: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(x, 1, -1) if _has_channels_first(layer) else x


def _has_channels_first(layer: Any) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"
