"""What a runtime rounds at a precision, as it rounds it.

Weights to eight bits: one scale for each output channel, from the largest magnitude, symmetric around zero. Feature
maps: one scale and one zero point for each map, from its minimum and maximum over all samples (static), or over each
sample (dynamic). These are the schemes of LiteRT (its quantization specification) and of ONNX Runtime's per-channel
mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from rankline.src.compress.fit.fitted_layer import Reals
from rankline.src.dse.errors import one_of

LARGEST = 127
"""The largest integer of a weight; the smallest is its negative."""

STEPS = 255
"""Steps between the smallest and the largest integer of a map."""

DAMPING = 1e-2
"""What is added to the diagonal of a second moment before it is inverted, as a share of its mean."""

BLOCK = 128
"""Rows of a kernel whose errors are spread to the later ones at once."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Rounding:
    """What a precision rounds.

    - ``weights``: takes weights (D, F) and the second moment (D, D) of what they are multiplied with
    - ``is_static``: whether the maps that layers make are rounded, each in one range for all samples
    - ``is_dynamic``: whether the maps that layers with weights take are, each sample in its own range
    """

    weights: Callable[[Reals, Reals | None], Reals]
    is_static: bool = False
    is_dynamic: bool = False


def eight_bits(weights: Reals, second_moment: Reals | None = None) -> Reals:
    """Weights (D, F) at the nearest integers of each output's scale, as floats.

    second_moment: of the D inputs. Rows are then rounded one after the other, those with the largest inputs first, and
    the others take up what that changes in the outputs (Frantar et al., "GPTQ", ICLR 2023, algorithm 1). The largest
    weight of each output stays, so that the runtime finds the same scale again.
    """
    scale = np.abs(weights).max(axis=0, initial=0.0) / LARGEST
    scale = np.where(scale > 0, scale, 1.0)

    def nearest(rows: Reals) -> Reals:
        return np.asarray(np.clip(np.round(rows / scale), -LARGEST, LARGEST) * scale)

    if second_moment is None or not np.trace(second_moment) > 0:
        return nearest(weights)
    order = np.argsort(-np.diag(second_moment), kind="stable")
    upper, left = _upper_root_of_inverse(second_moment[np.ix_(order, order)]), weights[order]
    largest = np.arange(len(left))[:, None] == np.abs(left).argmax(axis=0)
    kept, errors = nearest(left), np.zeros_like(left)
    for start in range(0, len(left), BLOCK):
        end = min(start + BLOCK, len(left))
        for row in range(start, end):
            kept[row] = np.where(largest[row], kept[row], nearest(left[row]))
            errors[row] = (left[row] - kept[row]) / upper[row, row]
            left[row + 1 : end] -= np.outer(upper[row, row + 1 : end], errors[row])
        left[end:] -= upper[start:end, end:].T @ errors[start:end]
    found = np.empty_like(kept)
    found[order] = kept
    return found


ROUNDINGS = {
    "int8": Rounding(eight_bits, is_static=True),
    "int8-dynamic": Rounding(eight_bits, is_dynamic=True),
    "int8-weights": Rounding(eight_bits),
}
"""By precision; the others round nothing that matters."""


def rounding(precision: str) -> Rounding:
    """The rounding of a precision. Raises UserError with the possible ones."""
    if precision not in ROUNDINGS:
        raise one_of("precision", precision, list(ROUNDINGS))
    return ROUNDINGS[precision]


def rounded_as(runtime: str, precision: str) -> str:
    """The precision whose rounding a runtime has: ONNX Runtime computes convolutions in floats where the ranges of maps
    are those of each call."""
    return "int8-weights" if (runtime, precision) == ("onnx", "int8-dynamic") else precision


def range_of(maps: Sequence[Any], least: float | None = None, most: float | None = None) -> Range:
    """The minimum and maximum of maps, and zero. least, most: what an activation makes of all that is beyond."""
    low = min(0.0, *(float(keras.ops.min(one)) for one in maps))
    high = max(0.0, *(float(keras.ops.max(one)) for one in maps))
    return (low if least is None else max(low, least)), (high if most is None else min(high, most))


def rounded(x: Any, low: Any, high: Any) -> Any:
    """A map at the nearest of the STEPS + 1 values between low and high, one of which is zero. They are numbers, or
    tensors that broadcast to it."""
    scale = (high - low) / STEPS
    scale = keras.ops.where(scale > 0, scale, keras.ops.ones_like(scale))
    zero = keras.ops.round(-low / scale)
    return (keras.ops.clip(keras.ops.round(x / scale) + zero, 0, STEPS) - zero) * scale


def rounded_by_sample(x: Any) -> Any:
    """A map (batch, ..) at the nearest values of each sample's own range."""
    axes = tuple(range(1, len(keras.ops.shape(x))))
    low = keras.ops.minimum(keras.ops.min(x, axis=axes, keepdims=True), 0.0)
    high = keras.ops.maximum(keras.ops.max(x, axis=axes, keepdims=True), 0.0)
    return rounded(x, low, high)


def _upper_root_of_inverse(matrix: Reals) -> NDArray[Any]:
    """U, upper triangular, with U^T U the inverse of a damped second moment."""
    damped = matrix + DAMPING * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
    # With J, which reverses the order: J A J = L L^T makes A^-1 = U^T U with U = J L^-1 J.
    lower = cholesky(damped[::-1, ::-1], lower=True, check_finite=False)
    inverse = solve_triangular(lower, np.eye(len(matrix)), lower=True, check_finite=False)
    return np.asarray(inverse[::-1, ::-1])
