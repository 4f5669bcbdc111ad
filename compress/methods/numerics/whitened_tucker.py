"""Tucker-2 that minimises the error of the layer's outputs, given the second moment S of its input patches."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np
import tensorly as tl

from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.methods.numerics.whitened import Reals, Whitened


class WhitenedTucker:
    """weights: (K_1, .., K_d, C, F); covariance: (K C, K C), rows in the order of ``weights.reshape(K C, F)``."""

    def __init__(self, weights: Tensor, covariance: Tensor) -> None:
        array = tl.to_numpy(weights)
        *self.kernel, inputs, outputs = array.shape
        taps = prod(self.kernel)
        self.context = tl.context(weights)
        self.matrix: Reals = array.reshape(-1, outputs)
        self.covariance: Reals = tl.to_numpy(covariance)
        blocks = self.covariance.reshape(taps, inputs, taps, inputs).transpose(1, 0, 3, 2)
        self.channels = Whitened(array.reshape(taps, inputs, outputs).transpose(1, 0, 2), blocks)

    @cached_property
    def output_frame(self) -> Reals:
        """V (F, F): the eigenvectors of the outputs' second moment, largest first."""
        return np.linalg.eigh(self.matrix.T @ self.covariance @ self.matrix)[1][:, ::-1]

    def energy(self) -> Reals:
        """(C, F): the energy that each pair of channels adds to the outputs."""
        return self.channels.energy(self.output_frame)

    def factors(self, r1: int, r2: int) -> list[Tensor]:
        """U_1 (C, r1) with orthonormal columns, the core (K_1, .., K_d, r1, r2), and U_2 (r2, F)."""
        basis, _ = self.channels.first(r1)
        right = self.output_frame[:, :r2]
        core = self.channels.second(r1, right).transpose(1, 0, 2).reshape(*self.kernel, r1, r2)
        return [tl.tensor(np.ascontiguousarray(array), **self.context) for array in (basis, core, right.T)]
