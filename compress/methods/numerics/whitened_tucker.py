"""Tucker-2 that minimises the error of the layer's outputs, given the second moment S of its input patches."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import tensorly as tl

from rankline.src.compress.methods.numerics.gram import leading_eigenvectors
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.methods.numerics.whitened import Reals, Whitened


class WhitenedTucker:
    """weights: (K_1, .., K_d, C, F); covariance: (K C, K C), rows in the order of ``weights.reshape(K C, F)``; count:
    the most input channels r1 that will be asked for."""

    def __init__(self, weights: Tensor, covariance: Tensor, count: int) -> None:
        array = tl.to_numpy(weights)
        *self.kernel, _, _ = array.shape
        self.context = tl.context(weights)
        self.channels = Whitened(array, tl.to_numpy(covariance), range(len(self.kernel)), count)

    @cached_property
    def output_frame(self) -> Reals:
        """V (F, F): the eigenvectors of the outputs' second moment, largest first."""
        return np.asarray(leading_eigenvectors(self.channels.output_gram(), self.channels.outputs))

    def energy(self) -> Reals:
        """The energy that each pair of channels adds to the outputs (see ``Whitened.energy``)."""
        return self.channels.energy(self.output_frame)

    def factors(self, r1: int, r2: int) -> list[Tensor]:
        """U_1 (C, r1) with orthonormal columns, the core (K_1, .., K_d, r1, r2), and U_2 (r2, F)."""
        basis, _ = self.channels.first(r1)
        right = self.output_frame[:, :r2]
        core = self.channels.second(r1, right).transpose(1, 0, 2).reshape(*self.kernel, r1, r2)
        return [tl.tensor(np.ascontiguousarray(array), **self.context) for array in (basis, core, right.T)]
