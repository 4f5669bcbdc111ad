"""Leading singular subspaces from Gram matrices: the eigenproblem has the size of the smaller side."""

from __future__ import annotations

import numpy as np
import tensorly as tl
from numpy.typing import NDArray

from rankline.src.compress.methods.numerics.remembered import remembered
from rankline.src.compress.methods.numerics.tensor import Tensor


def leading_frame(matrix: Tensor, count: int) -> Tensor:
    """The ``count`` leading left singular vectors of ``matrix`` (m, n), as orthonormal columns (m, count).

    They are the leading eigenvectors of the (m, m) Gram matrix (Golub and Van Loan, "Matrix Computations",
    section 8.6), so ``count`` may exceed the rank of the matrix, up to m: the basis is completed.
    """
    return leading_eigenvectors(tl.matmul(matrix, tl.transpose(matrix)), count)


def leading_eigenvectors(gram: Tensor, count: int) -> Tensor:
    """The eigenvectors (m, count) of the largest eigenvalues of a symmetric (m, m) matrix, largest first."""
    return tl.flip(symmetric_eigen(gram)[1], axis=1)[:, :count]


def left_frame(matrix: Tensor) -> Tensor:
    """All left singular vectors (m, min(m, n)) of a matrix (m, n), from a Gram matrix of the smaller side."""
    rows, columns = tl.shape(matrix)
    if rows <= columns:
        return leading_frame(matrix, rows)
    basis, triangle = tl.qr(matrix)
    return tl.matmul(basis, leading_frame(triangle, columns))


def smaller_gram(matrix: Tensor) -> Tensor:
    """The Gram matrix of the smaller side; its eigenvalues are the squared singular values."""
    flipped = tl.transpose(matrix)
    return tl.matmul(matrix, flipped) if len(matrix) < len(flipped) else tl.matmul(flipped, matrix)


def spectral_tail(gram: Tensor, cap: int) -> NDArray[np.float64]:
    """The share of the trace beyond the r largest eigenvalues, at [r - 1] for r = 1..cap."""
    energy = np.maximum(tl.to_numpy(symmetric_eigen(gram)[0])[::-1], 0.0)
    return tail_of(energy)[:cap]


@remembered
def symmetric_eigen(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues (m,) of a symmetric (m, m) matrix, smallest first, and its eigenvectors (m, m) as columns."""
    values, vectors = tl.eigh(gram)
    return values, vectors


def tail_of(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of a vector's sum beyond its first r entries, at [r - 1]; summed from the small end. Zero for zeros."""
    beyond = np.append(np.cumsum(energy[::-1])[::-1][1:], 0.0)
    shares: NDArray[np.float64] = beyond / (energy.sum() or 1.0)
    return shares


def grid_of(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of a matrix's sum outside its leading (r1, r2) block, at [r1 - 1, r2 - 1].

    Summed from the small ends, so that small shares keep their digits. Zero for zeros.
    """
    right = np.cumsum(energy[:, ::-1], axis=1)[:, ::-1]
    beyond_columns = np.append(right[:, 1:], np.zeros((len(energy), 1)), axis=1)
    below = np.append(np.cumsum(right[::-1, :1], axis=0)[::-1][1:], [[0.0]], axis=0)
    shares: NDArray[np.float64] = (np.cumsum(beyond_columns, axis=0) + below) / (energy.sum() or 1.0)
    return shares
