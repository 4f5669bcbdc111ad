"""The data that one layer is fitted to: patches of its inputs, and the original's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals

Batches = list[list[Any]]
"""The outputs of a call, by batch."""


@dataclass(frozen=True)
class Rows:
    """Input patches of the compressed network (n, D), outputs of the original (n, F), and the shortcuts of both, (n, F)
    or zeros (n, 1). ``our`` is the compressed network, ``their`` the original."""

    x: NDArray[Any]
    y: NDArray[Any]
    their_shortcut: NDArray[Any]
    our_shortcut: NDArray[Any]
    is_of_sum: bool

    def target(self) -> NDArray[Any]:
        """The outputs that make our sum equal to the original's."""
        return np.asarray(self.y + self.their_shortcut - self.our_shortcut)

    def target_before_relu(self, product: Reals, offset: Reals) -> NDArray[Any]:
        """The same where the original's sum is positive; elsewhere our own outputs, clipped so that our sum is at most
        0."""
        ours = self.x @ product.astype(self.x.dtype) + offset.astype(self.x.dtype) + self.our_shortcut
        theirs = self.y + self.their_shortcut
        return np.asarray(np.where(theirs > 0, theirs, np.minimum(ours, 0)) - self.our_shortcut)


def rows_of(
    fitted: FittedLayer,
    ours: Sequence[Any],
    y: Sequence[Any],
    sides: tuple[Mapping[int, Batches], Mapping[int, Batches]],
    shortcuts: Sequence[tuple[int, int]],
    wanted: int,
    seed: Sequence[int],
) -> Rows:
    """About ``wanted`` patches of the compressed network's maps, from every batch, at positions drawn with ``seed``.

    ours: the layer's input maps in the compressed network, and y: the original's outputs, by batch; sides: the outputs
    of the calls of the original and of the compressed network; shortcuts: the other terms of the residual sum after
    the layer, as (call, output).
    """
    rng = np.random.default_rng(seed)
    dimensions, _ = fitted.weights_shape
    total = sum(fitted.positions(keras.ops.shape(one)) for one in y)
    parts = []
    for number, (x, whole) in enumerate(zip(ours, y, strict=True)):
        view, whole = fitted.inputs(keras.ops.convert_to_numpy(x)), fitted.outputs(keras.ops.convert_to_numpy(whole))
        size = whole.shape[:-1]
        count = int(np.prod(size))
        some = min(count, -(-wanted * count // total))
        index = np.unravel_index(np.sort(rng.choice(count, some, replace=False)), size)
        sums = [_sum(fitted, side, number, shortcuts, size) for side in sides]
        parts.append((view[index].reshape(some, dimensions), *(one[index] for one in (whole, *sums))))
    x, whole, their_sum, our_sum = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Rows(x, whole, their_sum, our_sum, bool(shortcuts))


def _sum(
    fitted: FittedLayer,
    side: Mapping[int, Batches],
    number: int,
    shortcuts: Sequence[tuple[int, int]],
    size: tuple[int, ...],
) -> NDArray[Any]:
    """The sum of one side's shortcuts, channels last: (*size, F), or zeros (*size, 1) if there are none."""
    total: NDArray[Any] = np.zeros((*size, 1), np.float32)
    for place, output in shortcuts:
        total = total + fitted.outputs(keras.ops.convert_to_numpy(side[place][number][output]))
    return total
