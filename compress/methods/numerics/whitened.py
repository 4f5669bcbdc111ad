"""Factorizations that minimise the error of a layer's outputs, given the second moment S of its input patches.

A patch's dimensions are split into a group, which the first factor reduces to r channels (the input channels in
Tucker-2, together with a kernel axis in spatial SVD), and the rest, which the second factor sees beside them. For a
first factor P the best second one is (P^T S P)^-1 P^T S W, and the error is the part of tr(W^T S W) that it leaves. In
a frame of the group, ordered by its channels, P^T S P = R^T R with R upper triangular, so that the first r channels are
reproduced exactly and each further one adds the energy of its rows of R^-T P^T S W: one Cholesky factorization gives
the error of all ranks up to the number of channels in the frame at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve_triangular

from rankline.src.compress.methods.numerics.gram import symmetric_eigen
from rankline.src.dse.errors import UserError

Reals = NDArray[np.float64]

FLOOR = 1e-6
"""Eigenvalues of the group's mean covariance below this share of the largest (dead channels) are raised to it."""

RIDGES = (1e-10, 1e-9, 1e-8, 1e-6)
"""Ridges on the covariance's diagonal, in units of its mean, so that a deficient one has a Cholesky factor; the first
that suffices is used."""


class Whitened:
    """A kernel whose patches are known, in a frame of the leading ``count`` channels of the group.

    - ``weights``: W (.., F), and ``covariance``: S (.., ..), both over the same axes of a patch, as in the kernel
    - ``rest``: the axes of a patch that are the rest; the others are the group
    - ``count``: at most the size of the group

    Large products are in the covariance's precision; in float32 it needs a ridge far above the rounding errors.
    """

    def __init__(self, weights: Reals, covariance: Reals, rest: Sequence[int], count: int) -> None:
        *axes, self.outputs = weights.shape
        group = [axis for axis in range(len(axes)) if axis not in rest]
        self.group, self.rest = prod(axes[axis] for axis in group), prod(axes[axis] for axis in rest)
        self.count = min(count, self.group)
        shape = (self.rest, self.group, self.outputs)
        order = [*rest, *group]
        weights = weights.astype(covariance.dtype)
        self.weights: Reals = weights.transpose(*order, len(axes)).reshape(shape)
        image = covariance.reshape(-1, prod(axes)) @ weights.reshape(-1, self.outputs)
        self.image: Reals = image.reshape(weights.shape).transpose(*order, len(axes)).reshape(shape)
        """S W (rest, group, F)."""
        # A view: only the blocks that are asked for are copied.
        self._blocks = covariance.reshape(*axes, *axes).transpose(*order, *(len(axes) + axis for axis in order))
        self._rest_sizes, self._group_axes = [axes[axis] for axis in rest], len(group)
        self._firsts: dict[int, tuple[Reals, Reals]] = {}

    def _block(self, s: int, t: int) -> Reals:
        """S between the group at place s of the rest and at place t: (group, group)."""
        every = [slice(None)] * self._group_axes
        first, second = (map(int, np.unravel_index(place, self._rest_sizes)) for place in (s, t))
        places: tuple[int | slice, ...] = (*first, *every, *second, *every)
        return np.asarray(self._blocks[places]).reshape(self.group, self.group)

    @cached_property
    def frame(self) -> Reals:
        """(group, count), most useful channels first: the leading left singular vectors of the weights whitened by the
        group's mean covariance, mapped back."""
        mean = sum(self._block(t, t) for t in range(self.rest)) / self.rest
        values, vectors = symmetric_eigen(np.asarray(mean, np.float64))
        scales = np.sqrt(np.maximum(values, max(FLOOR * values[-1], np.finfo(float).tiny)))
        whitened = np.tensordot(vectors, self.weights, (0, 1)).reshape(self.group, -1) * scales[:, None]
        leading = (self.group - self.count, self.group - 1)
        # Not remembered: weights differ from fit to fit, and few vectors take a fraction of the time of all.
        turn = eigh(whitened @ whitened.T, subset_by_index=leading, check_finite=False)[1][:, ::-1]
        return np.asarray(vectors / scales @ turn)

    @cached_property
    def root(self) -> Reals:
        """R (count x rest)^2, upper triangular, of the patches in the frame, ordered by channel and then the rest."""
        frame = self.frame.astype(self.image.dtype)
        turned = np.empty((self.count, self.rest, self.count, self.rest), frame.dtype)
        for s in range(self.rest):
            for t in range(s + 1):
                turned[:, s, :, t] = frame.T @ self._block(s, t) @ frame
                turned[:, t, :, s] = turned[:, s, :, t].T
        size = self.count * self.rest
        rotated = turned.reshape(size, size)
        rotated = (rotated + rotated.T) / 2
        mean, diagonal = max(np.trace(rotated) / size, np.finfo(rotated.dtype).tiny), rotated.diagonal().copy()
        # The last suffices for any matrix (Gershgorin), including the rounding errors of constant inputs.
        for added in (*(ridge * mean for ridge in RIDGES), size * np.abs(rotated).max()):
            rotated[np.diag_indices(size)] = diagonal + added
            with suppress(np.linalg.LinAlgError):
                return np.asarray(np.linalg.cholesky(rotated).T)
        raise UserError("the covariance has no Cholesky factor; check that the calibration data is finite")

    @cached_property
    def seen(self) -> Reals:
        """R^-T P^T S W (count x rest, F): the weights in the frame, weighted by the patches."""
        rotated = np.tensordot(self.frame, self.image, (0, 1)).reshape(-1, self.outputs)
        return np.asarray(solve_triangular(self.root, rotated, trans="T"))

    def energy(self, outputs: Reals | None = None) -> Reals:
        """(count, F): the energy that each channel of the frame adds to each output, or to the outputs transformed by
        an orthogonal matrix (F, F) if given. If the frame has fewer channels than the group, one more row holds the
        energy beyond them."""
        seen = self.seen if outputs is None else self.seen @ outputs
        energy = (seen.reshape(self.count, self.rest, -1).astype(np.float64) ** 2).sum(axis=1)
        if self.count == self.group:
            return np.asarray(energy)
        weights, image = (one.reshape(-1, self.outputs) for one in (self.weights, self.image))
        if outputs is not None:
            weights, image = weights @ outputs, image @ outputs
        beyond = (weights * image).sum(axis=0, dtype=np.float64) - energy.sum(axis=0)
        return np.asarray(np.vstack([energy, beyond.clip(0)]))

    def output_gram(self) -> Reals:
        """W^T S W (F, F), the second moment of the outputs."""
        weights, image = (one.reshape(-1, self.outputs) for one in (self.weights, self.image))
        return np.asarray(weights.T @ image, np.float64)

    def first(self, rank: int) -> tuple[Reals, Reals]:
        """The first factor (group, rank), with orthonormal columns, and the change of basis (rank, rank) that the
        second needs: frame = first @ change."""
        if rank not in self._firsts:
            self._firsts[rank] = np.linalg.qr(self.frame[:, :rank])
        return self._firsts[rank]

    def second(self, rank: int, outputs: Reals | None = None) -> Reals:
        """The best second factor (rank, rest, F) after ``first``, or (rank, rest, n) for outputs times (F, n)."""
        rows = rank * self.rest
        seen = self.seen[:rows] if outputs is None else self.seen[:rows] @ outputs
        solved = solve_triangular(self.root[:rows, :rows], seen).reshape(rank, self.rest, -1)
        return np.tensordot(self.first(rank)[1], solved, (1, 0))
