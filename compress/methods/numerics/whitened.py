"""Factorizations that minimise the error of a layer's outputs, given the second moment S of its input patches.

A patch's dimensions are split into a group, which the first factor reduces to r channels (the input channels in
Tucker-2, together with a kernel axis in spatial SVD), and the rest, which the second factor sees beside them. For a
first factor P the best second one is (P^T S P)^-1 P^T S W, and the error is the part of tr(W^T S W) that it leaves. In
a full frame of the group, ordered by its channels, S = R^T R with R upper triangular, so that the first r channels are
reproduced exactly and the error is the energy of the rows of R W beyond them: one Cholesky factorization gives the
error of all ranks at once.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from rankline.src.dse.errors import UserError

Reals = NDArray[np.float64]

FLOOR = 1e-6
"""Eigenvalues of the group's mean covariance below this share of the largest (dead channels) are raised to it."""

RIDGES = (1e-10, 1e-9, 1e-8, 1e-6)
"""Ridges on the covariance's diagonal, in units of its mean, so that a deficient one has a Cholesky factor; the first
that suffices is used."""


class Whitened:
    """weights: (group, rest, F); covariance: (group, rest, group, rest), of patches in that order."""

    def __init__(self, weights: Reals, covariance: Reals) -> None:
        self.weights = weights
        self.covariance = covariance
        self.group, self.rest, self.outputs = weights.shape

    @cached_property
    def frame(self) -> Reals:
        """(group, group), invertible, most useful channels first: the left singular vectors of the weights whitened by
        the group's mean covariance, mapped back."""
        mean = np.einsum("atbt->ab", self.covariance) / self.rest
        values, vectors = np.linalg.eigh(mean)
        scales = np.sqrt(np.maximum(values, max(FLOOR * values[-1], np.finfo(float).tiny)))
        whitened = np.tensordot(vectors, self.weights, (0, 0)).reshape(self.group, -1) * scales[:, None]
        return np.asarray(vectors / scales @ np.linalg.eigh(whitened @ whitened.T)[1][:, ::-1])

    @cached_property
    def root(self) -> Reals:
        """R (group x rest)^2, upper triangular, of the patches in the frame, ordered by channel and then the rest."""
        half = np.tensordot(self.frame, self.covariance, (0, 0))
        size = self.group * self.rest
        rotated = np.einsum("csbt,bd->csdt", half, self.frame, optimize=True).reshape(size, size)
        rotated = (rotated + rotated.T) / 2
        mean, diagonal = max(np.trace(rotated) / size, np.finfo(float).tiny), rotated.diagonal().copy()
        # The last suffices for any matrix (Gershgorin), including the rounding errors of constant inputs.
        for added in (*(ridge * mean for ridge in RIDGES), size * np.abs(rotated).max()):
            rotated[np.diag_indices(size)] = diagonal + added
            with suppress(np.linalg.LinAlgError):
                return np.asarray(np.linalg.cholesky(rotated).T)
        raise UserError("the covariance has no Cholesky factor; check that the calibration data is finite")

    @cached_property
    def seen(self) -> Reals:
        """R W (group x rest, F): the weights in the frame, weighted by the patches."""
        rotated = np.linalg.solve(self.frame, self.weights.reshape(self.group, -1))
        return np.asarray(self.root @ rotated.reshape(-1, self.outputs))

    def energy(self, outputs: Reals | None = None) -> Reals:
        """(group, F): the energy that each channel of the frame adds to each output, or to the outputs transformed by a
        matrix (F, F) if given."""
        seen = self.seen if outputs is None else self.seen @ outputs
        return np.asarray((seen.reshape(self.group, self.rest, -1) ** 2).sum(axis=1))

    def first(self, rank: int) -> tuple[Reals, Reals]:
        """The first factor (group, rank), with orthonormal columns, and the change of basis (rank, rank) that the
        second needs: frame = first @ change."""
        basis, change = np.linalg.qr(self.frame[:, :rank])
        return basis, change

    def second(self, rank: int, outputs: Reals | None = None) -> Reals:
        """The best second factor (rank, rest, F) after ``first``, or (rank, rest, n) for outputs times (F, n)."""
        rows = rank * self.rest
        seen = self.seen[:rows] if outputs is None else self.seen[:rows] @ outputs
        solved = solve_triangular(self.root[:rows, :rows], seen).reshape(rank, self.rest, -1)
        return np.tensordot(self.first(rank)[1], solved, (1, 0))
