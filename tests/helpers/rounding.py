"""How far float32 layers may be from what they stand for, by rounding alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

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
    size, roundings = np.abs(x), ACTIVATION
    for layer in layers:
        terms = _with_weights(layer, np.ones_like, np.ones_like(size))
        roundings += int(terms.max()) + 1
        size = _with_weights(layer, np.abs, size)
    return gamma(roundings) * size.astype(np.float64)


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


def _with_weights(layer: keras.Layer, change: Callable[[Any], Any], x: NDArray[Any]) -> NDArray[Any]:
    """What the layer gives without its activation and with every weight changed; of ones, the terms of its sums."""
    config = layer.get_config()
    linear = {"activation": None} if "activation" in config else {}
    other = type(layer).from_config({**config, **linear})
    other.build(x.shape)
    other.set_weights([change(weight) for weight in layer.get_weights()])
    return keras.ops.convert_to_numpy(other(x))
