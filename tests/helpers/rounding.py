"""How far float32 layers may be from what they stand for, by rounding alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress import methods
from rankline.src.compress.fit.covariance import patches
from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix

UNIT = 2.0**-24
"""The unit round-off of float32: the largest relative error of one operation."""

ACTIVATION = 8
"""Roundings that the layers' activation counts for: tanh and its like are within a few units of the last place."""


def rounding_bound(layers: Sequence[keras.Layer], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest possible difference, output by output, of layers in a row from their exact value at float32 x.

    gamma_n |A_k| .. |A_1| |x| with gamma_n = n u / (1 - n u), where A_i are the layers' kernels, |.| is taken entry by
    entry, and n is how many roundings lie on the longest way from x to an output: one for every term of a sum, in
    whatever order and with whatever vectors it is summed, and one for the rounding of each kernel to float32.
    Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM 2002, sections 3.1 (sums of products)
    and 3.5 (products of matrices). Terms that annul each other count with their sizes.

    layers: built Dense, convolution, depthwise or TTMatrix layers with float32 weights. Activations are 0 at 0 and
    nowhere steeper than 1 (linear, ReLU, tanh), so that they enlarge neither an error nor a map.
    """
    size, roundings = np.abs(x).astype(np.float64), ACTIVATION
    for layer in layers:
        size, terms = _sizes(layer, size)
        roundings += terms + 1
    return gamma(roundings) * size


def assert_same_up_to_rounding(ours: NDArray[Any], theirs: NDArray[Any], roundings: int = 500) -> None:
    """Float32 outputs of whole networks are the same but for roundings of values as large as the largest output.

    roundings: about the terms of all sums between input and output; 500 are five layers of 100 terms. Errors are
    measured against the largest value, for what is next to zero among the outputs is a difference of large terms.
    """
    largest = float(np.abs(theirs).max())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=gamma(roundings) * largest)


def gamma(roundings: int) -> float:
    """The relative error of a sum of positive terms after that many roundings: n u / (1 - n u)."""
    return roundings * UNIT / (1 - roundings * UNIT)


def _sizes(layer: keras.Layer, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """|A| |x| + |b| of one layer without its activation, and how many terms are summed for an output."""
    first, *more = (np.abs(weight).astype(np.float64) for weight in layer.get_weights())
    if isinstance(layer, TTMatrix):
        cores = [first, *more][: len(layer.cores)]
        kernel = methods.get("t3f").reconstruct(cores)
        terms = sum(core.shape[2] * core.shape[3] for core in cores)
        x = np.moveaxis(x, 1, -1) if layer.data_format == "channels_first" else x
        outputs = x[(slice(None), *(slice(None, None, step) for step in layer.strides))] @ kernel
    elif isinstance(layer, DepthwiseAlongAxis | keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        moves = _along_axis(layer, x.ndim - 2) if isinstance(layer, DepthwiseAlongAxis) else layer
        taps = first.reshape(*moves.kernel_size, -1)
        outputs, terms = (patches(moves, x) * taps).sum(axis=tuple(range(-taps.ndim, -1))), taps[..., 0].size
    else:
        rows = patches(layer, x)
        kernel, terms = first.reshape(-1, first.shape[-1]), prod(first.shape[:-1])
        outputs = rows.reshape(*rows.shape[: rows.ndim - first.ndim + 1], -1) @ kernel
    if getattr(layer, "use_bias", False):
        outputs, terms = outputs + np.abs(keras.ops.convert_to_numpy(layer.bias)), terms + 1
    return np.moveaxis(outputs, -1, 1) if getattr(layer, "data_format", "") == "channels_first" else outputs, terms


def _along_axis(layer: DepthwiseAlongAxis, axes: int) -> SimpleNamespace:
    """How the layer moves, told for all axes as Keras's own layers do."""
    names = ("kernel_size", "strides", "dilation_rate")
    steps = {name: tuple(getattr(layer, name) if j == layer.axis else 1 for j in range(axes)) for name in names}
    return SimpleNamespace(**steps, padding=layer.padding, data_format=layer.data_format)
