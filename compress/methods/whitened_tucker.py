"""Tucker-2 that minimises the error of the layer's outputs, given the second moment S of its input patches.

For frames U (input channels) and V (outputs) the error of the best core is tr(D^T S D), D = W - W'. Written in
the full frame U and ordered by its channels, S is R^T R with R upper triangular, so that the first r_1 channels
are met exactly by the core and what is left is the energy of the rows of R W beyond them: one Cholesky
factorization gives the error of all rank pairs at once (design, section 6).
"""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np
import tensorly as tl
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from compress.methods.tensor import Tensor

FLOOR = 1e-6
"""Eigenvalues of the channels' mean covariance below this share of the largest are raised to it: dead channels."""

RIDGE = 1e-10
"""Added to the covariance's diagonal, in units of its mean, so that a deficient one has a Cholesky factor."""


class WhitenedTucker:
    """weights: (K_1, .., K_d, C, F); covariance: (K C, K C), rows in the order of ``weights.reshape(K C, F)``."""

    def __init__(self, weights: Tensor, covariance: Tensor) -> None:
        array = tl.to_numpy(weights)
        *self.kernel, self.inputs, self.outputs = array.shape
        self.taps = prod(self.kernel)
        self.context = tl.context(weights)
        self.weights: NDArray[np.float64] = array.reshape(self.taps, self.inputs, self.outputs)
        self.covariance: NDArray[np.float64] = tl.to_numpy(covariance)

    @cached_property
    def input_frame(self) -> NDArray[np.float64]:
        """U (C, C), invertible, most useful channels first: the left singular vectors of the whitened kernel,
        mapped back; whitened by the mean covariance of the taps."""
        blocks = self.covariance.reshape(self.taps, self.inputs, self.taps, self.inputs)
        mean = np.einsum("tatb->ab", blocks) / self.taps
        values, vectors = np.linalg.eigh(mean)
        scales = np.sqrt(np.maximum(values, max(FLOOR * values[-1], np.finfo(float).tiny)))
        whitened = (vectors.T @ self.weights) * scales[:, None]
        gram = np.einsum("taf,tbf->ab", whitened, whitened)
        frame: NDArray[np.float64] = vectors / scales @ np.linalg.eigh(gram)[1][:, ::-1]
        return frame

    @cached_property
    def output_frame(self) -> NDArray[np.float64]:
        """V (F, F): the eigenvectors of the outputs' second moment, largest first."""
        matrix = self.weights.reshape(-1, self.outputs)
        return np.linalg.eigh(matrix.T @ self.covariance @ matrix)[1][:, ::-1]

    @cached_property
    def root(self) -> NDArray[np.float64]:
        """R (C K, C K), upper triangular, of the patches in the input frame, ordered by channel and then tap."""
        blocks = self.covariance.reshape(self.taps, self.inputs, self.taps, self.inputs)
        half = np.tensordot(blocks, self.input_frame, (3, 0))
        rotated = np.einsum("sbta,bc->csat", half, self.input_frame, optimize=True)
        size = self.inputs * self.taps
        rotated = rotated.reshape(size, size)
        rotated = (rotated + rotated.T) / 2
        rotated[np.diag_indices(size)] += RIDGE * max(np.trace(rotated) / size, np.finfo(float).tiny)
        root: NDArray[np.float64] = np.linalg.cholesky(rotated).T
        return root

    @cached_property
    def seen(self) -> NDArray[np.float64]:
        """R W V (C K, F): the kernel in both frames, as the patches see it."""
        rotated = np.linalg.solve(self.input_frame, self.weights) @ self.output_frame
        seen: NDArray[np.float64] = self.root @ rotated.transpose(1, 0, 2).reshape(-1, self.outputs)
        return seen

    def energy(self) -> NDArray[np.float64]:
        """(C, F): what each pair of channels adds to the energy of the outputs."""
        added: NDArray[np.float64] = (self.seen.reshape(self.inputs, self.taps, self.outputs) ** 2).sum(axis=1)
        return added

    def factors(self, r1: int, r2: int) -> list[Tensor]:
        """U_1 (C, r1) with orthonormal columns, the core (K_1, .., K_d, r1, r2), and U_2 (r2, F)."""
        rows = r1 * self.taps
        core = solve_triangular(self.root[:rows, :rows], self.seen[:rows, :r2])
        basis, change = np.linalg.qr(self.input_frame[:, :r1])
        core = np.tensordot(core.reshape(r1, self.taps, r2), change, (0, 1)).transpose(0, 2, 1)
        arrays = (basis, core.reshape(*self.kernel, r1, r2), self.output_frame[:, :r2].T)
        return [tl.tensor(np.ascontiguousarray(array), **self.context) for array in arrays]
